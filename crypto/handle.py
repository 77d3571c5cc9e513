"""The sealed handle: a push token that only the relay can read (PROTOCOL §3).

    handle = b64u( version(1) || epoch(4) || nonce(12) || AES-256-GCM(epoch key, nonce, claims padded with spaces, aad) )
    aad    = "hushpost/1 handle" || 0x00 || version || epoch

The nonce is random: an epoch key seals far fewer than 2^32 handles before the operator makes the next (NIST SP
800-38D §8.3). The claims are padded to one length for each kind, so that a handle's length says nothing of its token.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag

from crypto.encoding import b64u, unb64u
from crypto.errors import Altered, Expired, Malformed, NotMyKey, TooLarge
from crypto.keys import EpochKey

CLAIMS_LENGTH = 512
CLAIMS_LENGTH_WEB_PUSH = 1024

_VERSION = b"\x01"
_CONTEXT = b"hushpost/1 handle\x00"
_EPOCH_END = 5
_NONCE_END = 17
_TAG_LENGTH = 16
_LENGTHS = {_NONCE_END + length + _TAG_LENGTH for length in (CLAIMS_LENGTH, CLAIMS_LENGTH_WEB_PUSH)}


@dataclass(frozen=True)
class Subscription:
    """A Web Push subscription (RFC 8030, RFC 8291): URL, and b64u of the P-256 point and of the secret's 16 bytes."""

    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)


class HandleClaims(msgspec.Struct, frozen=True):
    """What a handle says; exactly one of `token` and `subscription` is there. Times in milliseconds."""

    provider: str
    app: str
    environment: str
    token: str | None
    subscription: Subscription | None
    server: str
    issued_at: int
    expires_at: int

    def __repr__(self) -> str:
        return f"HandleClaims(provider={self.provider!r}, app={self.app!r}, environment={self.environment!r})"


class _Keys(msgspec.Struct, frozen=True):
    p256dh: str
    auth: str


class _Subscription(msgspec.Struct, frozen=True):
    endpoint: str
    keys: _Keys


class _Written(msgspec.Struct, frozen=True, rename="camel"):
    """The claims as they are written."""

    provider: str
    app: str
    environment: str
    server: str
    issued_at: int
    expires_at: int
    token: str | None = None
    subscription: _Subscription | None = None


_READ = msgspec.json.Decoder(_Written)


def seal_handle(claims: HandleClaims, *, epoch: EpochKey, nonce: bytes) -> str:
    """The handle; `nonce` is 12 random bytes. `TooLarge` where a token or endpoint does not fit."""
    text = _write(claims)
    length = CLAIMS_LENGTH if claims.subscription is None else CLAIMS_LENGTH_WEB_PUSH
    if len(text) > length:
        raise TooLarge("the token does not fit a handle")
    head = _VERSION + epoch.number.to_bytes(4)
    return b64u(head + nonce + epoch.cipher.encrypt(nonce, text.ljust(length), _CONTEXT + head))


def open_handle(handle: str, *, epochs: Mapping[int, EpochKey], server: str, now: int) -> HandleClaims:
    """The claims of a handle that `server` (a keyid) presents at `now` (milliseconds).

    Raises `Malformed`; `NotMyKey` (an epoch that is not, or no longer, configured, or a handle bound to another
    server); `Altered`; `Expired`. That it has expired is told only to the server that it is bound to.
    """
    data = unb64u(handle)
    if len(data) not in _LENGTHS or data[:1] != _VERSION:
        raise Malformed("not a handle of version 1")
    head, nonce = data[:_EPOCH_END], data[_EPOCH_END:_NONCE_END]
    epoch = epochs.get(int.from_bytes(head[1:]))
    if epoch is None:
        raise NotMyKey("sealed under an epoch that is not configured")
    try:
        text = epoch.cipher.decrypt(nonce, data[_NONCE_END:], _CONTEXT + head)
    except InvalidTag:
        raise Altered("the handle does not open") from None
    claims = _read(text)
    if claims.server != server:
        raise NotMyKey("bound to another server")
    if claims.expires_at <= now:
        raise Expired("the handle has expired")
    return claims


def _write(claims: HandleClaims) -> bytes:
    address: dict[str, Any] = {"token": claims.token}
    if claims.subscription is not None:
        keys = {"p256dh": claims.subscription.p256dh, "auth": claims.subscription.auth}
        address = {"subscription": {"endpoint": claims.subscription.endpoint, "keys": keys}}
    document = {
        "provider": claims.provider,
        "app": claims.app,
        "environment": claims.environment,
        **address,
        "server": claims.server,
        "issuedAt": claims.issued_at,
        "expiresAt": claims.expires_at,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _read(text: bytes) -> HandleClaims:
    # Authentic, so the relay (or an older release of it) wrote it: a fault here is a form it no longer knows.
    try:
        read = _READ.decode(text)
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
    ):  # the last two are no errors of msgspec's own
        raise Malformed("the handle's claims are not of the known form") from None
    found = read.subscription
    subscription = (
        found if found is None else Subscription(found.endpoint, found.keys.p256dh, found.keys.auth)
    )
    return HandleClaims(
        read.provider,
        read.app,
        read.environment,
        read.token,
        subscription,
        read.server,
        read.issued_at,
        read.expires_at,
    )
