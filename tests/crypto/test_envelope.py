"""Envelopes: what goes in comes out, at one of four sizes, and only for the one that it is for."""

import json
import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.envelope import SIZES, fits, open_envelope, room, seal
from crypto.errors import TooLarge
from crypto.frame import Frame, Kind
from crypto.keys import DeviceKey, Suite
from tests.harness import second
from tests.harness.cast import (
    DEVICE_ID,
    EPHEMERAL,
    MESSAGE_ID,
    PHONES,
    ROOM,
    SECOND_PHONES,
    SERVER,
    SERVER_SEED,
    message,
    noise,
    said,
)

LARGEST = SIZES[-1]
suites = pytest.mark.parametrize("suite", list(Suite))
tables = pytest.mark.parametrize(("suite", "size"), list(ROOM))


def sealed(frame: Frame, suite: Suite, largest: int = LARGEST) -> bytes:
    return seal(frame, signer=SERVER, device=PHONES[suite].public, device_id=DEVICE_ID, largest=largest)


def opened(envelope: bytes, *keys: DeviceKey) -> Frame:
    return open_envelope(envelope, keys=keys, device_id=DEVICE_ID, server=SERVER.public)


@given(
    body=st.binary(max_size=1600),
    kind=st.sampled_from(Kind),
    sequence=st.integers(0, 2**64 - 1),
    sent_at=st.integers(0, 2**64 - 1),
    message_id=st.uuids(),
    device_id=st.uuids(),
    suite=st.sampled_from(Suite),
)
def test_any_content_comes_back_whole(
    body: bytes,
    kind: Kind,
    sequence: int,
    sent_at: int,
    message_id: UUID,
    device_id: UUID,
    suite: Suite,
) -> None:
    frame = Frame(message_id, sequence, sent_at, kind, body)
    phone = PHONES[suite]
    envelope = seal(frame, signer=SERVER, device=phone.public, device_id=device_id, largest=LARGEST)
    assert len(envelope) in SIZES
    assert open_envelope(envelope, keys=[phone], device_id=device_id, server=SERVER.public) == frame


@given(
    value=st.recursive(st.text(max_size=20) | st.integers() | st.none(), st.lists, max_leaves=30),
    suite=st.sampled_from(Suite),
)
def test_a_second_implementation_reads_what_is_sealed(value: object, suite: Suite) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    if not fits(body, suite, LARGEST):
        return
    envelope = sealed(message(body), suite)
    read = second.open_envelope(envelope, SECOND_PHONES[suite], SERVER.public.raw)
    assert (read.message_id, read.sequence, read.kind, read.body) == (MESSAGE_ID, 9, 1, body)


@tables
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_what_a_second_implementation_seals_is_read(suite: Suite, size: int, kind: int) -> None:
    body = noise(ROOM[suite, size])
    made = second.seal(
        said(body, kind=kind),
        server_seed=SERVER_SEED,
        device=SECOND_PHONES[suite],
        size=size,
        ephemeral=EPHEMERAL,
    )
    assert opened(made, PHONES[suite]) == message(body, kind=kind)


@tables
def test_the_room_for_a_body_is_exactly_the_table(suite: Suite, size: int) -> None:
    most = ROOM[suite, size]
    assert room(suite, size) == most
    assert len(sealed(message(noise(most)), suite)) == size
    assert fits(noise(most), suite, size)
    assert not fits(noise(most + 1), suite, size)
    with pytest.raises(TooLarge):
        sealed(message(noise(most + 1)), suite, size)


@suites
@pytest.mark.parametrize("size", SIZES)
def test_the_smallest_size_that_fits_is_used_whatever_the_largest(suite: Suite, size: int) -> None:
    if (suite, size) not in ROOM:
        assert not fits(b"", suite, size)
        return
    smallest = min(length for owner, length in ROOM if owner is suite)
    assert len(sealed(message(b"{}"), suite, size)) == smallest


@tables
def test_one_byte_more_than_a_size_holds_takes_the_next(suite: Suite, size: int) -> None:
    bigger = [length for owner, length in ROOM if owner is suite and length > size]
    body = noise(ROOM[suite, size] + 1)
    assert fits(body, suite, LARGEST) == bool(bigger)
    if bigger:
        assert len(sealed(message(body), suite)) == bigger[0]


@given(
    length=st.integers(0, 4000),
    repeat=st.booleans(),
    suite=st.sampled_from(Suite),
    largest=st.sampled_from(SIZES),
)
def test_every_length_is_one_of_the_four_and_within_the_largest(
    length: int, suite: Suite, largest: int, *, repeat: bool
) -> None:
    body = b"a" * length if repeat else noise(length)
    if not fits(body, suite, largest):
        return
    envelope = sealed(message(body), suite, largest)
    assert len(envelope) in SIZES
    assert len(envelope) <= largest
    assert opened(envelope, PHONES[suite]).body == body


def encoding_of(envelope: bytes, suite: Suite) -> tuple[int, bytes]:
    """The encoding byte, and the body as it stands in the frame."""
    frame = second.open_plaintext(envelope, SECOND_PHONES[suite], SERVER.public.raw)
    length = int.from_bytes(frame[98:102], "big")
    return frame[97], frame[102 : 102 + length]


@tables
def test_a_body_is_compressed_only_where_that_reaches_a_smaller_size(suite: Suite, size: int) -> None:
    smallest = min(length for owner, length in ROOM if owner is suite)
    body = (b'{"body":"' + b"a" * 3000)[: ROOM[suite, size]]
    envelope = sealed(message(body), suite)
    encoding, payload = encoding_of(envelope, suite)
    assert len(envelope) == smallest
    if size == smallest:
        assert (encoding, payload) == (0, body)
    else:
        assert encoding == 1
        assert zlib.decompress(payload, -15) == body


@tables
def test_a_body_that_shrinks_without_reaching_a_smaller_size_stays_as_it_is(suite: Suite, size: int) -> None:
    body = noise(ROOM[suite, size] - 60) + b"a" * 60
    encoding, payload = encoding_of(sealed(message(body), suite), suite)
    assert (encoding, payload) == (0, body)


@suites
def test_a_compressible_body_that_fits_in_no_other_way_is_compressed(suite: Suite) -> None:
    body = b'{"body":"' + b"tick tock " * 6000 + b'"}'
    assert fits(body, suite, LARGEST)
    assert opened(sealed(message(body), suite), PHONES[suite]).body == body


@suites
@pytest.mark.parametrize(("length", "fitting"), [(65_536, True), (65_537, False), (1_000_000, False)])
def test_what_a_device_would_not_inflate_does_not_fit(suite: Suite, length: int, *, fitting: bool) -> None:
    body = b"a" * length
    assert fits(body, suite, LARGEST) is fitting
    if fitting:
        assert opened(sealed(message(body), suite), PHONES[suite]).body == body
    else:
        with pytest.raises(TooLarge):
            sealed(message(body), suite)


@suites
def test_two_envelopes_of_one_frame_share_only_their_prefix(suite: Suite) -> None:
    first, again = sealed(message(b"{}"), suite), sealed(message(b"{}"), suite)
    assert first[:10] == again[:10] == bytes([1, suite]) + PHONES[suite].public.key_id
    assert first[10:42] != again[10:42]
    assert sum(a == b for a, b in zip(first[10:], again[10:], strict=True)) < len(first) // 20


def test_a_device_opens_with_any_of_the_keys_that_it_keeps() -> None:
    old = DeviceKey.from_seed(Suite.XWING, bytes(32))
    keys = [old, PHONES[Suite.X25519], PHONES[Suite.XWING]]
    for suite in Suite:
        assert opened(sealed(message(b"{}"), suite), *keys) == message(b"{}")


def test_an_unknown_kind_is_handed_on_with_its_sequence() -> None:
    envelope = second.seal(
        said(b"?", kind=200),
        server_seed=SERVER_SEED,
        device=SECOND_PHONES[Suite.X25519],
        size=768,
        ephemeral=EPHEMERAL,
    )
    assert opened(envelope, PHONES[Suite.X25519]) == message(b"?", kind=200)


def test_content_does_not_show_in_a_repr() -> None:
    assert "attack at dawn" not in repr(message(b"attack at dawn"))


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("size", SIZES[1:])
def test_an_envelope_can_be_asked_to_fill_a_size(suite: Suite, size: int) -> None:
    frame = Frame(MESSAGE_ID, 1, 1, Kind.MESSAGE, b"{}")

    envelope = seal(
        frame, signer=SERVER, device=PHONES[suite].public, device_id=DEVICE_ID, largest=size, smallest=size
    )

    assert len(envelope) == size
