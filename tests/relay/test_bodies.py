"""Request bodies have so much memory together, and nobody has all of it."""

import pytest

from relay.bodies import Bodies
from relay.errors import Problem


def test_one_server_gets_a_quarter_and_the_others_still_have_room() -> None:
    bodies = Bodies(400)
    with bodies.held("a", 100):
        with pytest.raises(Problem, match="limited"), bodies.held("a", 1):
            pass
        with bodies.held("b", 100):
            assert bodies.bytes == 200
    assert bodies.bytes == 0


def test_what_is_used_up_is_refused_with_a_wait_until_something_is_answered() -> None:
    bodies = Bodies(400)
    with bodies.held("a", 100), bodies.held("b", 100), bodies.held("c", 100):
        with bodies.held("d", 100):
            with pytest.raises(Problem) as refused, bodies.held("e", 1):
                pass
            assert refused.value.headers["Retry-After"] == "1"
        with bodies.held("e", 1):
            pass


def test_a_request_that_fails_gives_its_room_back() -> None:
    bodies = Bodies(400)
    with pytest.raises(Problem), bodies.held("a", 100):
        raise Problem("bad_json", "the body is not JSON")
    assert bodies.bytes == 0
