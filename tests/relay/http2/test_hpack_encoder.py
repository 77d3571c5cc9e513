"""Header blocks against the decoder of `hpack`: whatever is asked for in whatever order, it reads what was meant."""

import os
from typing import Any

import pytest
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.hpack_encoder import LARGEST_TABLE, Encoder, integer
from relay.http2 import Field, Request

_EXAMPLES = int(os.environ.get("HUSHPOST_TEST_EXAMPLES", "0"))
FUZZ = settings(max_examples=_EXAMPLES or 200, derandomize=not _EXAMPLES, database=None, deadline=None)

NAME = st.sampled_from(
    [b":authority", b"content-type", b"authorization", b"topic", b"apns-push-type", b"x" * 130]
)
VALUE = st.binary(max_size=6) | st.integers(0, 300).map(lambda length: b"v" * length)
FIELDS = st.lists(st.tuples(NAME, VALUE), max_size=5).map(tuple)
GROUPS = st.lists(FIELDS, min_size=1, max_size=4)
STEP = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 3), FIELDS, st.binary(max_size=200)),
    st.tuples(st.just("limit"), st.sampled_from([0, 1, 60, 100, 300, 4_096, 65_536])),
)


def request(repeating: tuple[Field, ...], varying: tuple[Field, ...] = (), path: bytes = b"/") -> Request:
    return Request(path, repeating, varying, b"", lambda _: None, 0.0)


def expected(one: Request) -> list[Field]:
    start = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", one.path)]
    return [*start, *one.repeating, *one.varying]


def decoded(decoder: Decoder, block: bytes | None) -> list[Field]:
    assert block is not None
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


@FUZZ
@given(groups=GROUPS, steps=st.lists(STEP, max_size=30))
def test_blocks_read_as_they_were_meant(groups: list[tuple[Field, ...]], steps: list[Any]) -> None:
    encoder, decoder = Encoder(), Decoder(max_header_list_size=10**6)
    for kind, *values in steps:
        if kind == "limit":
            [decoder.max_allowed_table_size] = values
            encoder.limit(*values)
            continue
        index, varying, path = values
        one = request(groups[index % len(groups)], varying, path)
        assert decoded(decoder, encoder.block(one, 10**6)) == expected(one)
        assert decoder.header_table_size <= decoder.max_allowed_table_size


@FUZZ
@given(group=FIELDS, varying=FIELDS, path=st.binary(max_size=200))
def test_the_size_of_a_list_is_counted_as_the_peer_counts_it(
    group: tuple[Field, ...], varying: tuple[Field, ...], path: bytes
) -> None:
    encoder, decoder = Encoder(), Decoder(max_header_list_size=10**6)
    one = request(group, varying, path)
    size = sum(len(name) + len(value) + 32 for name, value in expected(one))
    assert encoder.block(one, size - 1) is None
    assert decoded(decoder, encoder.block(one, size)) == expected(one)
    assert encoder.block(one, size - 1) is None
    assert decoded(decoder, encoder.block(one, size)) == expected(one)


def test_a_path_and_what_varies_enter_no_table() -> None:
    encoder, decoder = Encoder(), Decoder()
    for number in range(5):
        decoded(decoder, encoder.block(request((), ((b"apns-id", b"%d" % number),), b"/%d" % number), 10**6))
    assert len(decoder.header_table.dynamic_entries) == 0
    [*_, path] = Decoder().decode(encoder.block(request((), (), b"/secret"), 10**6) or b"")
    assert path.indexable is False


def test_many_groups_that_do_not_fit_together_are_all_read() -> None:
    encoder, decoder = Encoder(), Decoder()
    groups = [
        ((b":authority", b"host"), (b"authorization", b"%d" % number + b"x" * 900)) for number in range(20)
    ]
    for number in range(200):
        one = request(groups[number * 7 % 20])
        assert decoded(decoder, encoder.block(one, 10**6)) == expected(one)


def test_what_is_kept_for_groups_is_bounded() -> None:
    encoder, decoder = Encoder(), Decoder()
    groups = [((b":authority", b"host"),) * (number + 1) for number in range(300)]
    for group in groups + groups:
        decoded(decoder, encoder.block(request(group), 10**6))
    assert len(encoder._groups) <= 64
    for number in range(300):
        decoded(decoder, encoder.block(request((), ((b"n%d" % number, b"v"),)), 10**6))
    assert len(encoder._names) <= 64


def test_a_field_larger_than_the_table_is_sent_without_it() -> None:
    encoder, decoder = Encoder(), Decoder()
    one = request(((b":authority", b"host"), (b"long", b"x" * LARGEST_TABLE)))
    for _ in range(3):
        assert decoded(decoder, encoder.block(one, 10**6)) == expected(one)
    assert len(decoder.header_table.dynamic_entries) == 1


@pytest.mark.parametrize(
    ("value", "bits", "made"), [(10, 5, "0a"), (1_337, 5, "1f9a0a"), (42, 8, "2a"), (127, 7, "7f00")]
)
def test_numbers_are_written_as_in_the_specification(value: int, bits: int, made: str) -> None:
    """RFC 7541, C.1, and the first number that needs a second byte."""
    assert integer(value, bits, 0).hex() == made
