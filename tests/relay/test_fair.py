"""Senders take turns, whatever each has waiting."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from relay.fair import FairQueue


@dataclass(frozen=True)
class Item:
    sender: str
    number: int = 0
    urgent: bool = False
    deadline: float = 10.0


def drained(queue: FairQueue[Item]) -> list[Item]:
    found = []
    while (item := queue.pop()) is not None:
        found.append(item)
    return found


def test_a_flood_waits_for_itself() -> None:
    queue: FairQueue[Item] = FairQueue()
    for number in range(1000):
        queue.put(Item("flood", number))
    queue.put(Item("quiet"))
    assert [item.sender for item in drained(queue)[:3]] == ["flood", "quiet", "flood"]


def test_the_urgent_go_first_among_their_senders_own_and_before_nobody_elses() -> None:
    queue: FairQueue[Item] = FairQueue()
    for item in (Item("a", 1), Item("b", 1), Item("a", 2, urgent=True), Item("a", 3, urgent=True)):
        queue.put(item)
    assert [(item.sender, item.number) for item in drained(queue)] == [("a", 2), ("b", 1), ("a", 3), ("a", 1)]


def test_what_is_put_back_is_next() -> None:
    queue: FairQueue[Item] = FairQueue()
    for item in (Item("a", 1), Item("b", 1), Item("a", 2)):
        queue.put(item)
    first = queue.pop()
    assert first is not None
    queue.put_back(first)
    assert [(item.sender, item.number) for item in drained(queue)] == [("a", 1), ("b", 1), ("a", 2)]


def test_what_is_overdue_is_taken_out_and_nothing_else() -> None:
    queue: FairQueue[Item] = FairQueue()
    for item in (Item("a", 1, deadline=1), Item("a", 2, deadline=3), Item("b", 1, urgent=True, deadline=2)):
        queue.put(item)
    assert {(item.sender, item.number) for item in queue.overdue(2)} == {("a", 1), ("b", 1)}
    assert len(queue) == 1
    assert [item.number for item in drained(queue)] == [2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=60))
def test_every_item_comes_out_once_and_each_senders_in_order(steps: list[tuple[str, bool, bool]]) -> None:
    queue: FairQueue[Item] = FairQueue()
    put, taken = [], []
    for number, (sender, urgent, take) in enumerate(steps):
        item = Item(sender, number, urgent)
        put.append(item)
        queue.put(item)
        if take:
            taken.append(queue.pop())
        assert len(queue) == len(put) - len(taken)
    taken += drained(queue)
    assert sorted(item.number for item in taken if item) == [item.number for item in put]
    for sender in "abc":
        for urgent in (True, False):
            numbers = [
                item.number for item in taken if item and (item.sender, item.urgent) == (sender, urgent)
            ]
            assert numbers == sorted(numbers)
