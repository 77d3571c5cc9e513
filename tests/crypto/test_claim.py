"""Claims: the blob behind a message that was too large for one push."""

import hashlib
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.claim import open_claim, seal_claim, seal_pieces, sealed_size
from crypto.encoding import b64u
from crypto.errors import Altered, CryptoError, Malformed
from tests.harness import second
from tests.harness.cast import DEVICE_ID, MESSAGE_ID, OTHER_DEVICE_ID, noise

KEY = bytes(range(32))
NONCE = bytes(range(12))
CONTENT = b'{"title":"canary-5417","body":"' + b"long " * 50 + b'"}'


def sealed(content: bytes) -> bytes:
    return seal_claim(content, message_id=MESSAGE_ID, device_id=DEVICE_ID, key=KEY, nonce=NONCE)


def opened(
    blob: bytes,
    size: int,
    *,
    sha256: bytes | None = None,
    key: bytes = KEY,
    message_id: UUID = MESSAGE_ID,
    device_id: UUID = DEVICE_ID,
) -> bytes:
    named = hashlib.sha256(blob).digest() if sha256 is None else sha256
    return open_claim(blob, message_id=message_id, device_id=device_id, key=key, sha256=named, size=size)


@given(content=st.binary(max_size=5000))
def test_any_content_comes_back_whole_in_both_implementations(content: bytes) -> None:
    blob = sealed(content)
    assert blob == second.seal_claim(content, MESSAGE_ID, DEVICE_ID, KEY, NONCE)
    assert opened(blob, len(content)) == content
    claim = {"key": b64u(KEY), "sha256": b64u(hashlib.sha256(blob).digest()), "size": len(content)}
    assert second.open_claim(blob, claim, MESSAGE_ID, DEVICE_ID) == content


@given(pieces=st.lists(st.binary(max_size=3000), max_size=5))
def test_sealed_in_pieces_it_is_the_same_blob(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    blob = b"".join(
        seal_pieces(pieces, len(content), message_id=MESSAGE_ID, device_id=DEVICE_ID, key=KEY, nonce=NONCE)
    )
    assert blob == sealed(content)
    assert len(blob) == sealed_size(len(content))


@pytest.mark.parametrize("size", [0, 3, 5])
def test_content_of_another_size_than_was_said_is_never_finished(size: int) -> None:
    with pytest.raises(Malformed):
        list(
            seal_pieces(
                [b"fo", b"ur"], size, message_id=MESSAGE_ID, device_id=DEVICE_ID, key=KEY, nonce=NONCE
            )
        )


@pytest.mark.parametrize(
    ("size", "padded"),
    [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (255, 256), (256, 256), (257, 512), (65_537, 131_072)],
)
def test_content_is_padded_to_the_smallest_power_of_two_that_fits(size: int, padded: int) -> None:
    assert len(sealed(noise(size))) == 12 + padded + 16


def test_content_that_ends_in_zeros_keeps_them() -> None:
    content = b"file\x00\x00\x00"
    assert opened(sealed(content), len(content)) == content


@settings(max_examples=150)
@given(data=st.data())
def test_any_flipped_bit_is_altered(data: st.DataObject) -> None:
    blob = sealed(CONTENT)
    at = data.draw(st.integers(0, len(blob) - 1))
    other = blob[:at] + bytes([blob[at] ^ 1 << data.draw(st.integers(0, 7))]) + blob[at + 1 :]
    with pytest.raises(Altered):
        opened(other, len(CONTENT), sha256=hashlib.sha256(blob).digest())
    with pytest.raises(Altered):  # even where the hash was made to match
        opened(other, len(CONTENT))


def test_a_blob_for_another_message_device_or_key_is_altered() -> None:
    blob, size = sealed(CONTENT), len(CONTENT)
    with pytest.raises(Altered):
        opened(blob, size, message_id=UUID(int=5))
    with pytest.raises(Altered):
        opened(blob, size, device_id=OTHER_DEVICE_ID)
    with pytest.raises(Altered):
        opened(blob, size, key=bytes(32))


def test_a_genuine_blob_that_the_envelope_did_not_name_is_altered() -> None:
    named = hashlib.sha256(sealed(CONTENT)).digest()
    with pytest.raises(Altered):
        opened(sealed(b"{}"), 2, sha256=named)


@pytest.mark.parametrize("length", [0, 8, 12, 27, 28])
def test_a_blob_cut_short_is_refused(length: int) -> None:
    with pytest.raises(CryptoError):
        opened(sealed(CONTENT)[:length], len(CONTENT))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_opens_nothing(key: bytes) -> None:
    with pytest.raises(CryptoError):
        opened(sealed(CONTENT), len(CONTENT), key=key)


@pytest.mark.parametrize("size", [-1, 0, 1, 4, 9, 10**30])
def test_a_size_that_is_not_the_contents_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        opened(sealed(b"{\x01\x01\x01}"), size)


def test_padding_that_is_not_zero_is_malformed() -> None:
    """`size` says five of eight bytes, and the sixth is not zero."""
    with pytest.raises(Malformed):
        opened(sealed(b"{...}!\x00\x00"), 5)


def test_padding_to_more_than_the_next_power_is_malformed() -> None:
    with pytest.raises(Malformed):
        opened(sealed(b"{}".ljust(8, b"\x00")), 2)
