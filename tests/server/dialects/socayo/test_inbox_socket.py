"""What an inbox's socket tells: each message once, whatever happens in between."""

import random as pseudo
from collections.abc import Sequence

import pytest

from server.api.sockets import CLOSE_BEHIND, CLOSE_CREDENTIAL
from server.domain.inbox import KEPT, OVERLAP
from tests.harness.inboxes import following
from tests.server.dialects.socayo import reader
from tests.server.dialects.socayo.reader import LATE, MINUTE, Ann

ann = reader.ann


async def test_what_comes_is_told_with_what_is_new_then(ann: Ann) -> None:
    async with following(ann.house.api.session, ann.house.api.url, await ann.session()) as client:
        first, second = await client.next(), await client.next()
        assert [(one["type"], one["data"]) for one in (first, second) if one is not None] == [
            ("unseen_count_changed", {"unseenCount": 0}),
            ("unread_count_changed", {"unreadCount": 0}),
        ]
        await ann.send("Hello")
        told = await client.next()
        assert told is not None
        assert (told["type"], told["data"]) == ("notification_received", await ann.row("Hello"))
        await client.until_counted(1, 1)


async def test_marks_change_the_counts_and_are_no_messages(ann: Ann) -> None:
    async with ann.follow() as client:
        await ann.send("a", "b")
        await client.until_received("a", "b")
        await client.until_counted(2, 2)
        for status, unseen, unread in (
            ("SEEN", 0, 2),
            ("UNSEEN", 3, 3),  # and what was read long ago
            ("READ", 0, 0),
            ("UNREAD", 0, 3),
            ("UNSEEN", 3, 3),
        ):
            ann.house.clock.advance(1)
            await ann.mark_all(status)
            await client.until_counted(unseen, unread)
        await ann.send("c")
        await client.until_received("a", "b", "c")


async def test_a_count_is_told_when_it_is_another(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        await ann.send("a")
        await client.until_counted(1, 1)
        await ann.mark_all("SEEN")
        told = await client.next()
        assert told is not None
        assert told["data"] == {"unseenCount": 0}  # what is unread is as it was
        await ann.mark_all("READ")
        told = await client.next()
        assert told is not None
        assert told["data"] == {"unreadCount": 0}


async def test_other_users_are_told_nothing(ann: Ann) -> None:
    async with ann.follow() as client:
        body = {"userId": "ben", "channel": "IN_APP", "content": {"title": "not yours"}}
        await ann.servers.rpc("manage/send", body)
        await ann.send("yours")
        await client.until_received("yours")


async def test_who_comes_again_is_told_what_came_in_between_and_nothing_twice(ann: Ann) -> None:
    """Within the half minute in which the native streams repeat themselves."""
    async with ann.follow() as client:
        await ann.send("a", "b")
        await client.until_received("a", "b")
    await ann.send("c")
    ann.house.clock.advance(1)
    await ann.send("d")
    async with ann.follow(client.last) as again:
        await ann.send("e")
        await again.until_received("c", "d", "e")
        await again.until_counted(5, 5)


async def test_a_socket_that_was_told_only_counts_goes_on_as_well(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
    await ann.send("a")
    async with ann.follow(client.last) as again:
        await again.until_received("a")


async def test_what_was_marked_while_one_was_away_came_all_the_same_and_what_is_gone_did_not(
    ann: Ann,
) -> None:
    async with ann.follow() as client:
        await ann.send("told")
        await client.until_received("told")
    await ann.send("deleted")
    await ann.servers.for_user("ann").rpc(
        "delete-inbox-message", {"messageId": (await ann.row("deleted"))["messageId"]}
    )
    ann.house.clock.advance(3 * OVERLAP)
    await ann.send("read")
    await ann.mark_all("READ")
    ann.house.clock.advance(3 * OVERLAP)
    await ann.send("new")
    async with ann.follow(client.last) as again:
        await again.until_received("read", "new")
        await ann.send("newer")
        await again.until_received("read", "new", "newer")


async def test_what_was_gone_before_it_could_be_told_is_not_told(ann: Ann) -> None:
    async with ann.follow() as client:
        await ann.commit("gone", at=ann.house.clock(), gone=True)
        await ann.commit("there", at=ann.house.clock())
        await client.until_received("there")
        await client.until_counted(1, 1)


async def test_a_message_that_was_told_and_deleted_does_not_bring_others_again(ann: Ann) -> None:
    async with ann.follow() as client:
        await ann.send("a", "b")
        await client.until_received("a", "b")
        await ann.servers.for_user("ann").rpc(
            "delete-inbox-message", {"messageId": (await ann.row("a"))["messageId"]}
        )
        await client.until_counted(1, 1)
    await ann.send("c")
    async with ann.follow(client.last) as again:
        await again.until_received("c")
        await again.until_counted(2, 2)


async def test_what_is_committed_late_is_told_once(ann: Ann) -> None:
    """To who is there, and to who was away when it was committed, though later ones were told before."""
    now = ann.house.clock()
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        await ann.commit("in time", at=now)
        await client.until_received("in time")
        await ann.commit("late", at=now - LATE)
        ann.house.clock.advance(5_000)
        ann.house.pieces.hint()
        await client.until_received("in time", "late")
    await ann.commit("later", at=now - LATE)
    async with ann.follow(client.last) as again:
        await again.until_received("later")
        await again.until_counted(3, 3)
    assert again.received == ["later"]


async def test_of_several_that_were_late_each_is_told_once(ann: Ann) -> None:
    """Those of the same millisecond too."""
    now = ann.house.clock()
    async with ann.follow() as client:
        await ann.commit("in time", "in time, too", at=now)
        await client.until_received("in time", "in time, too")
    late = [f"late {number}" for number in range(20)]
    await ann.commit(*late, at=now - LATE)
    await ann.commit("at once", "at once, too", at=now)
    async with ann.follow(client.last) as again:
        await again.until_received(*late, "at once", "at once, too")
        await ann.send("last")
        await again.until_received(*late, "at once", "at once, too", "last")


async def test_of_more_than_can_be_told_apart_none_is_lost(ann: Ann) -> None:
    """All of that half minute is told again."""
    now = ann.house.clock()
    many = [f"{number}" for number in range(150)]
    async with ann.follow() as client:
        await ann.commit(*many, at=now)
        await client.until_received(*many)
    async with ann.follow(client.last) as again:
        await again.until_counted(150, 150)
        await ann.commit("one more", at=now)
        await again.until_received("one more")
    await ann.commit("late", "later", at=now - LATE)
    async with ann.follow(again.last) as once_more:
        await once_more.until_received(*many, "one more", "late", "later")


async def test_a_long_absence_is_made_up_for_in_pages(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is cut again on the way."""
    monkeypatch.setattr("server.live.arrivals.PAGE", 3)
    async with ann.follow() as client:
        await client.until_counted(0, 0)
    expected = []
    for number in range(20):
        expected.append(f"{number:02}")
        await ann.commit(expected[-1], at=ann.house.clock())
        ann.house.clock.advance(OVERLAP // 4)
    received: list[str] = []
    while len(received) < len(expected):
        async with ann.follow(client.last) as client:
            while len(client.received) < 4 and len(received) + len(client.received) < len(expected):
                await client.next()
            received += client.received
    assert received == expected


async def test_who_falls_behind_is_closed_and_misses_nothing(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.live.connection.MOST_WAITING", 3)
    async with ann.follow() as client:
        await ann.send("a")
        await client.until_received("a")
        titles = [f"{number}" for number in range(10)]
        await ann.commit(*titles, at=ann.house.clock())
        assert await client.end() == CLOSE_BEHIND
    async with ann.follow(client.last) as again:
        await again.until_received(*titles)


@pytest.mark.parametrize("age", [KEPT + 1, -OVERLAP - 1])
async def test_what_cannot_be_gone_on_from_is_a_reset(ann: Ann, age: int) -> None:
    """The feed is read again then."""
    async with ann.follow(f"{ann.house.clock() - age}.{0:032x}") as client:
        told = await client.next()
        assert told is not None
        assert (told["type"], told["data"]) == ("reset", {})
        await client.until_counted(0, 0)
        await ann.send("a")
        await client.until_received("a")


async def test_the_clock_may_be_set_forward_or_back(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        titles = []
        for step in (0, 10 * MINUTE, -10 * MINUTE, 1):
            ann.house.clock.advance(step)
            titles.append(str(step))
            await ann.commit(titles[-1], at=ann.house.clock())
            await client.until_received(*titles)


async def test_when_the_token_expires_the_socket_is_closed_and_a_new_one_goes_on(ann: Ann) -> None:
    async with ann.follow() as client:
        await ann.send("a")
        await client.until_received("a")
        ann.house.clock.advance(15 * MINUTE)
        await ann.send("b")
        assert await client.end() == CLOSE_CREDENTIAL
    assert client.received == ["a"]
    async with ann.follow(client.last) as again:
        await again.until_received("b")


async def test_nothing_is_told_once_the_token_has_expired(ann: Ann) -> None:
    """Also where it was looked at a moment before."""
    async with ann.follow() as client:
        ann.house.clock.advance(15 * MINUTE - 30_000)
        await ann.send("a")
        await client.until_received("a")
        ann.house.clock.advance(30_000)
        await ann.send("b")
        assert await client.end() == CLOSE_CREDENTIAL
    assert client.received == ["a"]


async def test_a_socket_ends_within_a_minute_of_its_user(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        await ann.servers.rpc("manage/delete-subscriber", {"userId": "ann"})
        ann.house.clock.advance(MINUTE)
        ann.house.pieces.hint()
        assert await client.end() == CLOSE_CREDENTIAL


async def test_the_metrics_say_who_is_connected_and_what_was_told(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        text = (await ann.servers.api.get("/metrics")).body.decode()
    assert 'hushpost_live_connections{kind="inbox"} 1.0' in text
    assert 'hushpost_live_events_total{event="unseen_count_changed"} 1.0' in text


@pytest.mark.parametrize("seed", range(4))
async def test_who_comes_and_goes_is_told_each_message_once(ann: Ann, seed: int) -> None:
    """Whatever happens meanwhile, committed in time or late."""
    chance = pseudo.Random(seed)  # noqa: S311 - it must repeat
    async with ann.follow() as client:
        await client.until_counted(0, 0)
    sent: list[str] = []
    received: list[str] = []
    for round_ in range(12):
        titles = [f"{round_}.{number}" for number in range(chance.randrange(1, 5))]
        late = [f"{round_}.late {number}" for number in range(chance.randrange(4))]
        sent += [*titles, *late]
        before = chance.random() < 0.5
        if before:
            await _happen(ann, titles, late, chance)
        async with ann.follow(client.last) as client:
            if not before:
                await client.until_counted(*await _counts(ann))
                await _happen(ann, titles, late, chance)
            while len(received) + len(client.received) < len(sent):
                assert await client.next() is not None
            await client.until_counted(*await _counts(ann))
            received += client.received
        ann.house.clock.advance(chance.choice((1, 1_000, OVERLAP // 2, 2 * OVERLAP)))
    assert sorted(received) == sorted(sent)


async def _happen(ann: Ann, titles: Sequence[str], late: Sequence[str], chance: pseudo.Random) -> None:
    now = ann.house.clock()
    await ann.commit(*titles, at=now)
    if chance.random() < 0.5:
        await ann.mark_all(chance.choice(("SEEN", "READ", "UNREAD", "UNSEEN")))
    await ann.commit(*late, at=now - chance.randrange(LATE))
    ann.house.clock.advance(5_000)  # a hub looks back as far as that now and then
    ann.house.pieces.hint()


async def _counts(ann: Ann) -> tuple[int, int]:
    counted = await ann.servers.for_user("ann").rpc("get-inbox-unseen-count")
    return counted["unseenCount"], counted["unreadCount"]
