"""A relay process that is given secrets in every way, right and wrong, and all that it has let others read since.

The secrets go in good requests, in refused ones, and in the oddest places of malformed ones, while the providers do everything
wrong and quote them in their answers. What a relay may tell whom is left out here: an answer of 200 names the pushes of who
asked, a status its own key id, a new handle its handle.
"""

import asyncio
import secrets
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import msgspec
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from crypto.encoding import b64u
from crypto.httpsig import PUSH, STATUS, sign_request
from crypto.keys import IdentityKey
from crypto.vapid import VapidKey
from relay.admission import PASS_HEADER, PASS_TYPE
from relay.wire import HANDLES_PATH, JSON_TYPE, PUSH_PATH, STATUS_PATH, Push, encode_pushes
from simulator.providers import PROJECT, WEB_APP, Providers
from tests.harness.canaries import Canaries
from tests.harness.lone_relay import LoneRelay, lone_relay

FAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "apns": (
        {"reason": "Unregistered"},
        {"reason": "TooManyRequests", "retry_after": 1},
        {"kind": "close"},
        {"kind": "reset"},
        {"kind": "goaway"},
        {"kind": "wrong", "form": "noise"},
        {"kind": "certificate", "on": "connect", "form": "stranger"},
    ),
    "fcm": (
        {"reason": "UNREGISTERED"},
        {"reason": "QUOTA_EXCEEDED"},
        {"kind": "close"},
        {"kind": "reset"},
        {"kind": "wrong", "form": "noise"},
    ),
    "webpush": ({"reason": "unsubscribed"}, {"reason": "unavailable"}, {"kind": "close"}),
}
RAW_SECONDS = 0.5
LARGEST = 1 << 16


@dataclass
class Shown:
    """What a relay has shown to others. `providers` is what its providers saw, which the secrets must have reached."""

    canaries: Canaries = field(default_factory=Canaries)
    errors: list[bytes] = field(default_factory=list, repr=False)
    codes: set[str] = field(default_factory=set)
    pages: dict[str, bytes] = field(default_factory=dict, repr=False)
    log: bytes = field(default=b"", repr=False)
    process: bytes = field(default=b"", repr=False)
    providers: bytes = field(default=b"", repr=False)
    key_id: str = ""


async def expose(directory: Path, *, log_servers: bool = False, briefly: bool = False) -> Shown:
    """Run a relay through all of it, or through good requests alone."""
    vapid = VapidKey.generate(secrets.token_bytes)
    signer = IdentityKey.generate(secrets.token_bytes)
    async with Providers(directory / "providers") as providers, ClientSession() as session:
        relay = await lone_relay(
            directory,
            credentials=providers.addresses() | {"vapidKey": b64u(vapid.scalar)},
            reached={
                "apns": providers.apns_address,
                "fcm": providers.fcm_url.removeprefix("https://"),
                "webpush": providers.webpush_address,
            },
            relay=f'admission = "pass"\npass_keys = ["{b64u(signer.public.raw)}"]\nlog_servers = {str(log_servers).lower()}',
            level="debug",
        )
        await relay.process.start(session)
        exposed = _Exposed(relay, providers, session, signer, vapid)
        try:
            await exposed.run(briefly=briefly)
        finally:
            await relay.process.stop()
        exposed.shown.log = await asyncio.to_thread(relay.process.log.read_bytes)
        return exposed.shown


class _Exposed:
    def __init__(
        self,
        relay: LoneRelay,
        providers: Providers,
        session: ClientSession,
        signer: IdentityKey,
        vapid: VapidKey,
    ) -> None:
        self.shown = Shown()
        self._relay = relay
        self._providers = providers
        self._session = session
        self._server = IdentityKey.generate(secrets.token_bytes)
        self._pass = _pass(signer, self._server.public.id, relay.url)
        self._vapid = vapid
        self._hide_keys()

    async def run(self, *, briefly: bool) -> None:
        await self._started()
        handles = await self._handles()
        await self._push(handles)
        if not briefly:
            await self._faults(handles)
            await self._refusals(handles)
            await self._malformed(handles)
        await self._look()

    def _hide_keys(self) -> None:
        canaries = self.shown.canaries
        canaries.hide_key("the .p8", self._providers.apns_key_file.read_text())
        account = msgspec.json.decode(self._providers.service_account_file.read_bytes())
        canaries.hide_key("the service account's key", account["private_key"])
        canaries.hide("the VAPID key", b64u(self._vapid.scalar))
        keys = (self._relay.process.config.parent / "relay.keys").read_text()
        secret = [line.rpartition(":")[2] for line in keys.splitlines() if line.startswith("hushpost-")]
        canaries.hide("a key of the relay", *secret)
        canaries.hide("the pass", self._pass)
        canaries.hide("the server's key id", self._server.public.id)
        self.shown.key_id = self._server.public.id

    async def _started(self) -> None:
        """A signature from before its start is refused: wait until there are none such."""
        while (await self._send("POST", PUSH_PATH, body=b'{"pushes":[]}'))[0] == 503:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)

    async def _handles(self) -> dict[str, str]:
        """A handle for each provider, asked for as an app does."""
        subscription = self._providers.subscription(self._vapid.application_server_key)
        self.shown.canaries.hide("a subscription", subscription["endpoint"], *subscription["keys"].values())
        self.shown.canaries.hide("a subscription", subscription["endpoint"].rpartition("/")[2])
        tokens = {name: self._providers.token(name) for name in ("apns", "fcm")}
        self.shown.canaries.hide("a token", *tokens.values())
        wanted: dict[str, dict[str, Any]] = {
            "apns": {"app": self._providers.app, "token": tokens["apns"]},
            "fcm": {"app": PROJECT, "token": tokens["fcm"]},
            "webpush": {"app": WEB_APP, "subscription": subscription},
        }
        return {name: await self._handle({"provider": name, **one}) for name, one in wanted.items()}

    async def _handle(self, wanted: Mapping[str, Any]) -> str:
        request = b64u(secrets.token_bytes(16))
        body = {**wanted, "environment": "production", "server": self._server.public.id, "request": request}
        async with self._session.post(self._relay.url + HANDLES_PATH, json=body) as answer:
            assert answer.status == 201, await answer.text()
            handle = str((await answer.json())["handle"])
        self.shown.canaries.hide("a handle", handle)
        self.shown.canaries.hide("a handle request's id", request)
        await self._wrong_handle_requests(body)
        return handle

    async def _wrong_handle_requests(self, body: Mapping[str, Any]) -> None:
        for name in body:
            wrong = {**body, name: f"{self._canary('a wrong field')} {body[name]}"}
            await self._send("POST", HANDLES_PATH, body=msgspec.json.encode(wrong), signed=False)
        odd = {**body, self._canary("an unknown field"): 1}
        await self._send("POST", HANDLES_PATH, body=msgspec.json.encode(odd), signed=False)

    async def _push(self, handles: Mapping[str, str]) -> None:
        pushes = [self._new(handle) for handle in handles.values()]
        await self._send("POST", PUSH_PATH, body=encode_pushes(pushes))

    def _new(self, handle: str) -> Push:
        push = Push(
            id=str(uuid4()),
            handle=handle,
            envelope=b64u(secrets.token_bytes(768)),
            priority="high",
            ttl=60,
            collapse=b64u(secrets.token_bytes(16)),
            type="alert",
        )
        self.shown.canaries.hide("a push's id", push.id)
        self.shown.canaries.hide("an envelope", str(push.envelope))
        self.shown.canaries.hide("a collapse value", push.collapse)
        return push

    async def _faults(self, handles: Mapping[str, str]) -> None:
        """Everything goes wrong at the providers; some of them quote what they were sent."""
        for provider, handle in handles.items():
            quoted = self._canary("a provider's text")
            for fault in ({"status": 400, "reason": quoted}, *FAULTS[provider]):
                self._providers.script(provider, times=1, **fault)
                await self._send("POST", PUSH_PATH, body=encode_pushes([self._new(handle)]))

    async def _refusals(self, handles: Mapping[str, str]) -> None:
        body = encode_pushes([self._new(handle) for handle in handles.values()])
        stranger = IdentityKey.generate(secrets.token_bytes)
        self.shown.canaries.hide("a stranger's key id", stranger.public.id)
        replayed = self._signed(body)
        for headers in (
            *(replayed, replayed),
            {**self._signed(body), "Signature": f"hushpost=:{b64encode(secrets.token_bytes(64)).decode()}:"},
            {**self._signed(body), "Signature-Input": f'hushpost=("{self._canary("a component")}")'},
            {**self._signed(body), "Hushpost-Key": self._canary("a wrong key")},
            {**self._signed(body), "Content-Digest": f"sha-256=:{self._canary('a wrong digest')}:"},
            {**self._signed(body), "Content-Encoding": self._canary("an encoding")},
            {**self._signed(body), PASS_HEADER: f"{self._canary('a wrong pass')}.{self._pass}"},
            {**self._signed(body), "X-Forwarded-For": self._canary("a forged address")},
            self._signed(body, created=int(time.time()) - 600),
            self._signed(body, key=stranger),
            self._signed(body, content_type=f"text/{self._canary('a content type')}"),
        ):
            await self._send("POST", PUSH_PATH, body=body, headers=headers)
        await self._send("POST", PUSH_PATH, body=body + b" ", headers=self._signed(body))
        await self._send("POST", PUSH_PATH, body=b" " * (5 << 20))

    async def _malformed(self, handles: Mapping[str, str]) -> None:
        handle = handles["apns"]
        odd = self._canary("an odd place")
        for body in (
            b'{"pushes":[{"' + odd.encode() + b'":"' + handle.encode(),
            b'{"pushes":[],"' + odd.encode() + b'":1}',
            b'{"pushes":{"' + odd.encode() + b'":1,"' + odd.encode() + b'":2}}',
            msgspec.json.encode(
                {"pushes": [{odd: odd}, {"id": odd}, odd, [odd], {"id": odd, "handle": handle}]}
            ),
            odd.encode() + b"\xff\xfe" + handle.encode(),
        ):
            await self._send("POST", PUSH_PATH, body=body)
        for path in (
            f"/{odd}",
            f"{PUSH_PATH}/{handle}",
            f"{PUSH_PATH}?{odd}={handle}",
            f"/v1/handles?token={odd}",
        ):
            await self._send("POST", path, body=b"{}")
            await self._send("GET", path, signed=False)
        await self._send(odd.upper(), PUSH_PATH, signed=False)
        for data in self._no_http(odd, handle):
            await self._raw(data)

    def _no_http(self, odd: str, handle: str) -> Iterable[bytes]:
        secret = f"{odd} {handle}".encode()
        yield secret + b"\r\n\r\n"
        yield b"POST /v1/push HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n\r\n"
        yield b"POST /v1/push HTTP/9." + secret + b"\r\n\r\n"
        yield b"POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: " + secret + b"\r\n\r\n"
        yield b"POST /v1/push HTTP/1.1\r\nHost: x\r\nX: " + secret * 100 + b"\r\n\r\n"
        yield b"POST /v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + b"\r\n"
        yield b"GET /" + odd.encode() + b"\x00\xff HTTP/1.1\r\nHost: " + odd.encode() + b"\r\n\r\n"

    async def _look(self) -> None:
        """What anybody can read of it, and what other users of the machine may."""
        for path in ("/metrics", "/readyz", "/healthz", "/v1/apps"):
            async with self._session.get(self._relay.url + path) as answer:
                self.shown.pages[path] = await answer.read()
        await self._send("GET", STATUS_PATH, headers=self._signed(None))
        pid = self._relay.process.pid
        files = [Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ", "comm")]
        self.shown.process = b"".join([await asyncio.to_thread(file.read_bytes) for file in files])
        recorded = self._providers.recorded
        self.shown.providers = msgspec.json.encode([one.show() for one in recorded])
        bearers = {one.header("authorization") or "" for one in recorded}
        self.shown.canaries.hide("a provider's token", *(one.partition(" ")[2] for one in bearers if one))

    def _canary(self, name: str) -> str:
        secret = f"canary{secrets.token_hex(12)}"
        self.shown.canaries.hide(name, secret)
        return secret

    def _signed(self, body: bytes | None, **changes: Any) -> dict[str, str]:
        values: dict[str, Any] = {
            "key": self._server,
            "method": "POST" if body is not None else "GET",
            "target_uri": self._relay.url + (PUSH_PATH if body is not None else STATUS_PATH),
            "content_type": None if body is None else JSON_TYPE,
            "body": body,
            "created": int(time.time()),
            "lifetime": 60,
            "nonce": secrets.token_bytes(16),
        }
        profile = STATUS if body is None else PUSH
        return sign_request(profile, **values | changes) | {PASS_HEADER: self._pass}

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> tuple[int, bytes]:
        """Send it, signed as it is unless there are headers; what is no success is kept."""
        if headers is None:
            headers = self._signed(body) if signed and body is not None else {"Content-Type": JSON_TYPE}
        url = URL(self._relay.url + path, encoded=True)
        data = None if body is None else BytesIO(body)
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 300:
                self.shown.errors.append(repr(answer.raw_headers).encode() + content)
                with suppress(msgspec.DecodeError, TypeError, KeyError):
                    self.shown.codes.add(msgspec.json.decode(content)["code"])
            return answer.status, content

    async def _raw(self, data: bytes) -> None:
        host, _, port = self._relay.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(RAW_SECONDS):
                self.shown.errors.append(await reader.read(LARGEST))
        writer.transport.abort()


def _pass(signer: IdentityKey, server: str, url: str) -> str:
    private = Ed25519PrivateKey.from_private_bytes(signer.seed)
    claims = {"sub": server, "aud": url, "exp": int(time.time()) + 3_600, "quota": 100_000}
    return jwt.encode(claims, private, algorithm="EdDSA", headers={"typ": PASS_TYPE})
