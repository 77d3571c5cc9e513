"""Changing what was sent: which devices are told, with which text, wherever their deliveries stand."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import pytest
import structlog

from crypto.claim import open_claim
from crypto.encoding import unb64u
from crypto.envelope import open_envelope
from server.commands import changes, takeback
from server.commands.changes import ChangeMessage, change
from server.commands.due import run_due
from server.commands.fetch import Fetch, fetch
from server.commands.inbox import ListItems, get_item, list_items
from server.commands.marks import delete_items
from server.commands.messages import retract
from server.domain.account import User
from server.domain.delivery import Parcel
from server.domain.errors import Gone
from server.domain.message import Message
from server.domain.ports import Database, Transaction
from server.domain.task import Kind
from server.store.claims import find_blob
from server.store.members import remove_member
from tests.harness.calendar import Calendar, reminding
from tests.harness.model_world import World

T = TypeVar("T")

ALL = ["ben", "ben's tablet", "cleo"]
MESSAGE, RETRACT, READ, UPDATE = 1, 2, 3, 4


async def edit(calendar: Calendar, message: Message, user: User | None = None, **content: Any) -> Message:
    return await change(
        calendar.db,
        user or calendar.ann,
        message.id,
        ChangeMessage(content, None),
        now=calendar.now,
        random=calendar.world.random,
        wake=lambda: None,
    )


async def take_back(calendar: Calendar, message: Message) -> None:
    await retract(
        calendar.db,
        calendar.ann,
        message.id,
        clock=lambda: calendar.now,
        random=calendar.world.random,
        wake=lambda: None,
    )


def texts(parcels: Sequence[Parcel]) -> set[str]:
    return {json.loads(parcel.body or "")["title"] for parcel in parcels}


async def test_what_still_waits_goes_out_with_the_new_text_and_once(calendar: Calendar) -> None:
    message = await calendar.send()
    await edit(calendar, message, title="New")
    assert await calendar.run() == [Kind.UPDATE]
    got = await calendar.deliver()
    assert calendar.names(got) == [(name, MESSAGE) for name in ALL]
    assert texts(got) == {"New"}


async def test_what_is_under_way_or_delivered_is_followed_by_the_new_text(calendar: Calendar) -> None:
    """Each device once, with a number of its own: one frame for all of them, about the message."""
    message = await calendar.send()
    under_way = await calendar.lease()
    await edit(calendar, message, title="New")
    await calendar.run()
    await calendar.settle(under_way)
    updates = await calendar.deliver()
    assert calendar.names(updates) == [(name, UPDATE) for name in ALL]
    assert {(parcel.of, parcel.sequence) for parcel in updates} == {(message.id, 2)}
    [frame] = {parcel.frame_id for parcel in updates}
    assert frame != message.id
    assert texts(updates) == {"New"}
    await calendar.check()


async def test_a_device_with_several_frames_of_it_is_told_once(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they are on several pages; of a web push as well."""
    monkeypatch.setattr(changes, "PAGE", 2)
    calendar.phones["web"], _ = await calendar.world.pair(calendar.cleo, web=True)
    message = await calendar.send(options=reminding(5))
    await calendar.deliver()
    await calendar.wait(5)
    await calendar.deliver()
    await edit(calendar, message, title="New")
    assert (await calendar.run()).count(Kind.UPDATE) >= 4
    assert calendar.names(await calendar.deliver()) == [(name, UPDATE) for name in [*ALL, "web"]]
    items = await calendar.rows("inbox_items")
    assert {item["changed_at"] for item in items} == {calendar.now}


async def test_who_has_left_the_bucket_is_not_told_what_it_says_now(calendar: Calendar) -> None:
    message = await calendar.send()
    await calendar.deliver()
    await calendar.db.write(lambda tx: remove_member(tx, calendar.bucket, calendar.ben.id))
    await edit(calendar, message, title="New")
    await calendar.run()
    assert calendar.names(await calendar.deliver()) == [("cleo", UPDATE)]


async def test_of_several_changes_each_brings_the_newest_text(calendar: Calendar) -> None:
    message = await calendar.send()
    await calendar.deliver()
    for title in ("one", "two", "three"):
        await edit(calendar, message, title=title)
        if title != "two":  # its task gives way to the next one's
            await calendar.run()
    got = await calendar.deliver()
    assert calendar.names(got) == sorted((name, UPDATE) for name in ALL * 2)
    assert texts(got) == {"three"}
    assert len({parcel.frame_id for parcel in got}) == 2


async def test_the_same_again_changes_nothing_and_tells_nobody(calendar: Calendar) -> None:
    message = await calendar.send()
    await calendar.deliver()
    again = await edit(calendar, message, title=(message.content or {})["title"], body=None)
    assert (again, await calendar.rows("tasks")) == (message, [])


async def test_who_deleted_it_is_not_told(calendar: Calendar) -> None:
    message = await calendar.send()
    await calendar.deliver()
    await calendar.db.write(
        lambda tx: delete_items(
            tx, calendar.ben.id, [message.id], but_device=None, now=calendar.now, random=calendar.world.random
        )
    )
    await calendar.deliver()
    await edit(calendar, message, title="New")
    await calendar.run()
    assert calendar.names(await calendar.deliver()) == [("cleo", UPDATE)]


async def test_what_is_no_news_any_more_changes_in_the_inbox_only(calendar: Calendar) -> None:
    message = await calendar.send(ttl=60_000)
    await calendar.deliver()
    await calendar.wait(1)
    assert (await edit(calendar, message, title="New")).content == {**(message.content or {}), "title": "New"}
    assert await calendar.run() == [Kind.UPDATE]
    assert await calendar.deliver() == []
    assert {item["changed_at"] for item in await calendar.rows("inbox_items")} == {calendar.now}


async def test_the_claim_on_the_old_text_is_gone_and_the_new_one_has_its_own(calendar: Calendar) -> None:
    """Of a message that does not fit into a push, a device that comes back is given the new text, whole."""
    message = await calendar.send(
        body=noise(calendar, 500), tags=tuple(noise(calendar, 100) for _ in range(10))
    )
    old = await claimed(calendar)
    await edit(calendar, message, body=noise(calendar, 500))
    assert await blob(calendar, old) is None
    new = await claimed(calendar)
    assert new["claim"]["key"] != old["claim"]["key"]
    assert await blob(calendar, new) is not None


@dataclass
class Late:
    """A database to which somebody comes late: something else is written right before them, once."""

    db: Database
    before: Callable[[], Awaitable[object]] | None

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.db.read(job)

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await self.db.write(job)


async def test_no_claim_is_kept_on_what_was_changed_while_it_was_sealed(calendar: Calendar) -> None:
    """It would be found ever after, and lead who reads the new text's beginning to the old text."""
    tags = tuple(noise(calendar, 100) for _ in range(10))
    message = await calendar.send(body=noise(calendar, 500), tags=tags)
    new = noise(calendar, 500)
    late = Late(calendar.db, lambda: edit(calendar, message, body=new))
    for db in (late, calendar.db):
        assert await whole(calendar, await claimed(calendar, db)) == new
    assert late.before is None


async def test_what_is_retracted_while_devices_are_told_goes_no_further(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PAGE", 2)
    message = await calendar.send()
    await calendar.deliver()
    await edit(calendar, message, title="New")
    await run_due(calendar.db, now=calendar.now, random=calendar.world.random, log=structlog.get_logger())
    told = await calendar.lease()
    assert 1 <= len(told) <= 2
    await take_back(calendar, message)
    assert await calendar.run() == []
    await calendar.settle(told)  # these were on their way
    got = await calendar.deliver()
    assert calendar.names(got) == [(name, RETRACT) for name in ALL]
    named = {id_ for parcel in got for id_ in json.loads(parcel.body or "")["ids"]}
    assert named == {message.id, told[0].frame_id}
    with pytest.raises(Gone):
        await edit(calendar, message, title="Newer")
    await calendar.check()


async def test_a_queued_change_of_what_is_retracted_is_never_sent(calendar: Calendar) -> None:
    message = await calendar.send()
    await calendar.deliver()
    await edit(calendar, message, title="New")
    await calendar.run()
    await take_back(calendar, message)
    assert calendar.names(await calendar.deliver()) == [(name, RETRACT) for name in ALL]
    assert {row["state"] for row in await calendar.rows("deliveries", kind=UPDATE)} == {"cancelled"}


async def test_a_retraction_goes_on_page_by_page(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later page would cancel is not sent before that: there is nothing to send."""
    monkeypatch.setattr(takeback, "PAGE", 2)
    message = await calendar.send()
    held = await calendar.lease()
    await edit(calendar, message, title="New")
    await calendar.run()
    await take_back(calendar, message)
    await calendar.settle(held)
    assert {parcel.kind.value for parcel in await calendar.deliver()} <= {RETRACT}
    assert set(await calendar.run()) == {Kind.RETRACT}
    assert {parcel.kind.value for parcel in await calendar.deliver()} == {RETRACT}
    states = Counter(row["state"] for row in await calendar.rows("deliveries", kind=UPDATE))
    assert states == {"cancelled": 3}
    notices = [json.loads(row["body"]) for row in await calendar.rows("deliveries", kind=RETRACT)]
    assert sum(message.id in notice["ids"] for notice in notices) == 3
    await calendar.check()


async def test_what_is_taken_back_is_gone_for_everybody_before_it_has_left_every_inbox(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large message the items go a page at a time; a page of an inbox that holds nothing else leads to the next one."""
    monkeypatch.setattr(takeback, "PAGE", 1)
    older, message = await calendar.send(), await calendar.send(title="Secret plans")
    await take_back(calendar, message)
    items = await calendar.rows("inbox_items", message_id=message.id)
    assert sorted(item["deleted_at"] is None for item in items) == [False, True]
    for reader in (calendar.ben, calendar.cleo):
        [item] = [item["id"] for item in items if item["user_id"] == reader.id]
        with pytest.raises(Gone):
            await get_item(calendar.db, reader, item)
        assert await read_through(calendar, reader) == [older.id]
    assert Kind.RETRACT in await calendar.run()
    items = await calendar.rows("inbox_items", message_id=message.id)
    assert all(item["deleted_at"] is not None for item in items)
    await calendar.check()


async def test_what_is_taken_back_twice_goes_on_being_taken_back(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time finds the pages of the first one still to come, and leaves them."""
    monkeypatch.setattr(takeback, "PAGE", 1)
    message = await calendar.send()
    await calendar.deliver()
    await take_back(calendar, message)
    await take_back(calendar, message)
    await calendar.run()
    items = await calendar.rows("inbox_items", message_id=message.id)
    assert all(item["deleted_at"] is not None for item in items)
    assert calendar.names(await calendar.deliver()) == [(name, RETRACT) for name in ALL]
    await calendar.check()


async def read_through(calendar: Calendar, reader: User) -> list[str]:
    """Read an inbox to its end, one item a page; return the ids of the messages that it shows."""
    shown: list[str] = []
    place: str | None = None
    while True:
        command = ListItems(bucket=None, unread=False, since=None, before=place, limit=1)
        page = await list_items(calendar.db, reader, command)
        shown += [item.message.id for item in page.items]
        place = page.next
        if place is None:
            return shown


@pytest.mark.parametrize("page", [1, 7])
async def test_a_message_that_is_still_going_out_changes_for_those_to_come(
    database: Database, page: int
) -> None:
    with ThreadPoolExecutor(1) as pool:
        calendar = await Calendar.make(await World.make(database, page, pool))
    message = await calendar.send()
    first = await calendar.lease()
    await edit(calendar, message, title="New")
    await calendar.run()
    rest = await calendar.deliver()
    await calendar.settle(first)
    rest += await calendar.deliver()
    got = {(parcel.device_id, parcel.kind.value) for parcel in rest}
    assert texts(rest) == {"New"}
    for device in calendar.phones.values():  # each has the new text, by a change or from the start
        was_first = any(parcel.device_id == device for parcel in first)
        assert ((device, UPDATE) in got) == was_first
        assert ((device, MESSAGE) in got) != was_first


def noise(calendar: Calendar, length: int) -> str:
    """Return text that does not compress."""
    return "".join(chr(0x4E00 + int.from_bytes(calendar.world.random(2)) % 20_000) for _ in range(length))


async def claimed(calendar: Calendar, db: Any = None) -> dict[str, Any]:
    """Return what Cleo's phone is shown of the newest message when it fetches: a preview with a claim."""
    world, phone = calendar.world, calendar.phones["cleo"]
    calling = world.calling(phone, calendar.cleo.id)
    got = await fetch(
        db or calendar.db,
        calling,
        Fetch(0, 10),
        sealer=world.sealer,
        resolver=world.resolver,
        now=calendar.now,
    )
    keys, device = [world.phones[phone]], UUID(phone)
    envelope = got.messages[-1].envelope or b""
    frame = open_envelope(envelope, keys=keys, device_id=device, server=world.sealer.identity.public)
    body: dict[str, Any] = json.loads(frame.body)
    assert body["truncated"]
    return body


async def whole(calendar: Calendar, shown: dict[str, Any]) -> str:
    """Return the text that Cleo's phone finds behind a preview."""
    claim, sealed = shown["claim"], await blob(calendar, shown)
    [row] = [row for row in await calendar.rows("claims") if row["id"] == claim["id"]]
    opened = open_claim(
        sealed or b"",
        message_id=UUID(row["frame_id"]),
        device_id=UUID(calendar.phones["cleo"]),
        key=unb64u(claim["key"]),
        sha256=unb64u(claim["sha256"]),
        size=claim["size"],
    )
    return str(json.loads(opened)["body"])


async def blob(calendar: Calendar, shown: dict[str, Any]) -> bytes | None:
    phone = calendar.phones["cleo"]
    return await calendar.db.read(lambda tx: find_blob(tx, shown["claim"]["id"], phone))
