"""Web Push's encryption: RFC 8291's own example byte for byte, and nothing opens that is not exactly one such record."""

import secrets
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import unb64u
from crypto.errors import Altered, Malformed, TooLarge
from crypto.webpush import (
    LARGEST_BODY,
    LARGEST_PLAINTEXT,
    SubscriptionKey,
    decrypt,
    draw_scalar,
    encrypt,
    private_key,
    public_point,
    read_point,
)
from tests.harness.stored import stored

RFC = {
    name: unb64u(text) for name, text in stored("rfc8291_web_push").items() if name not in {"source", "note"}
}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HEADER = 86
BROWSER = SubscriptionKey(RFC["ua_private"], RFC["auth_secret"])
# The x coordinates 1 and 5 lie on P-256 or its twist; y is wrong for both, and the last is the point at infinity.
OFF_THE_CURVE = [
    b"\x04" + bytes(31) + b"\x01" + bytes(31) + b"\x01",
    b"\x04" + bytes(31) + b"\x05" + bytes(31) + b"\x05",
    b"\x04" + bytes(64),
    b"\x04" + b"\xff" * 64,
    b"\x00" * 65,
]


def drawing(*draws: bytes) -> Callable[[int], bytes]:
    """A source of randomness that gives exactly these, each of the length that is asked for."""
    left: Iterator[bytes] = iter(draws)

    def draw(length: int) -> bytes:
        given = next(left)
        assert len(given) == length
        return given

    return draw


def draw_of(scalar: bytes) -> bytes:
    return (int.from_bytes(scalar) - 1).to_bytes(40)


def sealed(plaintext: bytes) -> bytes:
    return encrypt(plaintext, p256dh=BROWSER.p256dh, auth=BROWSER.auth, random=secrets.token_bytes)


def test_the_example_of_rfc_8291_comes_out_byte_for_byte() -> None:
    random = drawing(draw_of(RFC["as_private"]), RFC["salt"])
    body = encrypt(RFC["plaintext"], p256dh=RFC["ua_public"], auth=RFC["auth_secret"], random=random)
    assert body[:HEADER] == RFC["header"]
    assert body[HEADER:] == RFC["ciphertext"]
    assert body == RFC["body"]


def test_the_example_of_rfc_8291_opens() -> None:
    assert (
        decrypt(RFC["body"], key=BROWSER) == RFC["plaintext"] == b"When I grow up, I want to be a watermelon"
    )


def test_the_keys_of_the_example_are_derived_as_printed() -> None:
    assert BROWSER.p256dh == RFC["ua_public"]
    assert public_point(private_key(RFC["as_private"])) == RFC["as_public"]


@given(plaintext=st.binary(max_size=LARGEST_PLAINTEXT))
def test_what_is_encrypted_for_a_browser_opens_there_and_is_103_bytes_longer(plaintext: bytes) -> None:
    browser = SubscriptionKey.generate(secrets.token_bytes)
    body = encrypt(plaintext, p256dh=browser.p256dh, auth=browser.auth, random=secrets.token_bytes)
    assert decrypt(body, key=browser) == plaintext
    assert len(body) == len(plaintext) + HEADER + 1 + 16


def test_content_that_ends_in_padding_bytes_keeps_them() -> None:
    for content in (b"\x00", b"a\x00\x00", b"a\x02", b"a\x02\x00", b""):
        assert decrypt(sealed(content), key=BROWSER) == content


def test_two_pushes_of_one_text_have_nothing_in_common() -> None:
    one, other = sealed(b"same"), sealed(b"same")
    assert one[:16] != other[:16]
    assert one[21:] != other[21:]


def test_the_largest_plaintext_fills_what_every_service_takes_and_one_byte_more_is_refused() -> None:
    assert len(sealed(bytes(LARGEST_PLAINTEXT))) == LARGEST_BODY
    with pytest.raises(TooLarge):
        sealed(bytes(LARGEST_PLAINTEXT + 1))


@given(data=st.data())
def test_a_push_with_any_bit_flipped_does_not_open(data: st.DataObject) -> None:
    body = sealed(b"canary-5417")
    at = data.draw(st.integers(0, len(body) - 1))
    other = body[:at] + bytes([body[at] ^ 1 << data.draw(st.integers(0, 7))]) + body[at + 1 :]
    if 16 <= at < 20 and int.from_bytes(other[16:20]) > len(body) - HEADER:
        assert decrypt(other, key=BROWSER) == b"canary-5417"  # the record size says nothing of one record
        return
    with pytest.raises((Altered, Malformed)):
        decrypt(other, key=BROWSER)


@pytest.mark.parametrize("length", [0, 16, 21, HEADER, HEADER + 16, HEADER + 20])
def test_a_push_cut_short_is_refused(length: int) -> None:
    with pytest.raises((Altered, Malformed)):
        decrypt(sealed(b"canary-5417")[:length], key=BROWSER)


@pytest.mark.parametrize("size", [0, 17, 18, 28])
def test_a_record_that_is_not_smaller_than_it_says_is_malformed(size: int) -> None:
    body = sealed(b"canary-5417")
    with pytest.raises(Malformed):
        decrypt(body[:16] + size.to_bytes(4) + body[20:], key=BROWSER)


@pytest.mark.parametrize("padded", [b"", b"\x00\x00", b"text\x01", b"text\x01\x00", b"text\x03"])
def test_a_record_without_the_mark_of_the_last_one_is_malformed(padded: bytes) -> None:
    """Sealed with the example's own key and nonce; the mark of a record that others follow is 0x01."""
    seal = AESGCM(RFC["cek"]).encrypt
    assert decrypt(RFC["header"] + seal(RFC["nonce"], b"text\x02\x00\x00", None), key=BROWSER) == b"text"
    with pytest.raises(Malformed):
        decrypt(RFC["header"] + seal(RFC["nonce"], padded, None), key=BROWSER)


def test_a_push_for_another_subscription_is_altered() -> None:
    body = sealed(b"canary-5417")
    with pytest.raises(Altered):
        decrypt(body, key=SubscriptionKey(draw_scalar(secrets.token_bytes), BROWSER.auth))
    with pytest.raises(Altered):
        decrypt(body, key=SubscriptionKey(BROWSER.scalar, bytes(16)))


@pytest.mark.parametrize("point", [*OFF_THE_CURVE, b"", RFC["ua_public"][:64], RFC["ua_public"] + b"\x00"])
def test_a_point_that_is_none_is_malformed_wherever_it_comes_from(point: bytes) -> None:
    with pytest.raises(Malformed):
        encrypt(b"x", p256dh=point, auth=bytes(16), random=secrets.token_bytes)
    with pytest.raises(Malformed):
        read_point(point)
    body = sealed(b"x")
    with pytest.raises(Malformed):
        decrypt(body[:20] + bytes([len(point)]) + point + body[HEADER:], key=BROWSER)


def test_a_compressed_point_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_point(b"\x02" + RFC["ua_public"][1:33])


@pytest.mark.parametrize("length", [0, 15, 17])
def test_an_auth_of_another_length_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        encrypt(b"x", p256dh=BROWSER.p256dh, auth=bytes(length), random=secrets.token_bytes)


@pytest.mark.parametrize("draw", [bytes(40), b"\xff" * 40, (ORDER - 1).to_bytes(40), ORDER.to_bytes(40)])
def test_any_draw_makes_a_key_that_is_one(draw: bytes) -> None:
    scalar = draw_scalar(drawing(draw))
    assert 1 <= int.from_bytes(scalar) < ORDER
    assert len(public_point(private_key(scalar))) == 65


@pytest.mark.parametrize("scalar", [bytes(32), ORDER.to_bytes(32), b"\xff" * 32])
def test_a_number_that_is_no_scalar_is_malformed(scalar: bytes) -> None:
    with pytest.raises(Malformed):
        private_key(scalar)


def test_no_secret_shows_in_a_repr() -> None:
    shown = repr(SubscriptionKey(b"s" * 32, b"a" * 16))
    assert "sss" not in shown
    assert "aaa" not in shown
