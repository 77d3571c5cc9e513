"""Texts that tenants' own servers keep: asked for with signed requests on real sockets, and never for long in vain."""

import asyncio
import gc
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from server.commands.resolving import PURPOSE, Endpoints
from server.commands.vault import Vault, vault_of
from server.domain.message import Message
from server.domain.ports import Database, Random
from server.domain.subject import Subject
from server.store import messages
from server.store.subjects import add_subject, drop_subject
from server.worker import resolver
from server.worker.asker import AT_ONCE, REST, Asker, Without
from server.worker.metrics import ResolverMetrics
from server.worker.recent import SECONDS
from server.worker.resolver import LARGEST_ANSWER, TextResolver
from server.worker.web import Web
from tests.harness.clock import SettableClock
from tests.harness.resolving import KEY, Says, TextServer, text_server, texts
from tests.harness.rows import Seeded

LOOPBACK = [ip_network("127.0.0.1/32")]
CANARY = "CANARY-4b1e7d"
_HASTY = 1.5  # seconds that a try may take


@dataclass
class Office:
    """Who asks, and a tenant whose server is asked."""

    db: Database
    seeded: Seeded
    server: TextServer
    resolver: TextResolver
    vault: Vault
    log: LogCapture
    clock: SettableClock
    now: list[float]
    registry: CollectorRegistry
    more: Callable[[], Any] = field(repr=False)

    async def message(self, name: str | None = None, *, of: Seeded | None = None, **details: Any) -> Message:
        """Write a message whose texts are asked for, under a name of the app's own."""
        seeded = of or self.seeded
        await seeded.message([], unresolved=True)
        rows = await self.db.read(lambda tx: tx.all("SELECT id FROM messages ORDER BY id DESC LIMIT 1"))
        message = await self.load(rows[0]["id"])
        subject = Subject(name=name, details=details)
        if name is not None or details:
            await self.db.write(lambda tx: add_subject(tx, message, subject))
        self.clock.advance(1)
        return message

    async def load(self, message_id: str) -> Message:
        message = await self.db.read(lambda tx: messages.load_message(tx, message_id))
        assert message is not None
        return message

    async def titles(self, *asked: Message) -> list[str | None]:
        return [(message.content or {}).get("title") for message in await self.resolver.fill(asked)]

    async def set(self, url: str, of: Seeded | None = None) -> None:
        """Say where a tenant is asked."""
        tenant = await tenant_of(self.db, of or self.seeded)
        await Endpoints(self.db, self.vault).set(tenant, url, KEY, self.clock())


async def tenant_of(db: Database, seeded: Seeded) -> str:
    row = await db.read(lambda tx: tx.one("SELECT tenant_id FROM users WHERE id = $1", seeded.user_id))
    assert row is not None
    return str(row["tenant_id"])


@pytest.fixture
async def office(database: Database, clock: SettableClock, random: Random) -> AsyncIterator[Office]:
    clock.now = time.time_ns() // 1_000_000  # who is asked looks at the time
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(text_server())
        web = Web(LOOPBACK, clock=clock)
        stack.push_async_callback(web.close)
        log, now, registry = LogCapture(), [1000.0], CollectorRegistry()
        vault = vault_of(bytes(32), PURPOSE, random)
        resolver = TextResolver(
            database,
            web,
            vault,
            clock=clock,
            monotonic=lambda: now[0],
            random=random,
            metrics=ResolverMetrics(registry),
            log=structlog.wrap_logger(structlog.PrintLogger(), processors=[log]),
            try_seconds=_HASTY,
        )
        stack.push_async_callback(resolver.close)

        async def more() -> TextServer:
            return await stack.enter_async_context(text_server())

        seeded = await Seeded.make(database, clock, random)
        made = Office(database, seeded, server, resolver, vault, log, clock, now, registry, more)
        await made.set(server.url)
        yield made


async def test_a_message_has_its_texts_when_it_is_read(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts(
        "New comment on {page}",
        "Look at this",
        displayHeadlineMessageTemplateData={"page": "Visitor Analytics"},
        notificationSourceData={"page": 7},
    )
    [filled] = await office.resolver.fill([message])
    assert filled.content == {
        "title": "New comment on Visitor Analytics",
        "body": "Look at this",
        "data": {"page": 7},
    }
    tenant = await tenant_of(office.db, office.seeded)
    assert office.server.asked == [{"organizationId": tenant, "notificationIds": ["custom-1"]}]
    assert office.server.refused == []


async def test_what_has_no_name_is_asked_for_by_its_id(office: Office) -> None:
    message = await office.message()
    office.server.texts[message.id] = texts("Hello")
    assert await office.titles(message) == ["Hello"]


async def test_nothing_of_it_is_written(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts(CANARY, CANARY)
    assert await office.titles(message) == [CANARY]
    assert (await office.load(message.id)).content == {"unresolved": True}
    assert CANARY not in str(office.log.entries)


async def test_users_are_called_by_their_stored_names(office: Office) -> None:
    tenant, user = await tenant_of(office.db, office.seeded), office.seeded.user_id
    await office.db.write(
        lambda tx: tx.run(
            "UPDATE users SET external_id = 'ann', profile = $2 WHERE id = $1",
            user,
            '{"firstName": "Ann", "lastName": "Lee"}',
        )
    )
    message = await office.message("custom-1", actionUser={"userId": "ann"})
    headline = "{actionUser} wrote to {recipientUser}, {cc} and {unknown}"
    data = {"recipientUser": "ann", "cc": {"userId": "bob", "name": "Bob"}}
    office.server.texts["custom-1"] = texts(headline, displayHeadlineMessageTemplateData=data)
    assert tenant
    assert await office.titles(message) == ["Ann Lee wrote to Ann Lee, Bob and {unknown}"]


async def test_a_page_is_asked_for_in_requests_of_a_few(office: Office) -> None:
    page = [await office.message(f"custom-{number}") for number in range(2 * AT_ONCE + 5)]
    office.server.texts = {f"custom-{number}": texts(f"No. {number}") for number in range(len(page))}
    assert await office.titles(*page) == [f"No. {number}" for number in range(len(page))]
    assert sorted(len(body["notificationIds"]) for body in office.server.asked) == [5, AT_ONCE, AT_ONCE]
    assert len(set(office.server.ids)) == 3


async def test_a_few_requests_are_under_way_at_the_same_time_and_no_more(office: Office) -> None:
    office.server.held = asyncio.Event()
    page = [await office.message(f"custom-{number}") for number in range(4 * AT_ONCE + 1)]
    office.server.texts = {f"custom-{number}": texts("Hello") for number in range(len(page))}
    reading = asyncio.create_task(office.titles(*page))
    await office.server.was_asked(4)
    office.server.held.set()
    assert await reading == ["Hello"] * len(page)
    assert (office.server.most_under_way, len(office.server.asked)) == (4, 5)


async def test_who_reads_at_the_same_time_shares_one_request(office: Office) -> None:
    office.server.held = asyncio.Event()
    office.server.texts = {"custom-1": texts("Hello"), "custom-2": texts("Bye")}
    message, other = await office.message("custom-1"), await office.message("custom-2")
    first = asyncio.create_task(office.titles(message))
    await office.server.was_asked(1)
    second = asyncio.create_task(office.titles(message, other))
    await office.server.was_asked(2)
    office.server.held.set()
    assert [await first, await second] == [["Hello"], ["Hello", "Bye"]]
    assert office.server.names == ["custom-1", "custom-2"]


async def test_who_goes_away_takes_nothing_from_the_others(office: Office) -> None:
    office.server.held = asyncio.Event()
    office.server.texts["custom-1"] = texts("Hello")
    message = await office.message("custom-1")
    first, second = (asyncio.create_task(office.titles(message)) for _ in range(2))
    await office.server.was_asked(1)
    first.cancel()
    office.server.held.set()
    assert await second == ["Hello"]


async def test_an_answer_is_good_for_ten_seconds(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Before")
    assert await office.titles(message) == ["Before"]
    office.server.texts["custom-1"] = texts("After")
    office.now[0] += SECONDS - 0.01
    assert await office.titles(message) == ["Before"]
    office.now[0] += 0.02
    assert await office.titles(message) == ["After"]


async def test_a_message_that_has_the_name_of_a_deleted_one_is_asked_for_anew(office: Office) -> None:
    deleted = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("For some")
    assert await office.titles(deleted) == ["For some"]
    await office.db.write(lambda tx: drop_subject(tx, deleted.id))
    office.server.texts["custom-1"] = texts("For others")
    assert await office.titles(await office.message("custom-1")) == ["For others"]


async def test_another_server_is_asked_as_soon_as_it_is_set(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Before")
    assert await office.titles(message) == ["Before"]
    other = await office.more()
    other.texts["custom-1"] = texts("After")
    await office.set(other.url)
    assert await office.titles(message) == ["After"]


async def test_who_says_nothing_of_where_to_ask_is_not_asked(office: Office) -> None:
    await Endpoints(office.db, office.vault).remove(await tenant_of(office.db, office.seeded))
    message = await office.message("custom-1")
    assert await office.resolver.fill([message]) == [message]
    [asked] = await office.resolver.ask_once([message])
    assert asked.without is Without.NOBODY
    assert office.server.asked == []


async def test_what_was_taken_back_is_not_asked_for(office: Office) -> None:
    message = await office.message("custom-1")
    await office.db.write(lambda tx: messages.blank(tx, message.id, office.clock()))
    gone = await office.load(message.id)
    assert await office.resolver.fill([gone]) == [gone]
    assert office.server.asked == []


async def test_the_third_try_still_counts(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Hello")
    office.server.says = [Says(status=500), Says(status=503)]
    assert await office.titles(message) == ["Hello"]
    assert len(office.server.asked) == 3
    counted = [
        office.registry.get_sample_value("hushpost_resolver_requests_total", {"reason": reason})
        for reason in ("status_5xx", "")
    ]
    assert counted == [2, 1]


async def test_there_is_no_fourth_try(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Hello")
    office.server.says = [Says(status=500)] * 3
    [filled] = await office.resolver.fill([message])
    assert filled.content == {"unresolved": True}
    assert len(office.server.asked) == 3


async def test_a_push_is_worth_one_try(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Hello")
    office.server.says = [Says(status=500)]
    assert [asked.without for asked in await office.resolver.ask_once([message])] == [Without.FAILED]
    [asked] = await office.resolver.ask_once([message])
    assert (asked.without, asked.message.content) == (None, {"title": "Hello"})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_fails_is_left_alone_for_a_moment(office: Office) -> None:
    """Readers are answered at once meanwhile, and the next one after it tries again."""
    message = await office.message("custom-1")
    office.server.hangs = True
    assert await office.titles(message) == [None]
    assert len(office.server.asked) == 3
    office.now[0] += REST - 0.01
    assert await office.titles(message) == [None]
    assert len(office.server.asked) == 3
    office.server.hangs, office.server.texts["custom-1"] = False, texts("Hello")
    office.now[0] += 0.02
    assert await office.titles(message) == ["Hello"]


async def test_after_the_rest_one_tries_and_nobody_waits_for_that(office: Office) -> None:
    message = await office.message("custom-1")
    office.server.says = [Says(status=500)] * 3
    assert await office.titles(message) == [None]
    office.now[0] += REST + 0.01
    office.server.held, office.server.texts["custom-1"] = asyncio.Event(), texts("Hello")
    trying = asyncio.create_task(office.resolver.ask_once([message]))
    await office.server.was_asked(4)
    assert await office.titles(message) == [None]
    office.server.held.set()
    assert (await trying)[0].without is None
    assert len(office.server.asked) == 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_server_that_hangs_holds_up_no_other_tenant(office: Office, random: Random) -> None:
    office.server.held = asyncio.Event()
    other, server = await Seeded.make(office.db, office.clock, random), await office.more()
    await office.set(server.url, other)
    slow = asyncio.create_task(office.titles(await office.message("custom-1")))
    await office.server.was_asked(1)
    server.texts["custom-1"] = texts("Hello")
    assert await office.titles(await office.message("custom-1", of=other)) == ["Hello"]
    assert not slow.done()
    await slow


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_of_many_tenants_nothing_is_remembered_for_ever(
    office: Office, random: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_MOST_ASKERS", 2)
    before = askers()
    for _ in range(6):
        tenant = await Seeded.make(office.db, office.clock, random)
        message = await office.message(of=tenant)
        await office.set(office.server.url, tenant)
        office.server.texts[message.id] = texts("Hello")
        assert await office.titles(message) == ["Hello"]
    assert askers() - before == 2


def askers() -> int:
    gc.collect()
    return sum(isinstance(one, Asker) for one in gc.get_objects())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "says",
    [
        Says(status=404),
        Says(status=204, body=b""),
        Says(body=b"{"),
        Says(body=b"[]"),
        Says(body=b"null"),
        Says(body=b'{"custom-1": "\xff"}'),
        Says(body=b"[" * 100_000),
        Says(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"{}", mtime=0)),
        Says(status=302, headers={"Location": "/elsewhere"}),
        Says(status=307, headers={"Location": "/elsewhere"}),
    ],
    ids=lambda says: f"{says.status} {(says.body or b'')[:12]!r}",
)
async def test_what_is_no_answer_is_a_failure(office: Office, says: Says) -> None:
    message = await office.message("custom-1")
    office.server.texts["custom-1"] = texts("Hello")
    office.server.says = [says] * 3
    assert await office.titles(message) == [None]
    assert len(office.server.asked) == 3


async def test_an_answer_that_is_too_large_is_not_asked_for_again(office: Office) -> None:
    message = await office.message("custom-1")
    answer = json.dumps({"custom-1": texts("Hello")}).encode()
    office.server.says = [Says(body=answer.ljust(size)) for size in (LARGEST_ANSWER + 1, LARGEST_ANSWER)]
    assert await office.titles(message) == [None]
    assert len(office.server.asked) == 1
    assert await office.titles(message) == ["Hello"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_drips_is_not_waited_for(office: Office) -> None:
    office.server.drips = True
    message = await office.message("custom-1")
    async with asyncio.timeout(10 * _HASTY):
        assert await office.titles(message) == [None]


async def test_what_is_wrong_with_one_message_costs_that_one(office: Office) -> None:
    blank, wrong, right = [await office.message(name) for name in ("blank", "wrong", "right")]
    office.server.texts = {
        "blank": texts("{a}", displayHeadlineMessageTemplateData={"a": " "}),
        "wrong": texts("Hello", "bell \x07"),
        "right": texts("Hello"),
    }
    assert await office.titles(blank, wrong, right) == [None, None, "Hello"]


async def test_what_nobody_asked_for_is_passed_over(office: Office) -> None:
    message = await office.message("custom-1")
    answer = {"custom-1": texts("Hello"), "custom-2": texts("Never asked"), "more": [1]}
    office.server.says = [Says(body=json.dumps(answer).encode())]
    assert await office.titles(message) == ["Hello"]
    assert await office.titles(await office.message("custom-2")) == [None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:25/",
    ],
)
async def test_nobody_inside_is_asked_nor_tried_again(office: Office, url: str) -> None:
    await office.set(url.format(port=office.server.url.split(":")[2].split("/")[0]))
    office.server.texts["custom-1"] = texts("Hello")
    assert await office.titles(await office.message("custom-1")) == [None]
    assert not office.server.asked
    assert not office.server.refused


async def test_a_secret_that_cannot_be_read_is_said_to_the_operator(office: Office, random: Random) -> None:
    """The server has another secret than when it was stored: nothing is asked that would be signed wrongly."""
    tenant = await tenant_of(office.db, office.seeded)
    other = vault_of(bytes([1]) * 32, PURPOSE, random)
    await Endpoints(office.db, other).set(tenant, office.server.url, KEY, office.clock())
    assert await office.titles(await office.message("custom-1")) == [None]
    assert not office.server.asked
    assert not office.server.refused
    assert "set it anew" in office.log.entries[0]["event"]


async def test_the_log_says_that_and_why_but_not_where(office: Office) -> None:
    """A secret may stand in the address."""
    await office.set(office.server.url.replace("/texts", f"/{CANARY}"))
    office.server.says = [Says(status=500)] * 3
    assert await office.titles(await office.message("custom-1")) == [None]
    [entry] = office.log.entries
    assert (entry["reason"], entry["tenant"]) == ("status_5xx", await tenant_of(office.db, office.seeded))
    assert CANARY not in str(office.log.entries)
