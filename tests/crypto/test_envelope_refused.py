"""What is refused: anything altered, misaddressed or misshapen, with the reasons apart and saying nothing more."""

import zlib
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.envelope import SIZES, open_envelope, seal
from crypto.errors import Altered, CryptoError, Malformed, NotMyKey
from crypto.frame import Frame
from crypto.keys import DeviceKey, IdentityPublicKey, Suite
from tests.harness import second
from tests.harness.cast import (
    DEVICE_ID,
    EPHEMERAL,
    OTHER_DEVICE_ID,
    PHONES,
    SECOND_PHONES,
    SERVER,
    SERVER_SEED,
    STRANGER,
    message,
    noise,
    said,
)
from tests.harness.stored import stored

CANARY = b'{"title":"canary-5417"}'
ENVELOPES = {
    suite: seal(message(CANARY), signer=SERVER, device=phone.public, device_id=DEVICE_ID, largest=2944)
    for suite, phone in PHONES.items()
}
suites = pytest.mark.parametrize("suite", list(Suite))


def opened(
    envelope: bytes,
    suite: Suite,
    *,
    device_id: UUID = DEVICE_ID,
    server: IdentityPublicKey = SERVER.public,
) -> Frame:
    return open_envelope(envelope, keys=[PHONES[suite]], device_id=device_id, server=server)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def crafted(frame: second.Said, suite: Suite = Suite.X25519, **faults: int) -> bytes:
    smallest = 768 if suite is Suite.X25519 else 1536
    return second.seal(
        frame,
        server_seed=SERVER_SEED,
        device=SECOND_PHONES[suite],
        size=smallest,
        ephemeral=EPHEMERAL,
        **faults,
    )


@suites
@settings(max_examples=250)
@given(data=st.data())
def test_any_flipped_bit_is_refused(suite: Suite, data: st.DataObject) -> None:
    envelope = ENVELOPES[suite]
    bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
    expected: type[CryptoError] = Altered
    if bit < 8:
        expected = Malformed
    elif bit < 16:
        expected = CryptoError  # an unknown suite, or none of the device's
    elif bit < 80:
        expected = NotMyKey
    with pytest.raises(expected) as fault:
        opened(flipped(envelope, bit), suite)
    assert "canary" not in str(fault.value)


def test_every_bit_of_the_header_and_of_the_last_bytes_is_refused() -> None:
    envelope = ENVELOPES[Suite.X25519]
    for bit in [*range(42 * 8), *range(len(envelope) * 8 - 16 * 8, len(envelope) * 8)]:
        with pytest.raises(CryptoError):
            opened(flipped(envelope, bit), Suite.X25519)


@suites
@given(length=st.integers(0, 3100))
def test_a_cut_or_lengthened_envelope_is_refused(suite: Suite, length: int) -> None:
    envelope = ENVELOPES[suite]
    other = envelope[:length].ljust(length, b"\x00")
    if other == envelope:
        return
    with pytest.raises(CryptoError if length in SIZES else Malformed):
        opened(other, suite)


@given(rubbish=st.binary(max_size=64) | st.sampled_from(SIZES).map(noise) | st.sampled_from(SIZES).map(bytes))
def test_rubbish_is_malformed(rubbish: bytes) -> None:
    with pytest.raises(Malformed):
        opened(rubbish[1:] if rubbish[:1] == b"\x01" else rubbish, Suite.X25519)


@suites
@pytest.mark.parametrize("size", SIZES)
def test_an_envelope_of_zeros_behind_a_right_prefix_is_refused(suite: Suite, size: int) -> None:
    prefix = ENVELOPES[suite][:10]
    with pytest.raises(CryptoError):
        opened(prefix.ljust(size, b"\x00"), suite)


@suites
def test_another_device_id_with_the_same_key_is_altered(suite: Suite) -> None:
    with pytest.raises(Altered):
        opened(ENVELOPES[suite], suite, device_id=OTHER_DEVICE_ID)


@suites
def test_another_server_than_the_pinned_one_is_altered(suite: Suite) -> None:
    with pytest.raises(Altered):
        opened(ENVELOPES[suite], suite, server=STRANGER.public)


@suites
def test_a_device_without_the_key_says_so(suite: Suite) -> None:
    others = [DeviceKey.from_seed(each, bytes(32)) for each in Suite]
    for keys in ([], others):
        with pytest.raises(NotMyKey):
            open_envelope(ENVELOPES[suite], keys=keys, device_id=DEVICE_ID, server=SERVER.public)


def test_a_key_opens_only_the_suite_that_it_was_registered_for() -> None:
    envelope = ENVELOPES[Suite.X25519]
    with pytest.raises(CryptoError):
        opened(b"\x01\x02" + envelope[2:], Suite.X25519)
    with pytest.raises(CryptoError):
        opened(b"\x01\x01" + ENVELOPES[Suite.XWING][2:], Suite.XWING)


@suites
def test_a_frame_signed_by_somebody_else_is_altered(suite: Suite) -> None:
    device = SECOND_PHONES[suite]
    info, signed = device.info(SERVER.public.raw), said(CANARY).signed()
    frame = second.frame_signature(STRANGER.seed, info, signed) + signed
    length = second.frame_length(suite, 1536)
    with pytest.raises(Altered):
        opened(second.seal_frame(device, SERVER.public.raw, frame.ljust(length, b"\x00"), EPHEMERAL), suite)


def test_a_frame_taken_from_another_envelope_is_altered() -> None:
    """A device that has opened its envelope cannot seal the signed frame for somebody else."""
    stolen = second.open_plaintext(ENVELOPES[Suite.X25519], SECOND_PHONES[Suite.X25519], SERVER.public.raw)
    for victim in (
        second.Device(Suite.X25519, SECOND_PHONES[Suite.X25519].seed, OTHER_DEVICE_ID),
        second.Device(Suite.X25519, bytes([9]) * 32, DEVICE_ID),
        second.Device(Suite.X25519, bytes([9]) * 32, OTHER_DEVICE_ID),
    ):
        envelope = second.seal_frame(victim, SERVER.public.raw, stolen, EPHEMERAL)
        with pytest.raises(Altered):
            open_envelope(
                envelope,
                keys=[DeviceKey.from_seed(Suite.X25519, victim.seed)],
                device_id=victim.id,
                server=SERVER.public,
            )


@settings(max_examples=150)
@given(bit=st.integers(0, (64 + 38 + len(CANARY)) * 8 - 1))
def test_a_flipped_bit_in_a_frame_is_refused_even_by_who_can_seal(bit: int) -> None:
    device = SECOND_PHONES[Suite.X25519]
    frame = second.open_plaintext(ENVELOPES[Suite.X25519], device, SERVER.public.raw)
    envelope = second.seal_frame(device, SERVER.public.raw, flipped(frame, bit), EPHEMERAL)
    with pytest.raises((Altered, Malformed)):
        opened(envelope, Suite.X25519)


@suites
@given(data=st.data())
def test_a_pad_byte_that_is_not_zero_is_malformed(suite: Suite, data: st.DataObject) -> None:
    device = SECOND_PHONES[suite]
    frame = second.open_plaintext(ENVELOPES[suite], device, SERVER.public.raw)
    start = (64 + 38 + len(CANARY)) * 8
    bit = data.draw(st.integers(start, len(frame) * 8 - 1))
    envelope = second.seal_frame(device, SERVER.public.raw, flipped(frame, bit), EPHEMERAL)
    with pytest.raises(Malformed):
        opened(envelope, suite)


@pytest.mark.parametrize("length", [609, 610, 65_536, 2**32 - 1])
def test_a_length_beyond_the_frame_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        opened(crafted(said(noise(608)), length=length), Suite.X25519)


@pytest.mark.parametrize("encoding", [2, 3, 127, 255])
def test_an_unknown_encoding_is_malformed(encoding: int) -> None:
    with pytest.raises(Malformed):
        opened(crafted(said(b"{}", encoding=encoding)), Suite.X25519)


def deflated(body: bytes, level: int = 9) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize("suite", list(Suite))
def test_a_device_inflates_65536_bytes_and_no_more(suite: Suite) -> None:
    most = crafted(said(deflated(b"a" * 65_536), encoding=1), suite)
    assert opened(most, suite).body == b"a" * 65_536
    for length in (65_537, 65_794, 131_072, 200_000):
        with pytest.raises(Malformed):
            opened(crafted(said(deflated(b"a" * length), encoding=1), suite), suite)


def test_the_largest_bomb_that_an_envelope_holds_is_refused() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = bomb.compress(bytes(2_600_000)) + bomb.flush()  # forty times what a device inflates
    assert len(payload) < 2784
    made = second.seal(
        said(payload, encoding=1),
        server_seed=SERVER_SEED,
        device=SECOND_PHONES[Suite.X25519],
        size=2944,
        ephemeral=EPHEMERAL,
    )
    with pytest.raises(Malformed):
        opened(made, Suite.X25519)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(deflated(b"{}") + b"\x00", id="a zero after the final block"),
        pytest.param(deflated(b"{}") + b"{}", id="text after the final block"),
        pytest.param(deflated(b"{}") + deflated(b"{}"), id="a second stream"),
        pytest.param(deflated(b'{"a":1}' * 9)[:-1], id="cut short"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x07", id="a reserved block type"),
        pytest.param(zlib.compress(b"{}"), id="a zlib wrapper"),
        pytest.param(b"\x00\x02\x00\xfd\xff{}", id="a stored block that is not final"),
    ],
)
def test_a_compressed_body_that_is_not_one_whole_stream_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        opened(crafted(said(payload, encoding=1)), Suite.X25519)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_valid_deflate_stream_is_read(level: int) -> None:
    body = b'{"title":"made elsewhere"}'
    assert opened(crafted(said(deflated(body, level), encoding=1)), Suite.X25519).body == body


@suites
@pytest.mark.parametrize("key", stored("x25519_bad_public_keys")["keys"][:6], ids=lambda k: f"tc{k['tcId']}")
def test_an_enc_of_small_order_is_refused_like_any_alteration(suite: Suite, key: dict[str, str]) -> None:
    envelope, end = ENVELOPES[suite], 10 + suite.enc_length
    with pytest.raises(Altered):
        opened(envelope[: end - 32] + bytes.fromhex(key["public"]) + envelope[end:], suite)


def test_the_public_text_of_an_error_is_the_same_whatever_was_altered() -> None:
    """No text may tell a wrong tag from a wrong point, or name an offset, a length or a value."""
    envelope = ENVELOPES[Suite.X25519]
    texts = set()
    for other in (flipped(envelope, 90), flipped(envelope, 700), envelope[:10] + bytes(32) + envelope[42:]):
        with pytest.raises(Altered) as fault:
            opened(other, Suite.X25519)
        texts.add(str(fault.value))
        assert fault.value.__cause__ is None
        assert fault.value.__suppress_context__
    assert len(texts) == 1
    assert not any(character.isdigit() for character in texts.pop())
