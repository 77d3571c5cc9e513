"""Google's OAuth 2 token endpoint and FCM's HTTP v1, on one TLS listener.

The token endpoint verifies the service account's RS256 assertion for real (signature, issuer, audience, scope,
lifetime), and a send needs a token that it issued: a relay that gets its credentials wrong fails here as it would
fail at Google. Every answer has the documented JSON form.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from crypto.encoding import b64u
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import FCM_CODES, Fault, Kind
from simulator.fcm_rules import Message, Rejected, check_device, fcm_error, invalid, read_message

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
REAL_AUDIENCE = "https://oauth2.googleapis.com/token"
"""What google-auth writes as the audience, whichever `token_uri` it posts to."""
ACCESS_SECONDS = 3599
LONGEST_ASSERTION = 3600
SKEW = 60
LARGEST_REQUEST = 1 << 20
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


@dataclass(frozen=True)
class Account:
    """A service account: who may send for which projects."""

    email: str
    key_id: str
    public_key: rsa.RSAPublicKey
    projects: set[str]


class Google:
    def __init__(self, exchange: Exchange, account: Account) -> None:
        self._exchange = exchange
        self._account = account
        self._access: dict[str, float] = {}
        self._closing = asyncio.Event()
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_post("/token", self.token)
        app.router.add_post("/v1/projects/{project}/messages:send", self.send)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()

    async def token(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        form = await request.post()
        try:
            self._check_assertion(form.get("grant_type"), form.get("assertion"))
        except _NotGranted as refusal:
            self._record("google", None, request, body, refusal.status, refusal.error)
            return _oauth_error(refusal.status, refusal.error, refusal.text)

        async def accept() -> web.StreamResponse:
            return self._issue()

        return await self._finish("google", None, request, body, accept)

    def _issue(self) -> web.StreamResponse:
        text = f"ya29.c.{b64u(self._exchange.random(48))}"
        self._access[text] = self._exchange.clock() + ACCESS_SECONDS
        return web.json_response({"access_token": text, "expires_in": ACCESS_SECONDS, "token_type": "Bearer"})

    def _check_assertion(self, grant: Any, assertion: Any) -> None:
        if grant != GRANT:
            raise _NotGranted("unsupported_grant_type", f"Invalid grant_type: {grant}")
        if not isinstance(assertion, str):
            raise _NotGranted("invalid_request", "Missing required parameter: assertion")
        claims = self._verify(assertion)
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            raise _NotGranted("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        issued_at, expires_at = claims["iat"], claims["exp"]
        now = self._exchange.clock()
        if not (isinstance(issued_at, int | float) and isinstance(expires_at, int | float)):
            raise _NotGranted("invalid_grant", "Invalid JWT: iat and exp must be numbers")
        if issued_at > now + SKEW or expires_at <= now or expires_at - issued_at > LONGEST_ASSERTION + SKEW:
            text = (
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            )
            raise _NotGranted("invalid_grant", text)

    def _verify(self, assertion: str) -> dict[str, Any]:
        try:
            if jwt.get_unverified_header(assertion).get("kid") not in {None, self._account.key_id}:
                raise _NotGranted("invalid_grant", "Invalid JWT Signature.")
            claims: dict[str, Any] = jwt.decode(
                assertion,
                self._account.public_key,
                algorithms=["RS256"],
                issuer=self._account.email,
                audience=[f"{self.url}/token", REAL_AUDIENCE],
                # Times are judged against the simulator's own clock, by the caller.
                options={
                    "require": ["iss", "aud", "iat", "exp"],
                    "verify_iat": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidSignatureError as error:
            raise _NotGranted("invalid_grant", "Invalid JWT Signature.") from error
        except jwt.InvalidIssuerError as error:
            raise _NotGranted("invalid_grant", "Invalid grant: account not found") from error
        except jwt.PyJWTError as error:
            raise _NotGranted("invalid_grant", f"Invalid JWT: {error}") from error
        return claims

    async def send(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        project = request.match_info["project"]
        token: str | None = None
        try:
            self._check_bearer(request.headers.get("Authorization"))
            self._check_project(project)
            message = read_message(_decode(body))
            token = message.token
            if token is not None:
                check_device(token, self._exchange.find(token), project)
        except Rejected as rejected:
            self._record("fcm", token, request, body, rejected.status, rejected.reason)
            return web.json_response(rejected.body, status=rejected.status)

        async def accept() -> web.StreamResponse:
            return self._accept(project, message)

        return await self._finish("fcm", token, request, body, accept)

    def _check_bearer(self, authorization: str | None) -> None:
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._access.get(text, 0.0) > self._exchange.clock():
            return
        reason = "ACCESS_TOKEN_TYPE_UNSUPPORTED" if authorization else "CREDENTIALS_MISSING"
        reason = "ACCESS_TOKEN_EXPIRED" if text in self._access else reason
        text = (
            "Request had invalid authentication credentials. "
            "Expected OAuth 2 access token, login cookie or other valid authentication credential."
        )
        details = [{"@type": ERROR_INFO, "reason": reason, "domain": "googleapis.com"}]
        raise Rejected(401, "UNAUTHENTICATED", text, details)

    def _check_project(self, project: str) -> None:
        if project not in self._account.projects:
            text = "Permission 'cloudmessaging.messages.create' denied on the project (or it may not exist)."
            details = [{"@type": ERROR_INFO, "reason": "IAM_PERMISSION_DENIED", "domain": "cloudmessaging"}]
            raise Rejected(403, "PERMISSION_DENIED", text, details)

    def _accept(self, project: str, message: Message) -> web.StreamResponse:
        now = self._exchange.clock()
        if message.token is not None and not message.validate_only:
            delivery = Delivery(
                event="push",
                provider="fcm",
                payload={"data": dict(message.data)},
                collapse=message.collapse,
                expires_at=None if message.ttl is None else now + message.ttl,
                priority=message.priority,
                accepted_at=now,
            )
            self._exchange.deliver(message.token, delivery)
        number = f"0:{int(now * 1_000_000)}%{self._exchange.random(8).hex()}"
        return web.json_response({"name": f"projects/{project}/messages/{number}"})

    async def _finish(
        self,
        provider: str,
        token: str | None,
        request: web.Request,
        body: bytes,
        accept: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer a request that is in order, or do to it what a script says."""
        fault = self._exchange.fault(provider, token)
        if fault is None:
            self._record(provider, token, request, body, 200, "")
            return await accept()
        status = 200 if fault.kind == Kind.DELAY else fault.status
        self._record(provider, token, request, body, status, fault.reason or fault.kind)
        return await self._fail(provider, fault, request, accept)

    async def _fail(
        self,
        provider: str,
        fault: Fault,
        request: web.Request,
        accept: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if fault.kind == Kind.ANSWER:
            return _fault_answer(provider, fault)
        if fault.kind == Kind.HANG:
            await self._closing.wait()
        answer = await accept() if fault.kind in {Kind.DELAY, Kind.LOSE} else web.Response(status=503)
        if fault.kind == Kind.DELAY:
            await asyncio.sleep(fault.delay)
        elif request.transport is not None:
            request.transport.abort()
        return answer

    def _record(
        self, provider: str, token: str | None, request: web.Request, body: bytes, status: int, reason: str
    ) -> None:
        self._exchange.record(
            Recorded(
                provider=provider,
                environment="production",
                token=token,
                headers=((":path", request.path_qs), *request.headers.items()),
                payload=body,
                status=status,
                reason=reason,
                at=self._exchange.clock(),
            )
        )


class _NotGranted(Exception):
    def __init__(self, error: str, text: str) -> None:
        super().__init__(error)
        self.error = error
        self.text = text
        self.status = 400


def _oauth_error(status: int, error: str, text: str) -> web.Response:
    return web.json_response({"error": error, "error_description": text}, status=status)


def _fault_answer(provider: str, fault: Fault) -> web.Response:
    if provider == "google":
        answer = _oauth_error(fault.status, fault.reason, "scripted")
    elif fault.reason in FCM_CODES:
        answer = web.json_response(fcm_error(fault.reason, "scripted").body, status=fault.status)
    else:
        error = {"code": fault.status, "message": "scripted", "status": fault.reason or "UNKNOWN"}
        answer = web.json_response({"error": error}, status=fault.status)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = fault.retry_after
    return answer


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise invalid("", "Invalid JSON payload received.") from error
