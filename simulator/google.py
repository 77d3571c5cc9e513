"""Google's OAuth 2 token endpoint and FCM's HTTP v1, whichever HTTP brings the request.

The token endpoint verifies the service account's RS256 assertion for real (signature, issuer, audience, scope,
lifetime), and a send needs a token that it issued: a relay that gets its credentials wrong fails here as it would
fail at Google. Every answer has the documented JSON form.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from crypto.encoding import b64u
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import FCM_CODES, Fault
from simulator.fcm_rules import Message, Rejected, check_device, fcm_error, invalid, read_message
from simulator.requests import Outcome, Pairs, Reply, Request, Told, fill

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
TOKEN_PATH = "/token"  # noqa: S105 - a path
SEND_PATH = re.compile(r"/v1/projects/([^/]+)/messages:send")
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
JSON: Pairs = (("content-type", "application/json; charset=UTF-8"),)


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
        self.url = ""

    def answer(self, request: Request) -> Outcome:
        """Answer, with the time of the simulator's clock in it: that is how clients can find their own wrong."""
        outcome = self._answer(request)
        if isinstance(outcome, Reply):
            return self._dated(outcome)
        refusal = None if outcome.refusal is None else self._dated(outcome.refusal)
        return Told(outcome.fault, lambda: self._dated(outcome.accept()), refusal)

    def _dated(self, reply: Reply) -> Reply:
        date = ("date", formatdate(self._exchange.clock(), usegmt=True))
        return Reply(reply.status, (*reply.headers, date), reply.body)

    def _answer(self, request: Request) -> Outcome:
        path = (request.header(":path") or "").partition("?")[0]
        if request.header(":method") != "POST":
            return self._missing(request, 405)
        if path == TOKEN_PATH:
            return self._token(request)
        matched = SEND_PATH.fullmatch(path)
        return self._send(request, matched[1]) if matched else self._missing(request, 404)

    def pass_over(self, request: Request, reason: str) -> None:
        self._record(self.provider_of(request), None, request, 0, reason, accepted=False)

    @staticmethod
    def provider_of(request: Request) -> str:
        return "google" if request.header(":path") == TOKEN_PATH else "fcm"

    def _missing(self, request: Request, status: int) -> Reply:
        reason = "NOT_FOUND" if status == 404 else "METHOD_NOT_ALLOWED"  # noqa: PLR2004 - that is its name
        self._record(self.provider_of(request), None, request, status, reason, accepted=False)
        return _json({"error": {"code": status, "message": reason, "status": reason}}, status)

    def _token(self, request: Request) -> Outcome:
        form = parse_qs(request.body.decode("utf-8", "replace"))
        try:
            self._check_assertion(form.get("grant_type", [None])[0], form.get("assertion", [None])[0])
        except _NotGranted as refusal:
            self._record("google", None, request, refusal.status, refusal.error, accepted=False)
            return _oauth_error(refusal.status, refusal.error, refusal.text)
        return self._finish("google", None, request, self._issue)

    def _issue(self) -> Reply:
        text = f"ya29.c.{b64u(self._exchange.random(48))}"
        self._access[text] = self._exchange.clock() + ACCESS_SECONDS
        return _json({"access_token": text, "expires_in": ACCESS_SECONDS, "token_type": "Bearer"})

    def _check_assertion(self, grant: str | None, assertion: str | None) -> None:
        if grant != GRANT:
            raise _NotGranted("unsupported_grant_type", f"Invalid grant_type: {grant}")
        if assertion is None:
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

    def _send(self, request: Request, project: str) -> Outcome:
        token: str | None = None
        try:
            self._check_bearer(request.header("authorization"))
            self._check_project(project)
            message = read_message(_decode(request.body))
            token = message.token
            if token is not None:
                check_device(token, self._exchange.find(token), project)
        except Rejected as rejected:
            self._record("fcm", token, request, rejected.status, rejected.reason, accepted=False)
            return _json(rejected.body, rejected.status)
        return self._finish("fcm", token, request, lambda: self._accept(project, message))

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

    def _accept(self, project: str, message: Message) -> Reply:
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
        return _json({"name": f"projects/{project}/messages/{number}"})

    def _finish(
        self, provider: str, token: str | None, request: Request, accept: Callable[[], Reply]
    ) -> Outcome:
        """Answer a request that is in order, or tell what a script says about it."""
        fault = self._exchange.fault(provider, token)
        if fault is None:
            self._record(provider, token, request, 200, "", accepted=True)
            return accept()
        status, reason = fault.answered(200), fault.reason or fault.kind
        self._record(provider, token, request, status, reason, accepted=fault.delivers)
        return Told(fault, accept, _scripted(provider, fault) if fault.refuses else None)

    def _record(
        self, provider: str, token: str | None, request: Request, status: int, reason: str, *, accepted: bool
    ) -> None:
        self._exchange.record(
            Recorded(
                provider=provider,
                environment="production",
                token=token,
                headers=request.headers,
                payload=request.body,
                status=status,
                reason=reason,
                at=self._exchange.clock(),
                accepted=accepted,
                connection=request.connection,
            )
        )


class _NotGranted(Exception):
    def __init__(self, error: str, text: str) -> None:
        super().__init__(error)
        self.error = error
        self.text = text
        self.status = 400


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(status, JSON, json.dumps(body).encode())


def _oauth_error(status: int, error: str, text: str) -> Reply:
    return _json({"error": error, "error_description": text}, status)


def _scripted(provider: str, fault: Fault) -> Reply:
    if provider == "google":
        answer = _oauth_error(fault.status, fault.reason, "scripted")
    elif fault.reason in FCM_CODES:
        answer = _json(fcm_error(fault.reason, "scripted").body, fault.status)
    else:
        error = {"code": fault.status, "message": "scripted", "status": fault.reason or "UNKNOWN"}
        answer = _json({"error": error}, fault.status)
    wait: Pairs = () if fault.retry_after is None else (("retry-after", fault.retry_after),)
    return Reply(answer.status, (*answer.headers, *wait), fill(answer.body, fault.size))


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise invalid("", "Invalid JSON payload received.") from error
