"""What is asked of others: real receivers on loopback, both engines, a worker that may die at any moment."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook

from server.commands.attachments import Storage
from server.commands.due import prepare_tasks, run_due
from server.domain.outgoing import LEASE, Attempt, Kind, Reason, Request, State, settle
from server.store.files import Files
from server.worker.metrics import OutgoingMetrics
from server.worker.outgoing import PER_HOST, Outgoing
from server.worker.web import Web
from tests.harness.native import listening
from tests.server.conftest import House, Person

DOCUMENTED = (
    (Path(__file__).parents[3] / "docs/webhooks.md").read_text("utf-8").split("```python")[1].split("```")[0]
)
LOOPBACK = [ip_network("127.0.0.1/32")]
DAY = 86_400_000


@dataclass
class Receiver:
    """Somebody who is asked: keeps what came, and answers as it is told, 200 in the end."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)  # arguments of a response
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None  # nobody is answered before it is set

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.came.append(
            ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        self.news.set()
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(**(self.answers.pop(0) if self.answers else {}))

    async def has(self, number: int) -> None:
        while len(self.came) < number:
            self.news.clear()
            await self.news.wait()


@dataclass
class Office:
    """A house with a worker that asks others."""

    house: House
    receiver: Receiver
    files: Files
    start: Callable[[], Awaitable[Outgoing]]
    kill: Callable[[], Awaitable[None]]
    sends: list[int]

    async def rows(self) -> list[dict[str, Any]]:
        found = await self.house.pieces.db.read(
            lambda tx: tx.all("SELECT * FROM outgoing_requests ORDER BY id")
        )
        return [dict(row) for row in found]

    async def until(self, *states: str) -> list[dict[str, Any]]:
        """Wait until the requests are in these states."""
        async with asyncio.timeout(20):
            while True:
                rows = await self.rows()
                if [row["state"] for row in rows] == list(states):
                    return rows


@pytest.fixture
async def office(house: House, tmp_path: Path) -> AsyncIterator[Office]:
    house.clock.now = time.time_ns() // 1_000_000  # receivers look at the time
    async with AsyncExitStack() as stack:
        receiver, files, sends = Receiver(), Files(tmp_path / "attachments"), []
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", receiver.handle)
        receiver.url = await stack.enter_async_context(listening(app))
        running: list[asyncio.Task[None]] = []

        async def kill() -> None:
            """End the worker as a crash does: nothing that is under way is settled."""
            for task in asyncio.all_tasks():
                if task.get_name() in ("outgoing", "outgoing-request"):
                    task.cancel()
            await asyncio.wait(running)

        async def start() -> Outgoing:
            client = Web(LOOPBACK, clock=house.clock)
            stack.push_async_callback(client.close)
            worker = Outgoing(
                house.pieces.db,
                client,
                Storage(files, 1000, 1 << 20),
                secret=house.pieces.secret,
                send=lambda: sends.append(1),
                poll_seconds=0.05,
                metrics=OutgoingMetrics(CollectorRegistry()),
                clock=house.clock,
                random=house.random,
                log=structlog.wrap_logger(structlog.PrintLogger(), processors=[house.log]),
            )
            running[:] = [asyncio.create_task(worker.run(), name="outgoing")]
            return worker

        yield Office(house, receiver, files, start, kill, sends)
        if receiver.hold is not None:
            receiver.hold.set()
        if running:
            await kill()


async def press(office: Office, person: Person, **action: Any) -> tuple[str, dict[str, Any]]:
    """Send somebody a message with a webhook and press it; return the bucket and the request."""
    bucket = await office.house.bucket(person)
    button = {"type": "WEBHOOK", "value": f"{office.receiver.url}/hook", "title": "Ja, genehmigt ✓", **action}
    sent = await office.house.send(person.api, bucket, body="the secret plan", actions=[button])
    answer = await person.api.post(f"/api/v1/notifications/{sent['id']}/actions/0")
    assert answer.status == 202, answer.body
    return bucket, answer["request"]


async def test_a_receiver_verifies_who_pressed_what(office: Office, admin: Person) -> None:
    bucket, request = await press(office, admin)
    await office.start()
    await office.receiver.has(1)
    secret = (await admin.api.get(f"/api/v1/buckets/{bucket}/webhook-secret"))["secret"]
    headers, body = office.receiver.came[0]
    told = Webhook(secret).verify(body, headers)
    assert headers["webhook-id"] == request["id"]
    assert (told["type"], told["data"]["userId"]) == ("notification.action", admin.id)
    assert told["data"]["action"] == {"index": 0, "type": "WEBHOOK", "title": "Ja, genehmigt ✓"}
    assert b"secret plan" not in body
    [row] = await office.until("done")
    assert (row["status"], row["attempts"], row["reason"]) == (200, 1, None)
    assert json.loads(row["payload"]) == {"action": "0"}  # nothing of what was asked is kept


async def test_ten_lines_of_the_documentation_verify_it_too(office: Office, admin: Person) -> None:
    bucket, _ = await press(office, admin)
    await office.start()
    await office.receiver.has(1)
    secret = (await admin.api.get(f"/api/v1/buckets/{bucket}/webhook-secret"))["secret"]
    headers, body = office.receiver.came[0]
    documented: dict[str, Any] = {}
    exec(DOCUMENTED, documented)  # noqa: S102 - our own words
    assert documented["is_genuine"](secret, headers, body)
    assert not documented["is_genuine"](secret, headers, body + b" ")
    assert not documented["is_genuine"](secret, {**headers, "webhook-timestamp": "1"}, body)


async def test_a_secret_that_was_replaced_signs_nothing_any_more(office: Office, admin: Person) -> None:
    bucket, _ = await press(office, admin)
    path = f"/api/v1/buckets/{bucket}/webhook-secret"
    old, new = (await admin.api.get(path))["secret"], (await admin.api.post(f"{path}/rotate"))["secret"]
    await office.start()
    await office.receiver.has(1)
    headers, body = office.receiver.came[0]
    Webhook(new).verify(body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(old).verify(body, headers)
    assert len(base64.b64decode(new.removeprefix("whsec_"))) == 32


async def test_what_fails_is_tried_again_with_the_same_id_and_body(office: Office, admin: Person) -> None:
    _, request = await press(office, admin)
    office.receiver.answers = [{"status": 500}, {"status": 404}]
    worker = await office.start()
    for number, wait in ((1, 6_000), (2, 400_000)):
        await office.receiver.has(number)
        [row] = await office.until("queued")
        assert row["attempts"] == number
        office.house.clock.now += wait
        worker.wake()
    [row] = await office.until("done")
    assert row["attempts"] == 3
    assert {headers["webhook-id"] for headers, _ in office.receiver.came} == {request["id"]}
    assert len({body for _, body in office.receiver.came}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in office.receiver.came}) == 3


async def test_who_is_gone_is_not_asked_again(office: Office, admin: Person) -> None:
    await press(office, admin)
    office.receiver.answers = [{"status": 410}]
    await office.start()
    [row] = await office.until("failed")
    assert (row["reason"], row["status"], row["attempts"]) == ("gone", 410, 1)


async def test_a_webhook_to_this_network_is_refused_and_says_so(office: Office, admin: Person) -> None:
    await press(office, admin, value="http://127.0.0.2:8123/hook")
    await office.start()
    await office.until("failed")
    item = (await admin.api.get("/api/v1/notifications"))["notifications"][0]
    [shown] = (await admin.api.get(f"/api/v1/notifications/{item['id']}/actions"))["requests"]
    assert (shown["state"], shown["reason"], shown["nextAttemptAt"]) == ("failed", "refused_inside", None)


async def test_a_worker_that_dies_in_between_loses_nothing(office: Office, admin: Person) -> None:
    """Killed after the receiver was asked and before that was written: it is asked again, and knows by the id."""
    _, request = await press(office, admin)
    office.receiver.hold = asyncio.Event()
    await office.start()
    await office.receiver.has(1)
    await office.kill()
    [row] = await office.rows()
    assert row["state"] == "leased"
    office.receiver.hold.set()
    office.house.clock.now += LEASE + 1
    await office.start()
    [row] = await office.until("done")
    assert (row["attempts"], len(office.receiver.came)) == (2, 2)
    assert {headers["webhook-id"] for headers, _ in office.receiver.came} == {request["id"]}


async def test_one_host_has_its_places_and_no_more(office: Office, admin: Person) -> None:
    office.receiver.hold = asyncio.Event()
    bucket = await office.house.bucket(admin)
    buttons = [{"type": "WEBHOOK", "value": f"{office.receiver.url}/{n}"} for n in range(PER_HOST + 2)]
    sent = await office.house.send(admin.api, bucket, actions=buttons)
    for number in range(len(buttons)):
        await admin.api.post(f"/api/v1/notifications/{sent['id']}/actions/{number}")
    await office.start()
    await office.receiver.has(PER_HOST)
    rows = await office.rows()
    assert [row["state"] for row in rows].count("leased") == PER_HOST
    office.receiver.hold.set()
    await office.until(*["done"] * len(buttons))


async def test_a_message_waits_for_its_files_and_names_the_copies(office: Office, admin: Person) -> None:
    office.receiver.answers = [{"body": b"\x89PNG", "content_type": "image/png"}]
    sent = await send_with_file(office, admin, f"{office.receiver.url}/cat.png?x=1")
    assert (await admin.api.get("/api/v1/notifications"))["notifications"] == []
    await office.start()
    await office.until("done")
    assert await run_task(office) == "send"
    [item] = (await admin.api.get("/api/v1/notifications"))["notifications"]
    [attachment] = item["message"]["attachments"]
    assert "url" not in attachment
    assert office.files.path(attachment["attachmentUuid"]).read_bytes() == b"\x89PNG"
    assert item["messageId"] == sent
    assert office.sends


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"body": b"x" * 1001}, "too_large"),
        ({"status": 302, "headers": {"Location": "http://10.0.0.1/"}}, "refused_inside"),
    ],
    ids=["too large", "inside"],
)
async def test_a_file_that_cannot_be_had_leaves_its_url(
    office: Office, admin: Person, answer: dict[str, Any], reason: str
) -> None:
    url = f"{office.receiver.url}/cat.png"
    office.receiver.answers = [answer]
    await send_with_file(office, admin, url)
    await office.start()
    [row] = await office.until("failed")
    assert row["reason"] == reason
    assert await run_task(office) == "send"
    [item] = (await admin.api.get("/api/v1/notifications"))["notifications"]
    assert item["message"]["attachments"][0]["url"] == url


async def test_a_file_is_asked_for_three_times(office: Office, admin: Person) -> None:
    office.receiver.answers = [{"status": 404}] * 3
    await send_with_file(office, admin, f"{office.receiver.url}/cat.png")
    worker = await office.start()
    for number, wait in ((1, 3_000), (2, 10_000)):
        await office.receiver.has(number)
        await office.until("queued")
        office.house.clock.now += wait
        worker.wake()
    [row] = await office.until("failed")
    assert (row["reason"], row["attempts"]) == ("status_4xx", 3)
    assert await run_task(office) == "send"


async def test_a_message_waits_a_minute_at_the_longest(office: Office, admin: Person) -> None:
    office.receiver.hold = asyncio.Event()
    await send_with_file(office, admin, f"{office.receiver.url}/cat.png")
    await office.start()
    await office.receiver.has(1)
    assert await run_task(office) is None
    office.house.clock.now += 60_000
    assert await run_task(office) == "send"
    office.receiver.hold.set()
    [row] = await office.until("failed")
    assert row["reason"] == "too_late"
    async with asyncio.timeout(20):  # the file goes once that is written
        while list(office.files.path("0" * 36).parent.parent.glob("??/*")):
            await office.rows()


async def test_what_is_over_is_kept_for_a_month(office: Office, admin: Person) -> None:
    await press(office, admin)
    await office.start()
    await office.until("done")
    for days, left in ((29, 1), (2, 0)):
        office.house.clock.now += days * DAY
        await run_due_named(office, "prune")
        assert len(await office.rows()) == left


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 300), (3, 1800), (4, 7200), (5, 18_000), (6, 36_000), (7, 50_400), (8, 72_000), (9, 86_400)],
)
def test_a_webhook_is_tried_for_three_days(attempts: int, seconds: int) -> None:
    settlement = settle(asked(attempts), Attempt(Reason.STATUS_5XX, 500), now=0, jitter=0)
    assert (settlement.state, settlement.due_at) == (State.QUEUED, seconds * 1000)


def test_a_receiver_may_ask_for_more_time_and_a_tenth_attempt_is_the_last() -> None:
    busy = Attempt(Reason.STATUS_5XX, 503, 900)
    assert settle(asked(1), busy, now=0, jitter=0).due_at == 900_000
    assert settle(asked(3), busy, now=0, jitter=0).due_at == 1_800_000
    assert settle(asked(1), Attempt(Reason.STATUS_4XX, 429, 10**9), now=0, jitter=0).due_at == DAY
    assert settle(asked(10), busy, now=0, jitter=0).state is State.FAILED


def asked(attempts: int) -> Request:
    return Request("id", Kind.WEBHOOK, None, None, "", {}, attempts, 0)


async def send_with_file(office: Office, person: Person, url: str) -> str:
    bucket = await office.house.bucket(person)
    file = {"mediaType": "IMAGE", "url": url, "saveOnServer": True}
    sent = await office.house.send(person.api, bucket, attachments=[file])
    assert sent.status == 201, sent.body
    return str(sent["id"])


async def run_task(office: Office) -> str | None:
    """Run what is due, as the scheduler does."""
    pieces = office.house.pieces
    task = await run_due(pieces.db, now=pieces.clock(), random=pieces.random, log=pieces.log)
    return None if task is None else task.kind.value


async def run_due_named(office: Office, kind: str) -> None:
    await prepare_tasks(office.house.pieces.db, 0)
    while (ran := await run_task(office)) != kind:
        assert ran is not None


@pytest.mark.parametrize("later", [False, True])
async def test_a_message_whose_time_comes_before_its_file_waits_for_that(
    office: Office, admin: Person, *, later: bool
) -> None:
    """Whether it was sent with that time, or was given it while it was held."""
    bucket = await office.house.bucket(admin)
    file = {"mediaType": "IMAGE", "url": f"{office.receiver.url}/a.png", "saveOnServer": True}
    time_ = {"delaySeconds": 1}
    sent = await office.house.send(admin.api, bucket, attachments=[file], **({} if later else time_))
    assert sent.status == 201, sent.body
    if later:
        changed = await admin.api.call("PATCH", f"/api/v1/messages/{sent['id']}", time_)
        assert changed.status == 200, changed.body
    office.house.clock.now += 1_500
    assert await run_task(office) is None
    await office.start()
    await office.until("done")
    assert await run_task(office) == "send"
    message = await admin.api.get(f"/api/v1/messages/{sent['id']}")
    assert "attachmentUuid" in message["attachments"][0]


async def test_a_message_whose_file_comes_before_its_time_waits_for_that(
    office: Office, admin: Person
) -> None:
    bucket = await office.house.bucket(admin)
    file = {"mediaType": "IMAGE", "url": f"{office.receiver.url}/a.png", "saveOnServer": True}
    await office.house.send(admin.api, bucket, attachments=[file], delaySeconds=5)
    await office.start()
    await office.until("done")
    assert await run_task(office) is None
    office.house.clock.now += 5_000
    assert await run_task(office) == "send"
