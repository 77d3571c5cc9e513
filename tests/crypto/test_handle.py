"""Sealed handles: only the relay opens them, only for the server they are bound to, only for a time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crypto.encoding import b64u, unb64u
from crypto.errors import Altered, CryptoError, Expired, Malformed, NotMyKey, TooLarge
from crypto.handle import HandleClaims, Subscription, open_handle, seal_handle
from crypto.keys import EpochKey
from tests.harness import second
from tests.harness.cast import EPOCH, NOW, SERVER, STRANGER

NONCE = bytes(range(12))
TOKEN = "c0ffee" * 10
ISSUED = NOW * 1000
EXPIRES = ISSUED + 90 * 86_400_000
APNS = HandleClaims(
    provider="apns",
    app="example.hushpost.app",
    environment="production",
    token=TOKEN,
    subscription=None,
    server=SERVER.public.id,
    issued_at=ISSUED,
    expires_at=EXPIRES,
)
ENDPOINT = "https://push.example/wpush/v2/" + "gAAAAA" * 40
WEB = replace(
    APNS,
    provider="webpush",
    token=None,
    subscription=Subscription(ENDPOINT, b64u(b"\x04" + bytes(64)), b64u(bytes(16))),
)
both = pytest.mark.parametrize("claims", [APNS, WEB], ids=["token", "subscription"])


def sealed(claims: HandleClaims, epoch: EpochKey = EPOCH) -> str:
    return seal_handle(claims, epoch=epoch, nonce=NONCE)


def opened(handle: str, *, server: str = SERVER.public.id, now: int = ISSUED) -> HandleClaims:
    return open_handle(handle, epochs={EPOCH.number: EPOCH}, server=server, now=now)


@both
def test_a_handle_opens_to_its_claims(claims: HandleClaims) -> None:
    assert opened(sealed(claims)) == claims


@given(token=st.text(max_size=60), app=st.text(max_size=20), number=st.integers(0, 2**32 - 1))
def test_any_claims_come_back(token: str, app: str, number: int) -> None:
    claims = replace(APNS, token=token, app=app)
    epoch = EpochKey(number, bytes(range(32)))
    try:
        handle = seal_handle(claims, epoch=epoch, nonce=NONCE)
    except TooLarge:
        return
    assert open_handle(handle, epochs={number: epoch}, server=claims.server, now=ISSUED) == claims


@pytest.mark.parametrize(("claims", "padded"), [(APNS, 512), (WEB, 1024)], ids=["token", "subscription"])
def test_a_handle_has_one_length_for_each_kind(claims: HandleClaims, padded: int) -> None:
    data = unb64u(sealed(claims))
    assert len(data) == 1 + 4 + 12 + padded + 16
    assert data[:17] == b"\x01" + EPOCH.number.to_bytes(4, "big") + NONCE
    text = second.handle_text(sealed(claims), {EPOCH.number: EPOCH.secret})
    assert len(text) == padded
    assert text.rstrip(b" ").endswith(b"}")
    assert text.endswith(b" " * 8)


@both
def test_the_claims_are_the_json_of_the_protocol(claims: HandleClaims) -> None:
    read = second.open_handle(sealed(claims), {EPOCH.number: EPOCH.secret}, SERVER.public.id, ISSUED)
    address = {"token": TOKEN}
    if claims.subscription is not None:
        subscription = claims.subscription
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        address = {"subscription": {"endpoint": ENDPOINT, "keys": keys}}  # type: ignore[dict-item] # one of two shapes
    assert read == {
        "provider": claims.provider,
        "app": "example.hushpost.app",
        "environment": "production",
        **address,
        "server": SERVER.public.id,
        "issuedAt": ISSUED,
        "expiresAt": EXPIRES,
    }


@both
def test_a_handle_made_elsewhere_with_other_spacing_opens(claims: HandleClaims) -> None:
    text = second.handle_text(sealed(claims), {EPOCH.number: EPOCH.secret})
    loose = json.dumps(json.loads(text), indent=1, sort_keys=True).encode().ljust(len(text))
    assert opened(second.seal_handle(loose, EPOCH.number, EPOCH.secret, NONCE)) == claims


@both
@settings(max_examples=150)
@given(data=st.data())
def test_any_flipped_bit_is_refused(claims: HandleClaims, data: st.DataObject) -> None:
    sealed_bytes = unb64u(sealed(claims))
    bit = data.draw(st.integers(0, len(sealed_bytes) * 8 - 1))
    other = bytearray(sealed_bytes)
    other[bit // 8] ^= 1 << bit % 8
    expected = Malformed if bit < 8 else NotMyKey if bit < 40 else Altered
    with pytest.raises(expected):
        opened(b64u(bytes(other)))


@both
@given(data=st.data())
def test_any_other_character_in_its_text_is_refused(claims: HandleClaims, data: st.DataObject) -> None:
    text = sealed(claims)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[at]))
    with pytest.raises(CryptoError):
        opened(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize("cut", [0, 1, 22, 44, 500, 700])
def test_a_handle_cut_short_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        opened(sealed(APNS)[:cut])


@pytest.mark.parametrize("more", ["=", "A", "AAAA", "\n", " "])
def test_a_handle_with_something_behind_it_is_malformed(more: str) -> None:
    with pytest.raises(Malformed):
        opened(sealed(APNS) + more)


def test_an_epoch_taken_out_of_the_configuration_revokes_its_handles() -> None:
    handle = sealed(APNS)
    for epochs in ({}, {EPOCH.number + 1: EPOCH}):
        with pytest.raises(NotMyKey):
            open_handle(handle, epochs=epochs, server=SERVER.public.id, now=ISSUED)


def test_another_key_under_the_same_number_does_not_open_it() -> None:
    other = EpochKey(EPOCH.number, bytes(32))
    with pytest.raises(Altered):
        open_handle(sealed(APNS), epochs={other.number: other}, server=SERVER.public.id, now=ISSUED)


def test_a_handle_moved_to_another_epoch_with_the_same_key_does_not_open() -> None:
    data = unb64u(sealed(APNS))
    moved = EpochKey(4, EPOCH.secret)
    with pytest.raises(Altered):
        open_handle(
            b64u(data[:1] + b"\x00\x00\x00\x04" + data[5:]),
            epochs={4: moved},
            server=SERVER.public.id,
            now=ISSUED,
        )


@both
def test_a_handle_is_worthless_to_another_server(claims: HandleClaims) -> None:
    with pytest.raises(NotMyKey):
        opened(sealed(claims), server=STRANGER.public.id)


def test_that_it_has_expired_is_said_only_to_the_server_that_it_is_bound_to() -> None:
    handle = sealed(APNS)
    assert opened(handle, now=EXPIRES - 1) == APNS
    with pytest.raises(Expired):
        opened(handle, now=EXPIRES + 1)
    with pytest.raises(NotMyKey):
        opened(handle, server=STRANGER.public.id, now=EXPIRES + 1)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"{}",
        b"\xff",
        b'{"provider":"apns"}',
        json.dumps({"server": SERVER.public.id, "expiresAt": EXPIRES}).encode(),
    ],
)
def test_claims_of_another_form_are_malformed(text: bytes) -> None:
    handle = second.seal_handle(text.ljust(512), EPOCH.number, EPOCH.secret, NONCE)
    with pytest.raises(Malformed):
        opened(handle)


@pytest.mark.parametrize("length", [100, 511, 513, 1000, 2048])
def test_claims_of_another_length_than_the_two_are_malformed(length: int) -> None:
    text = second.handle_text(sealed(APNS), {EPOCH.number: EPOCH.secret}).rstrip().ljust(length)
    if len(text) in (512, 1024):
        return
    with pytest.raises(Malformed):
        opened(second.seal_handle(text, EPOCH.number, EPOCH.secret, NONCE))


def test_a_token_or_endpoint_that_does_not_fit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        sealed(replace(APNS, token="t" * 500))
    with pytest.raises(TooLarge):
        sealed(replace(WEB, subscription=Subscription("https://push.example/" + "e" * 900, "", "")))


def test_neither_token_nor_subscription_shows_in_a_repr_or_an_error() -> None:
    shown = repr([APNS, WEB])
    assert TOKEN not in shown
    assert ENDPOINT not in shown
    with pytest.raises(TooLarge) as fault:
        sealed(replace(APNS, token=TOKEN * 10))
    assert TOKEN not in str(fault.value)
