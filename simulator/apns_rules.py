"""What APNs accepts, after Apple's "Sending notification requests to APNs" and its table of error reasons.

Pure: a request goes in; a `Push` comes out, or `Refused` with the documented reason. Provider tokens are the one
piece with a memory (`ProviderTokens`, one for each connection), because Apple refuses one that changes too often.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.devices import Device
from simulator.faults import APNS_REASONS
from simulator.requests import Request

PATH = "/3/device/"
LARGEST = 4096
LARGEST_VOIP = 5120
COLLAPSE_BYTES = 64
TOKEN_LIFETIME = 3600
TOKEN_UPDATE = 1200
TOKEN_AHEAD = 60
TOPIC = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
DEVICE_TOKEN = re.compile(r"(?:[0-9a-f]{2}){1,100}", re.IGNORECASE)
PRIORITIES = {"1": "1", "5": "5", "10": "10"}
TOPIC_ENDS = {
    "alert": "",
    "background": "",
    "mdm": "",
    "controls": ".push-type.controls",
    "location": ".location-query",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
    "widgets": ".push-type.widgets",
}
"""Each push type, and what its topic ends in after the bundle id."""
ONCE = ("authorization", "apns-id", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration")


class Refused(Exception):
    """`since` in milliseconds, with 410 only."""

    def __init__(self, reason: str, since: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = APNS_REASONS[reason]
        self.since = since


@dataclass(frozen=True)
class Team:
    """An Apple developer team: one signing key, and the bundle ids that it may push to."""

    team_id: str
    key_id: str
    public_key: ec.EllipticCurvePublicKey
    topics: set[str]


@dataclass(frozen=True)
class Push:
    """An accepted notification; `expires_at` in seconds, None where the sender set none."""

    payload: Mapping[str, Any] = field(repr=False)
    push_type: str
    priority: str
    collapse: str | None
    expires_at: int | None


class ProviderTokens:
    """The provider token of one connection."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._current = ""
        self._issued_at = 0.0

    def check(self, authorization: str | None, now: float) -> None:
        if not authorization:
            raise Refused("MissingProviderToken")
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise Refused("InvalidProviderToken")
        if text != self._current:
            self._accept(text, now)
        if now - self._issued_at > TOKEN_LIFETIME:
            raise Refused("ExpiredProviderToken")

    def _accept(self, text: str, now: float) -> None:
        issued_at = self._verify(text)
        if issued_at > now + TOKEN_AHEAD:
            raise Refused("InvalidProviderToken")
        if now - issued_at > TOKEN_LIFETIME:
            raise Refused("ExpiredProviderToken")
        # "No more than once every 20 minutes", by the times at which they were made; a new connection may bring its own.
        if self._current and abs(issued_at - self._issued_at) < TOKEN_UPDATE:
            raise Refused("TooManyProviderTokenUpdates")
        self._current, self._issued_at = text, issued_at

    def _verify(self, text: str) -> float:
        try:
            if jwt.get_unverified_header(text).get("kid") != self._team.key_id:
                raise Refused("InvalidProviderToken")
            # Times are judged against the simulator's own clock, by the caller.
            claims = jwt.decode(
                text,
                self._team.public_key,
                algorithms=["ES256"],
                issuer=self._team.team_id,
                options={
                    "require": ["iss", "iat"],
                    "verify_iat": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                },
            )
        except jwt.PyJWTError as error:
            raise Refused("InvalidProviderToken") from error
        if not isinstance(claims["iat"], int | float):
            raise Refused("InvalidProviderToken")
        return float(claims["iat"])


def token_of(request: Request) -> str | None:
    path = request.header(":path") or ""
    return path.removeprefix(PATH).lower() if path.startswith(PATH) else None


def check_route(request: Request) -> None:
    """Refuse another method, another path and repeated headers."""
    if request.header(":method") != "POST":
        raise Refused("MethodNotAllowed")
    path = request.header(":path") or ""
    if path.rstrip("/") == PATH.rstrip("/"):
        raise Refused("MissingDeviceToken")
    if not path.startswith(PATH) or "/" in path.removeprefix(PATH):
        raise Refused("BadPath")
    counts = Counter(name for name, _ in request.headers)
    if any(counts[name] > 1 for name in (*ONCE, "apns-collapse-id")):
        raise Refused("DuplicateHeaders")


def check_push(request: Request, *, team: Team, environment: str, device: Device | None) -> Push:
    """Check everything but route and provider token. `device` is the path's, None where no such token exists."""
    check_id(request.header("apns-id"))
    push_type = _push_type(request.header("apns-push-type"))
    push = Push(
        payload={},
        push_type=push_type,
        priority=_priority(request.header("apns-priority"), push_type),
        collapse=_collapse(request.header("apns-collapse-id")),
        expires_at=_expiration(request.header("apns-expiration")),
    )
    app = _app(request.header("apns-topic"), push_type, team)
    payload = _payload(request.body, LARGEST_VOIP if push_type == "voip" else LARGEST)
    _check_device(device, app, environment)
    return Push(payload, push.push_type, push.priority, push.collapse, push.expires_at)


def check_id(text: str | None) -> None:
    """Accept a canonical UUID (8-4-4-4-12) of either case, or none."""
    try:
        if text is not None and str(UUID(text)) != text.lower():
            raise Refused("BadMessageId")
    except ValueError as error:
        raise Refused("BadMessageId") from error


def _push_type(text: str | None) -> str:
    # Apple requires the header for watchOS and recommends it elsewhere; without it the push counts as an alert.
    push_type = "alert" if text is None else text
    if push_type not in TOPIC_ENDS:
        raise Refused("InvalidPushType")
    return push_type


def _priority(text: str | None, push_type: str) -> str:
    if text is None:
        return "5" if push_type == "background" else "10"
    if text not in PRIORITIES or (push_type == "background" and text == "10"):
        raise Refused("BadPriority")
    return text


def _collapse(text: str | None) -> str | None:
    if text is not None and len(text.encode()) > COLLAPSE_BYTES:
        raise Refused("BadCollapseId")
    return text or None


def _expiration(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Refused("BadExpirationDate")
    return int(text)


def _app(topic: str | None, push_type: str, team: Team) -> str:
    """Give the bundle id that a topic names."""
    if not topic:
        raise Refused("MissingTopic")
    if not TOPIC.fullmatch(topic):
        raise Refused("BadTopic")
    end = TOPIC_ENDS[push_type]
    app = topic.removesuffix(end)
    if not topic.endswith(end) or app not in team.topics:
        raise Refused("TopicDisallowed")
    return app


def _payload(body: bytes, largest: int) -> Mapping[str, Any]:
    if len(body) > largest:
        raise Refused("PayloadTooLarge")
    try:
        payload = json.loads(body)
    except ValueError as error:
        raise Refused("PayloadEmpty") from error
    if not isinstance(payload, dict) or not isinstance(payload.get("aps"), dict):
        raise Refused("PayloadEmpty")
    return payload


def _check_device(device: Device | None, app: str, environment: str) -> None:
    if device is None or device.target.provider != "apns" or device.target.environment != environment:
        raise Refused("BadDeviceToken")
    if device.target.app != app:
        raise Refused("DeviceTokenNotForTopic")
    if device.gone_since is not None:
        raise Refused("Unregistered", device.gone_since)
