"""What a Web Push service accepts: RFC 8030 (the request), RFC 8188 and 8291 (the body's form), RFC 8292 (who sends).

Pure: a request goes in; a `Message` comes out, or `Rejected` with the reason. Where a real service is lenient and the
RFC is not, this one follows the RFC: what passes here passes everywhere.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt

from crypto.encoding import unb64u
from crypto.errors import Malformed
from crypto.webpush import LARGEST_BODY, POINT_LENGTH, read_point
from simulator.devices import Device
from simulator.requests import Request
from simulator.webpush_errors import WEBPUSH_ERRORS

HOST = "push.hushpost.test"
"""Subscriptions are made for this name on port 443, as real ones are for their service's."""
PATH = "/wp/"
LONGEST_TTL = 2_419_200
LONGEST_TOKEN = 86_400
"""Seconds: an `exp` further ahead is refused (RFC 8292, section 2)."""
URGENCIES = ("very-low", "low", "normal", "high")
ONCE = ("ttl", "urgency", "topic", "authorization", "content-encoding")

_TTL = re.compile(r"[0-9]{1,10}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PARAMETER = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"\\]*)"|([^",\s]+))\s*')
_SALT = 16
_RS_END = _SALT + 4
_HEADER = _RS_END + 1 + POINT_LENGTH
_SMALLEST_RECORD = 18
_OVERHEAD = 17
"""A record's own bytes: the delimiter and the tag."""


class Rejected(Exception):
    """`text` says what was wrong, for whoever reads the answer."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.status, self.errno = WEBPUSH_ERRORS[reason]

    @property
    def body(self) -> dict[str, Any]:
        number = {} if self.errno is None else {"errno": self.errno}
        return {"code": self.status, **number, "error": self.reason, "message": self.text}


@dataclass(frozen=True)
class Message:
    """An accepted push; `ttl` in seconds, at most what this service keeps. An empty body is a push without one."""

    body: bytes = field(repr=False)
    ttl: int
    urgency: str
    topic: str | None


def endpoint_of(token: str) -> str:
    return f"https://{HOST}{PATH}{token}"


def is_server_key(text: str) -> bool:
    """Whether a browser would take this as an applicationServerKey."""
    try:
        read_point(unb64u(text, POINT_LENGTH))
    except Malformed:
        return False
    return True


def check_push(request: Request, *, origins: Collection[str], device: Device | None, now: float) -> Message:
    """Check a push to a subscription, which is None where there never was one; `origins` are those of this service."""
    origin = "https://" + (request.header("host") or "").lower().removesuffix(":443")
    if origin not in origins:
        raise Rejected("misdirected", "Host: not a name of this push service")
    if device is None or device.target.provider != "webpush":
        raise Rejected("invalid_endpoint", "no such subscription")
    if device.gone_since is not None:
        raise Rejected("unsubscribed", "the subscription has ended")
    names = [name for name, _ in request.headers]
    for name in ONCE:
        if names.count(name) > 1:
            raise Rejected("duplicate_header", f"{name}: more than one")
    _check_sender(request, origin, device.target.server_key or "", now)
    _check_body(request)
    return Message(request.body, _ttl(request.header("ttl")), _urgency(request), _topic(request))


def _ttl(text: str | None) -> int:
    if text is None:
        raise Rejected("missing_header", "TTL: a push needs one (RFC 8030, section 5.2)")
    if _TTL.fullmatch(text) is None:
        raise Rejected("invalid_ttl", "TTL: a number of seconds expected")
    return min(int(text), LONGEST_TTL)


def _urgency(request: Request) -> str:
    text = request.header("urgency")
    if text is not None and text not in URGENCIES:
        raise Rejected("invalid_urgency", f"Urgency: one of {', '.join(URGENCIES)} expected")
    return text or "normal"


def _topic(request: Request) -> str | None:
    text = request.header("topic")
    if text is not None and _TOPIC.fullmatch(text) is None:
        raise Rejected("invalid_topic", "Topic: at most 32 characters of base64url")
    return text


def _check_body(request: Request) -> None:
    """Look at what a service can see of it: RFC 8188's header, with one record and the sender's key (RFC 8291)."""
    encoding, body = request.header("content-encoding"), request.body
    if not body:
        if encoding is not None:
            raise Rejected("invalid_crypto_keys", "Content-Encoding: there is no content")
        return
    if len(body) > LARGEST_BODY:
        raise Rejected("too_large", f"{len(body)} bytes, more than {LARGEST_BODY}")
    if encoding != "aes128gcm":
        raise Rejected("missing_crypto_keys", "Content-Encoding: aes128gcm expected")
    _check_record(body)


def _check_record(body: bytes) -> None:
    size, record = int.from_bytes(body[_SALT:_RS_END]), body[_HEADER:]
    if len(body) < _HEADER + _OVERHEAD or body[_RS_END] != POINT_LENGTH:
        raise Rejected("invalid_crypto_keys", "body: no header with a P-256 point as keyid")
    if size < _SMALLEST_RECORD or len(record) > size:
        raise Rejected("invalid_crypto_keys", "body: the record size does not hold the one record")
    try:
        read_point(body[_RS_END + 1 : _HEADER])
    except Malformed as error:
        raise Rejected("invalid_crypto_keys", "body: keyid is no point on P-256") from error


def _check_sender(request: Request, origin: str, server_key: str, now: float) -> None:
    """VAPID, restricted to the key that the subscription was made with (RFC 8292, section 4)."""
    scheme, _, rest = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "vapid":
        raise Rejected("authorization_missing", "Authorization: the vapid scheme expected")
    parameters = _parameters(rest)
    if parameters.get("k") != server_key:
        raise _unauthorized("k: not the key that this subscription is restricted to")
    claims = _verified(parameters.get("t", ""), server_key)
    _check_claims(claims, origin, now)


def _unauthorized(text: str) -> Rejected:
    return Rejected("authorization_invalid", text)


def _parameters(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        matched = _PARAMETER.fullmatch(part)
        if matched is None or matched[1].lower() in found:
            raise _unauthorized("Authorization: vapid t=…, k=… expected, each once")
        found[matched[1].lower()] = matched[2] if matched[2] is not None else matched[3]
    return found


def _verified(token: str, server_key: str) -> Mapping[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            read_point(unb64u(server_key)),
            algorithms=["ES256"],
            # Times and audience are judged against this service's clock and names, by the caller.
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_sub": False,
            },
        )
    except jwt.PyJWTError as error:
        raise _unauthorized("t: not a JWT signed with ES256 by k") from error
    return claims


def _check_claims(claims: Mapping[str, Any], origin: str, now: float) -> None:
    audience, expires_at, subject = claims.get("aud"), claims.get("exp"), claims.get("sub")
    if origin not in (audience if isinstance(audience, list) else [audience]):
        raise _unauthorized("aud: not the endpoint's origin")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        raise _unauthorized("exp: a time expected")
    if not now < expires_at <= now + LONGEST_TOKEN:
        raise _unauthorized("exp: has passed, or lies more than 24 hours ahead")
    if not isinstance(subject, str) or not _is_contact(subject):
        raise _unauthorized("sub: a mailto: or https address expected")


def _is_contact(subject: str) -> bool:
    try:
        parts = urlsplit(subject)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return "@" in parts.path.strip("@")
    return parts.scheme == "https" and bool(parts.hostname)
