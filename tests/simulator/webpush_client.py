"""An application server of the tests' own: it signs with VAPID and pushes over real TLS, as right or as wrong as asked."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from multidict import CIMultiDict, CIMultiDictProxy

from crypto.encoding import b64u, unb64u
from crypto.webpush import SubscriptionKey, decrypt, encrypt
from simulator.webpush_rules import HOST
from tests.simulator.clients import Time

ORIGIN = f"https://{HOST}"
SUBJECT = "mailto:push@example.org"
DAY = 86_400


def fixed(length: int) -> bytes:
    """Random bytes that are none: what is encrypted with them is the same each time."""
    return bytes((7 * index + 1) % 256 for index in range(length))


@dataclass(frozen=True)
class Pushed:
    """What the service answered."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class PushSender:
    """`address` is where the name of the endpoint leads; `vapid` and `headers` bend what it sends."""

    def __init__(self, session: aiohttp.ClientSession, address: str, time: Time) -> None:
        self._session = session
        self._address = address
        self._time = time
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def server_key(self) -> str:
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return b64u(point)

    def vapid(
        self, *, signer: ec.EllipticCurvePrivateKey | None = None, k: str | None = None, **claims: Any
    ) -> str:
        usual = {"aud": ORIGIN, "exp": int(self._time()) + 3600, "sub": SUBJECT}
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        token = jwt.encode(said, signer or self.private, algorithm="ES256")
        return f"vapid t={token}, k={self.server_key if k is None else k}"

    def encrypted(self, subscription: dict[str, Any], plaintext: bytes) -> bytes:
        keys = subscription["keys"]
        return encrypt(plaintext, p256dh=unb64u(keys["p256dh"]), auth=unb64u(keys["auth"]), random=fixed)

    async def push(
        self,
        subscription: dict[str, Any],
        plaintext: bytes = b"hello",
        /,
        again: str = "",
        **headers: str | None,
    ) -> Pushed:
        body = self.encrypted(subscription, plaintext) if plaintext else b""
        return await self.send(subscription["endpoint"], body, again, **headers)

    async def send(self, endpoint: str, body: bytes, /, again: str = "", **changed: str | None) -> Pushed:
        """`again` names a header that is sent twice."""
        usual: dict[str, str | None] = {
            "Host": HOST,
            "Authorization": self.vapid(),
            "TTL": "60",
            "Content-Encoding": "aes128gcm" if body else None,
        }
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        headers = CIMultiDict(
            {name: value for name, value in {**usual, **named}.items() if value is not None}
        )
        if again:
            headers.add(again, headers[again])
        url = f"https://{self._address}{urlsplit(endpoint).path}"
        async with self._session.post(
            url, data=body, headers=headers, server_hostname=HOST, allow_redirects=False
        ) as answer:
            return Pushed(answer.status, answer.headers, await answer.read())


class Browser:
    """Its stream at the push service, from which it reads plaintext."""

    def __init__(self, stream: aiohttp.ClientWebSocketResponse, key: SubscriptionKey) -> None:
        self._stream = stream
        self._key = key

    async def event(self) -> dict[str, Any]:
        received: dict[str, Any] = await self._stream.receive_json()
        return received

    async def opened(self) -> bytes | None:
        """Open the next push; None where it has no body."""
        body = (await self.event())["payload"]["body"]
        return None if body is None else decrypt(unb64u(body), key=self._key)


Connect = Callable[[], AbstractAsyncContextManager[Browser]]


def token_of(subscription: dict[str, Any]) -> str:
    return str(subscription["endpoint"]).rpartition("/")[2]


def error(body: bytes) -> str:
    return str(json.loads(body)["error"])
