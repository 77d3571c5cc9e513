"""A server and a relay as a phone sees them, faithful to PROTOCOL §6 and §3, with the faults that tests ask for."""

import json
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from aiohttp import web

from crypto.claim import seal_claim
from crypto.encoding import b64u, unb64u
from crypto.envelope import LARGEST_WEB_PUSH, seal
from crypto.frame import Frame, Kind
from crypto.httpsig import IDENTITY, PAIR, content_digest, request_context, sign_answer
from crypto.keys import DevicePublicKey, IdentityKey, Suite
from tests.simulator.clients import Sender, Time
from tests.simulator.webpush_client import PushSender

CODE = b64u(bytes(range(16)))
DEVICE_ID = "0190f1a2-0000-7000-8000-000000000001"
TOKEN = "hpd_secret"


@dataclass
class Sabotage:
    """What this peer does wrong."""

    impostor: IdentityKey | None = None
    pair_status: int = 201
    down: bool = False
    redirect_claims: str = ""
    pushes_handles: bool = False
    no_web_push: bool = False
    forgot_device: bool = False


@dataclass
class Heard:
    """What the phone said."""

    pairs: list[dict[str, Any]] = field(default_factory=list)
    handles: list[dict[str, Any]] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    fetches: list[int] = field(default_factory=list)


class Peer:
    def __init__(self, time: Time, apns: Sender, web: PushSender) -> None:
        self.time = time
        self.apns = apns
        self.web = web
        self.subscription: dict[str, Any] | None = None
        self.key = IdentityKey.from_seed(bytes(range(32)))
        self.sabotage = Sabotage()
        self.heard = Heard()
        self.frames: list[Frame] = []
        self.claims: dict[str, bytes] = {}
        self.retracted: list[str] = []
        self.read: list[str] = []
        self.device_key: DevicePublicKey | None = None
        self.push_token = ""
        self.url = ""
        self._number = 0

    @property
    def link(self) -> str:
        return f"hushpost://pair?s={self.url}&k={self.key.public.id}&c={CODE}&r={self.url}/relay"

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/identity", self._identity)
        app.router.add_post("/api/v1/devices/pair", self._pair)
        app.router.add_get("/api/v1/device/messages", self._messages)
        app.router.add_get("/api/v1/device/claims/{id}", self._claim)
        app.router.add_post("/api/v1/device/receipts", self._receipts)
        app.router.add_put("/api/v1/device/handle", self._put_handle)
        app.router.add_put("/api/v1/device/key", self._put_key)
        app.router.add_delete("/api/v1/device", self._unpair)
        app.router.add_post("/relay/v1/handles", self._handle)
        app.router.add_get("/relay/v1/apps", self._apps)
        return app

    async def _identity(self, request: web.Request) -> web.Response:
        return self._signed(IDENTITY, request, 200, {"serverKey": b64u(self.key.public.raw)}, {})

    async def _pair(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["Content-Digest"] == content_digest(body)
        fields = json.loads(body)
        self.heard.pairs.append(fields)
        if self.sabotage.pair_status != 201:
            return _problem(self.sabotage.pair_status, "pairing_code_invalid")
        self.device_key = DevicePublicKey(Suite(fields["suite"]), unb64u(fields["publicKey"]))
        answer = {
            "deviceId": DEVICE_ID,
            "deviceToken": TOKEN,
            "serverKey": b64u(self.key.public.raw),
            "head": 0,
        }
        return self._signed(PAIR, request, 201, answer, dict(request.headers))

    def _signed(
        self, profile: Any, request: web.Request, status: int, answer: dict[str, Any], headers: dict[str, str]
    ) -> web.Response:
        body = json.dumps(answer).encode()
        signed = sign_answer(
            profile,
            key=self.sabotage.impostor or self.key,
            status=status,
            content_type="application/json",
            body=body,
            request=request_context(request.method, self.url + request.path_qs, headers.items()),
            created=int(self.time()),
            lifetime=60,
        )
        return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **signed})

    async def _handle(self, request: web.Request) -> web.Response:
        fields = await request.json()
        self.heard.handles.append(fields)
        self.push_token, self.subscription = fields.get("token", ""), fields.get("subscription")
        if not self.sabotage.pushes_handles:
            return web.json_response({"handle": "handle-answered", "expiresAt": 0}, status=201)
        await self._push_handle("someone-elses-request", "handle-not-mine")
        await self._push_handle(fields["request"], "handle-pushed")
        return web.Response(status=202)

    async def _push_handle(self, request: str, handle: str) -> None:
        payload = {"hh": handle, "rq": request}
        if self.subscription is not None:
            pushed = await self.web.push(self.subscription, json.dumps(payload).encode())
            assert pushed.status == 201
            return
        body = json.dumps({"aps": {"content-available": 1}, **payload}).encode()
        answer = await self.apns(self.push_token, body=body, apns_push_type="background", apns_priority="5")
        assert answer.status == 200

    async def _apps(self, _request: web.Request) -> web.Response:
        apps = [
            {"provider": "fcm", "app": "hushpost-app", "environment": "production"},
            {"provider": "apns", "app": "org.hushpost.app", "environment": "production"},
            {"provider": "webpush", "app": "org.hushpost.web", "environment": "production"},
        ]
        if not self.sabotage.no_web_push:
            apps[-1]["applicationServerKey"] = self.web.server_key
        return web.json_response(apps)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.sabotage.down:
            return _problem(503, "unavailable")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}" or self.sabotage.forgot_device:
            return _problem(401, "device_token_invalid")
        return None

    async def _messages(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        after, limit = int(request.query["after"]), int(request.query["limit"])
        self.heard.fetches.append(after)
        found = [one for one in self.frames if one.sequence > after]
        entries = [{"sequence": one.sequence, "envelope": b64u(self.sealed(one))} for one in found[:limit]]
        answer = {
            "messages": entries,
            "retracted": self.retracted,
            "read": self.read,
            "head": self.head,
            "more": len(found) > limit,
        }
        return web.json_response(answer)

    async def _claim(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self.sabotage.redirect_claims:
            raise web.HTTPFound(self.sabotage.redirect_claims)
        blob = self.claims.get(request.match_info["id"])
        return _problem(404, "not_found") if blob is None else web.Response(body=blob)

    async def _receipts(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        self.heard.receipts.extend((await request.json())["receipts"])
        return web.Response(status=202)

    async def _put_handle(self, request: web.Request) -> web.Response:
        self.heard.renewed.append((await request.json())["handle"])
        return web.Response(status=204)

    async def _put_key(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        fields = await request.json()
        self.heard.keys.append(fields)
        self.device_key = DevicePublicKey(Suite(fields["suite"]), unb64u(fields["publicKey"]))
        return web.Response(status=204)

    async def _unpair(self, _request: web.Request) -> web.Response:
        self.sabotage.forgot_device = True
        return web.Response(status=204)

    @property
    def head(self) -> int:
        return max((one.sequence for one in self.frames), default=0)

    def make(self, text: str = "", *, kind: int = Kind.MESSAGE, **content: Any) -> Frame:
        """Make what is said to the device; kinds 1 and 4 are numbered and can be fetched."""
        self._number += 1
        body = {"title": "Title", "body": text, **content} if text else content
        numbered = kind in {Kind.MESSAGE, Kind.UPDATE}
        frame = Frame(
            message_id=UUID(int=self._number, version=4),
            sequence=self.head + 1 if numbered else self.head,
            sent_at=int(self.time() * 1000),
            kind=kind,
            body=json.dumps(body).encode(),
        )
        if numbered:
            self.frames.append(frame)
        return frame

    def make_preview(self, text: str) -> Frame:
        """Make a message whose whole text must be claimed."""
        frame = self.make(text[:10])
        key = bytes(range(32))
        content = json.dumps({"title": "Title", "body": text}).encode()
        blob = seal_claim(
            content, message_id=frame.message_id, device_id=UUID(DEVICE_ID), key=key, nonce=bytes(12)
        )
        self.claims["claim-1"] = blob
        digest = content_digest(blob).removeprefix("sha-256=:").removesuffix(":")
        claim = {
            "id": "claim-1",
            "key": b64u(key),
            "sha256": digest.replace("+", "-").replace("/", "_").rstrip("="),
            "size": len(content),
        }
        body = {"title": "Title", "body": text[:10], "truncated": True, "claim": claim}
        whole = replace(frame, body=json.dumps(body).encode())
        self.frames[-1] = whole
        return whole

    def sealed(self, frame: Frame, *, signer: IdentityKey | None = None) -> bytes:
        assert self.device_key is not None
        return seal(
            frame,
            signer=signer or self.key,
            device=self.device_key,
            device_id=UUID(DEVICE_ID),
            largest=LARGEST_WEB_PUSH,
        )

    async def push(self, frame: Frame) -> None:
        await self.push_envelope(self.sealed(frame))

    async def push_envelope(self, envelope: bytes | None) -> None:
        """Push over APNs or Web Push, as a relay would; None is a wake."""
        if self.subscription is not None:
            pushed = await self.web.push(self.subscription, envelope or b"")
            assert pushed.status == 201
            return
        payload: dict[str, Any] = {"aps": {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1}}
        if envelope is not None:
            payload["hp"] = b64u(envelope)
        if self.time() - self.apns.made_at > 3000:
            self.apns.renew()
        answer = await self.apns(self.push_token, body=json.dumps(payload).encode())
        assert answer.status == 200


def _problem(status: int, code: str) -> web.Response:
    return web.json_response({"code": code}, status=status, content_type="application/problem+json")
