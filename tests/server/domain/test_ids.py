"""Ids are UUIDs of their versions, in their usual form."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.domain.ids import first_id, id_time, new_id, new_push_id
from server.domain.ports import Random


def giving(noise: bytes) -> Random:
    return lambda _: noise


TIMES = st.integers(0, 2**48 - 1)


@given(TIMES, st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(at: int, noise: bytes) -> None:
    text = new_id(at, giving(noise))
    made = UUID(text)
    assert (str(made), made.version, made.variant) == (text, 7, "specified in RFC 4122")
    assert id_time(text) == at
    assert first_id(at) <= text


@given(st.binary(min_size=16, max_size=16))
def test_a_pushs_id_is_random_but_for_its_version(noise: bytes) -> None:
    assert new_push_id(giving(noise)) == str(UUID(bytes=noise, version=4))


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_of_one_time_differ_where_their_randomness_does(one: bytes, other: bytes) -> None:
    """But for the six bits that a UUID has for its version and variant."""
    ids = {new_id(1, giving(noise)) for noise in (one, other)}
    kept = [int.from_bytes(noise, "big") & (0xFFF << 64 | (1 << 62) - 1) for noise in (one, other)]
    assert (len(ids) == 1) == (kept[0] == kept[1])
