"""Who receives a message."""

from server.domain.audience import Person, find_people

ANN = Person("0190d1f0-0000-7000-8000-00000000000a", "ext-1", "ann")
BOB = Person("0190d1f0-0000-7000-8000-00000000000b", None, "ext-1")


def test_the_external_id_goes_before_the_username() -> None:
    """Ids and usernames do not mind their case."""
    assert find_people(["ext-1", BOB.id.upper(), "ANN"], [ANN, BOB]) == ([ANN.id, BOB.id], [])


def test_every_unknown_name_is_a_fault_at_its_place() -> None:
    """None is left out silently."""
    found, faults = find_people(["ann", "nobody", "nothing"], [ANN])
    assert found == [ANN.id]
    assert [(fault.path, fault.reason) for fault in faults] == [
        ("userIds[1]", "no such user: nobody"),
        ("userIds[2]", "no such user: nothing"),
    ]
