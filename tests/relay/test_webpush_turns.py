"""Whose push goes next where a host may say nothing: bounds in all, by host and by server, and turns among them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from relay.providers.provider import CONNECTION_LOST, INTERNAL, TIMEOUT, Delivery, Verdict
from relay.providers.webpush_turns import Bounds, Turns

ACCEPTED = Verdict("accepted")
LONG = 60.0


class Ends:
    """The other ends: each attempt stays under way until the test ends it."""

    def __init__(self, bounds: Bounds, seconds: float = LONG) -> None:
        self.turns = Turns(self._attempt, bounds, seconds)
        self.under_way: dict[str, asyncio.Future[Verdict]] = {}
        self.begun: list[str] = []
        self.hosts: Counter[str] = Counter()
        self.verdicts: dict[str, Verdict] = {}
        self._said = asyncio.Condition()

    async def _attempt(self, delivery: Delivery, host: str) -> Verdict:
        self.begun.append(delivery.id)
        self.hosts[host] += 1
        self.under_way[delivery.id] = asyncio.get_running_loop().create_future()
        await self._tell()
        try:
            return await self.under_way[delivery.id]
        finally:
            self.hosts[host] -= 1
            del self.under_way[delivery.id]

    async def _tell(self) -> None:
        async with self._said:
            self._said.notify_all()

    def push(self, name: str, *, server: str = "server", host: str = "host", high: bool = False) -> None:
        delivery = Delivery(
            id=name,
            token="",
            data={},
            high=high,
            ttl=60,
            collapse="",
            background=False,
            server=server,
        )

        def done(verdict: Verdict) -> None:
            assert name not in self.verdicts
            self.verdicts[name] = verdict
            tasks.append(asyncio.ensure_future(self._tell()))

        tasks: list[asyncio.Future[None]] = []
        self.turns.begin(delivery, host, done)

    async def until_begun(self, *names: str) -> None:
        async with asyncio.timeout(5), self._said:
            await self._said.wait_for(lambda: set(names) <= set(self.begun))

    async def until_done(self, *names: str) -> None:
        async with asyncio.timeout(5), self._said:
            await self._said.wait_for(lambda: set(names) <= self.verdicts.keys())

    async def end(self, *names: str) -> None:
        for name in names:
            self.under_way[name].set_result(ACCEPTED)
        await self.until_done(*names)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Room for six, three to one host, four of one server."""
    made = Ends(Bounds(total=6, host=3, server=4))
    yield made
    await made.turns.close()


def several(ends: Ends, count: int, *, server: str, host: str) -> list[str]:
    names = [f"{server}-{host}-{number}" for number in range(count)]
    for name in names:
        ends.push(name, server=server, host=host)
    return names


async def test_a_host_that_says_nothing_takes_its_part_and_no_more(ends: Ends) -> None:
    slow = several(ends, 20, server="a", host="slow")
    quick = several(ends, 1, server="a", host="quick")
    await ends.until_begun(*slow[:3], *quick)
    assert ends.begun == [*slow[:3], *quick]
    await ends.end(*quick)
    assert ends.hosts["slow"] == 3


async def test_a_server_with_many_such_hosts_takes_its_part_and_no_more(ends: Ends) -> None:
    for number in range(20):
        ends.push(f"a-{number}", server="a", host=f"slow-{number}")
    ends.push("b", server="b", host="quick")
    await ends.until_begun("b")
    assert ends.begun == ["a-0", "a-1", "a-2", "a-3", "b"]
    await ends.end("b")


async def test_never_more_are_under_way_than_in_all(ends: Ends) -> None:
    for number in range(30):
        ends.push(str(number), server=f"server-{number}", host=f"host-{number}")
    await ends.until_begun("5")
    assert len(ends.under_way) == 6
    for number in range(30):
        await ends.until_begun(str(number))
        await ends.end(str(number))
        assert len(ends.under_way) <= 6
    assert all(verdict == ACCEPTED for verdict in ends.verdicts.values())


async def test_servers_take_turns_however_much_one_has_waiting(ends: Ends) -> None:
    flood = several(ends, 50, server="a", host="x") + several(ends, 50, server="a", host="y")
    little = several(ends, 2, server="b", host="z")
    await ends.until_begun(*little)
    assert len(set(flood) & set(ends.begun)) == 4


async def test_a_flood_waits_for_one_of_every_other_servers() -> None:
    ends = Ends(Bounds(total=1, host=1, server=1))
    flood = several(ends, 4, server="a", host="x")
    other = several(ends, 2, server="b", host="y")
    for name in (flood[0], flood[1], other[0], flood[2], other[1], flood[3]):
        await ends.until_begun(name)
        await ends.end(name)
    assert ends.begun == [flood[0], flood[1], other[0], flood[2], other[1], flood[3]]
    await ends.turns.close()


async def test_among_one_servers_hosts_turns_are_taken_too() -> None:
    ends = Ends(Bounds(total=1, host=1, server=1))
    first = several(ends, 5, server="a", host="x")
    other = several(ends, 1, server="a", host="y")
    for name in (first[0], first[1], other[0], first[2]):
        await ends.until_begun(name)
        await ends.end(name)
    assert ends.begun[:4] in (
        [first[0], first[1], other[0], first[2]],
        [first[0], other[0], first[1], first[2]],
    )
    await ends.turns.close()


async def test_what_is_urgent_goes_before_what_waits_for_the_same_host() -> None:
    ends = Ends(Bounds(total=1, host=1, server=1))
    ends.push("first")
    ends.push("second")
    ends.push("urgent", high=True)
    await ends.until_begun("first")
    await ends.end("first")
    await ends.until_begun("urgent")
    await ends.end("urgent")
    await ends.until_begun("second")
    assert ends.begun == ["first", "urgent", "second"]
    await ends.turns.close()


async def test_what_waited_for_a_full_host_goes_when_there_is_room(ends: Ends) -> None:
    names = several(ends, 9, server="a", host="x")
    for name in names:
        await ends.until_begun(name)
        await ends.end(name)
    assert ends.begun == names


async def test_what_is_under_way_and_what_waits_end_with_their_time() -> None:
    ends = Ends(Bounds(total=1, host=1, server=1), seconds=0.05)
    names = several(ends, 3, server="a", host="x") + several(ends, 3, server="b", host="y")
    await ends.until_done(*names)
    assert set(ends.verdicts.values()) == {TIMEOUT}
    assert ends.turns._waiting == {}
    assert (ends.turns._by_host, ends.turns._by_server) == ({}, {})
    await ends.turns.close()


async def test_what_had_its_turn_is_not_given_up_when_the_time_would_have_been_over() -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    ends = Ends(Bounds(total=1, host=1, server=1), seconds=0.05)
    ends.push("quick")
    await ends.until_begun("quick")
    await ends.end("quick")
    ends.push("slow")
    await ends.until_done("slow")
    assert (ends.verdicts, faults) == ({"quick": ACCEPTED, "slow": TIMEOUT}, [])


async def test_a_fault_of_one_attempt_costs_no_other_its_outcome(ends: Ends) -> None:
    names = several(ends, 2, server="a", host="x")
    await ends.until_begun(*names)
    ends.under_way[names[0]].set_exception(RuntimeError("canary"))
    await ends.until_done(names[0])
    await ends.end(names[1])
    assert ends.verdicts == {names[0]: INTERNAL, names[1]: ACCEPTED}


async def test_closing_ends_everything_once() -> None:
    ends = Ends(Bounds(total=2, host=2, server=2))
    names = several(ends, 5, server="a", host="x")
    await ends.until_begun(*names[:2])
    await ends.turns.close()
    await ends.until_done(*names)
    assert set(ends.verdicts.values()) == {CONNECTION_LOST}


async def test_closing_before_the_first_step_leaves_nobody_without_an_outcome() -> None:
    ends = Ends(Bounds(total=2, host=2, server=2))
    names = several(ends, 5, server="a", host="x")
    await ends.turns.close()
    await ends.until_done(*names)
    assert ends.begun == []
    assert set(ends.verdicts.values()) == {CONNECTION_LOST}
