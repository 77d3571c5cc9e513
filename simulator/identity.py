"""A server's identity and its answer to a pairing code (PROTOCOL §6), both held to the key that the link names.

The server proves that it holds that key before it hears anything, and signs its answer over the very request.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from crypto.encoding import b64u, unb64u
from crypto.errors import CryptoError
from crypto.httpsig import (
    IDENTITY,
    PAIR,
    Profile,
    RequestContext,
    SignatureFault,
    content_digest,
    verify_answer,
)
from crypto.keys import DeviceKey, IdentityPublicKey
from simulator.home import TIMEOUT, refusal
from simulator.link import PairingLink

Milliseconds = Callable[[], int]


class NotVerified(Exception):
    """The other side is not, or did not say, what it must be; nothing was kept."""


@dataclass(frozen=True)
class Answered:
    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


async def check_identity(
    session: aiohttp.ClientSession, link: PairingLink, *, nonce: bytes, now: float
) -> IdentityPublicKey:
    """Ask the server for its key and hold it to the link; `now` in seconds."""
    url = f"{link.server}/api/v1/identity?nonce={b64u(nonce)}"
    async with session.get(URL(url, encoded=True), allow_redirects=False, timeout=TIMEOUT) as response:
        if response.status != HTTPStatus.OK:
            raise await refusal("identity", response)
        answered = await _whole(response)
    key = _pinned(answered.body, link.key_id)
    _verify(IDENTITY, key, answered, RequestContext("GET", url), now)
    return key


async def send_code(
    session: aiohttp.ClientSession,
    link: PairingLink,
    *,
    key: IdentityPublicKey,
    device_key: DeviceKey,
    name: str,
    platform: str,
    handle: str,
    clock: Milliseconds,
) -> Mapping[str, Any]:
    """Redeem the code; gives the verified answer {deviceId, deviceToken, serverKey, head}."""
    url = f"{link.server}/api/v1/devices/pair"
    fields = {
        "code": link.code,
        "name": name,
        "platform": platform,
        "suite": device_key.suite.value,
        "publicKey": b64u(device_key.public.raw),
        "handle": handle,
    }
    body = json.dumps(fields).encode()
    digest = content_digest(body)
    headers = {"Content-Type": "application/json", "Content-Digest": digest}
    async with session.post(
        URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, timeout=TIMEOUT
    ) as response:
        if response.status != HTTPStatus.CREATED:
            raise await refusal("pair", response)
        answered = await _whole(response)
    _pinned(answered.body, link.key_id)
    _verify(PAIR, key, answered, RequestContext("POST", url, content_digest=digest), clock() / 1000)
    return _fields(answered.body, {"deviceId": str, "deviceToken": str, "head": int})


async def _whole(response: aiohttp.ClientResponse) -> Answered:
    return Answered(response.status, tuple(response.headers.items()), await response.read())


def _pinned(body: bytes, key_id: str) -> IdentityPublicKey:
    try:
        key = IdentityPublicKey(unb64u(_fields(body, {"serverKey": str})["serverKey"], 32))
    except CryptoError as error:
        raise NotVerified("serverKey: not an Ed25519 key") from error
    if key.id != key_id:
        raise NotVerified("serverKey: not the key that the link names; this is another server")
    return key


def _fields(body: bytes, expected: Mapping[str, type]) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise NotVerified("answer: not JSON") from error
    for name, kind in expected.items():
        if not isinstance(fields, dict) or not isinstance(fields.get(name), kind):
            raise NotVerified(f"answer: {name} is missing or of the wrong type")
    return dict(fields)


def _verify(
    profile: Profile, key: IdentityPublicKey, answered: Answered, request: RequestContext, now: float
) -> None:
    try:
        verify_answer(
            profile,
            keys=[key],
            status=answered.status,
            headers=answered.headers,
            body=answered.body,
            request=request,
            now=now,
        )
    except SignatureFault as error:
        raise NotVerified(f"signature: {error}") from error
