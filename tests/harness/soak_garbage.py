"""The worst of a soak's servers: everything about its requests is wrong in turns, and each must be refused with the right code."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from relay.wire import encode_pushes
from tests.harness.soak_ledger import Ledger
from tests.harness.soak_servers import Server, post

PAUSE = 0.05
RAW_SECONDS = 2.0
LARGE = 5 << 20


class Garbage:
    """`processes` of the relay, which share nothing here."""

    def __init__(
        self, server: Server, session: aiohttp.ClientSession, url: str, ledger: Ledger, processes: int
    ) -> None:
        self._server = server
        self._session = session
        self._url = url
        self._ledger = ledger
        self._processes = processes
        self._kinds: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self._signature, self._stranger, self._digest, self._replay, self._late, self._json),
            *(
                self._twice_a_key,
                self._large,
                self._encoding,
                self._rules,
                self._foreign,
                self._no_http,
                self._half,
            ),
        )

    async def run(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                await self._server.chance.choice(self._kinds)()
            await asyncio.sleep(PAUSE)

    def _body(self) -> bytes:
        """A batch in good order that must never be forwarded; the ledger does not know it."""
        return encode_pushes(push for _, push in self._server.pushes(3, self._server.alive))

    async def _refused(self, what: str, body: bytes, headers: Mapping[str, str], *codes: str) -> None:
        status, _, answer = await post(self._session, self._url, body, headers)
        self._server.expect(what, status, answer, *codes)

    async def _signature(self) -> None:
        body = self._body()
        wrong = f"hushpost=:{'A' * 86}==:"
        await self._refused(
            "a bad signature", body, self._server.sign(body) | {"Signature": wrong}, "signature_invalid"
        )

    async def _stranger(self) -> None:
        body = self._body()
        key = IdentityKey.generate(secrets.token_bytes)
        await self._refused(
            "a key that is not admitted", body, self._server.sign(body, key=key), "key_not_admitted"
        )

    async def _digest(self) -> None:
        body = self._body()
        await self._refused("another body", body + b" ", self._server.sign(body), "digest_mismatch")

    async def _late(self) -> None:
        body = self._body()
        headers = self._server.sign(body, created=int(time.time()) - 300)
        await self._refused("an old request", body, headers, "created_skew", "signature_expired")

    async def _replay(self) -> None:
        body = b'{"pushes":[]}'
        headers = self._server.sign(body)
        await post(self._session, self._url, body, headers)
        status, _, answer = await post(self._session, self._url, body, headers)
        if status == HTTPStatus.OK and self._processes > 1:
            self._server.note("another process took the replay")  # as section 4 of the protocol has it
        else:
            self._server.expect("a replay", status, answer, "nonce_replayed")

    async def _json(self) -> None:
        body = self._body()[: self._server.chance.randint(0, 3_000)]
        await self._refused("half a body", body, self._server.sign(body), "bad_json", "bad_request")

    async def _twice_a_key(self) -> None:
        body = b'{"pushes":[],"pushes":[]}'
        await self._refused("a doubled key", body, self._server.sign(body), "bad_json")

    async def _large(self) -> None:
        body = b" " * LARGE
        await self._refused("a large body", body, self._server.sign(body), "body_too_large")

    async def _encoding(self) -> None:
        body = self._body()
        headers = self._server.sign(body) | {"Content-Encoding": "gzip"}
        await self._refused("an encoded body", body, headers, "encoding_unsupported")

    async def _rules(self) -> None:
        """Pushes that break a rule each, among good ones: they alone are rejected."""
        target, handle = self._server.chance.choice(self._server.alive)
        wrong: tuple[dict[str, Any], ...] = ({"ttl": -1}, {"collapse": "AAAA"}, {"envelope": "AAAA"})
        pushes = [self._server.push(target, handle, **one) for one in wrong]
        unknown = ("AAAA", b64u(secrets.token_bytes(545)))
        pushes += [self._server.push(target, one) for one in unknown]
        pushes += self._server.pushes(2, self._server.alive)
        self._server.chance.shuffle(pushes)
        await self._server.send(self._session, pushes)
        await self._items()

    async def _items(self) -> None:
        """Items that are no pushes at all."""
        items: list[Any] = [None, 7, "x", [], {}, {"id": "x"}, {"pushes": []}]
        body = msgspec.json.encode({"pushes": items})
        status, _, answer = await post(self._session, self._url, body, self._server.sign(body))
        if status != 200:
            self._server.expect("items that are no pushes", status, answer)
            return
        outcomes = msgspec.json.decode(answer)["outcomes"]
        if [(one["status"], one["reason"]) for one in outcomes] != [("rejected", "malformed")] * len(items):
            self._ledger.violate("items that are no pushes", str(outcomes))
        self._ledger.outcomes["none", "rejected", "malformed"] += len(outcomes)
        self._server.note("200")

    async def _foreign(self) -> None:
        """Handles that are bound to another server, and one that has expired."""
        target, _ = self._server.chance.choice(self._server.alive)
        other = IdentityKey.generate(secrets.token_bytes).public.id
        handles = (self._server.handle(target, server=other), self._server.handle(target, expires_at=1))
        await self._server.send(self._session, [self._server.push(target, one) for one in handles])

    async def _no_http(self) -> None:
        """Bytes that are no request; the relay may answer or hang up."""
        await self._raw(secrets.token_bytes(300) + b"\r\n\r\n")

    async def _half(self) -> None:
        """A signed request that stops in its middle, and its sender who leaves."""
        body = self._body()
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._server.sign(body).items())
        head = f"POST /v1/push HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        await self._raw(head.encode() + body[: len(body) // 2])

    async def _raw(self, data: bytes) -> None:
        parts = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(data)
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(RAW_SECONDS):
                    answer = await reader.read(100)
                    if answer.startswith(b"HTTP/1.1 5") and not answer.startswith(b"HTTP/1.1 503"):
                        self._ledger.violate("bytes that are no request", answer[:60].decode("latin-1"))
        finally:
            writer.transport.abort()
