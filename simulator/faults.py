"""What a provider is told to do wrong, and to whom.

A fault meets only a request that would have been accepted: a faulty request is refused for its own fault, as a
real provider would, and does not use up a script. Scripts are tried newest first.
"""

from dataclasses import dataclass
from enum import StrEnum

from simulator.webpush_errors import WEBPUSH_ERRORS

APNS_REASONS = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
"""Reason and status, from Apple's "Handling error responses from Apple Push Notification service"."""

FCM_CODES = {
    "UNSPECIFIED_ERROR": (500, "UNKNOWN"),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT"),
    "UNREGISTERED": (404, "NOT_FOUND"),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "INTERNAL": (500, "INTERNAL"),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED"),
}
"""FCM's error code, HTTP status and canonical code, from the v1 reference's `ErrorCode`."""

OAUTH_ERRORS = {
    "invalid_grant": 400,
    "invalid_scope": 400,
    "invalid_request": 400,
    "unsupported_grant_type": 400,
    "invalid_client": 401,
    "unauthorized_client": 401,
    "internal_failure": 500,
    "temporarily_unavailable": 503,
}


class Kind(StrEnum):
    ANSWER = "answer"
    HANG = "hang"
    """Never answers."""
    DELAY = "delay"
    """Accepts and delivers, and answers `delay` seconds later."""
    CLOSE = "close"
    """Drops the connection; nothing was delivered."""
    LOSE = "lose"
    """Delivers to the device, then drops the connection: the sender cannot know."""
    RESET = "reset"
    """RST_STREAM (APNs only)."""
    GOAWAY = "goaway"
    """GOAWAY with this stream unprocessed, then closes (APNs only)."""
    GOAWAY_OPEN = "goaway_open"
    """GOAWAY, after which the connection stays open and silent (APNs only)."""


ONLY_HTTP2 = frozenset({Kind.RESET, Kind.GOAWAY, Kind.GOAWAY_OPEN})
PROVIDERS = ("apns", "fcm", "google", "webpush")
"""`google` is the OAuth 2 token endpoint."""


class BadScript(ValueError):
    """A fault that no provider could show; the text names the field and what would be right."""


@dataclass(frozen=True)
class Fault:
    """`since` in milliseconds (a 410's timestamp); `retry_after` is the header as given: seconds or an HTTP date."""

    kind: Kind
    reason: str
    status: int
    retry_after: str | None
    since: int | None
    delay: float


@dataclass
class Script:
    """A fault for one token or for all, for the next `remaining` requests or for good."""

    provider: str
    token: str | None
    remaining: int | None
    fault: Fault


def read_fault(
    provider: str,
    *,
    kind: str,
    reason: str,
    status: int | None,
    retry_after: int | str | None,
    since: int | None,
    delay: float,
) -> Fault:
    if provider not in PROVIDERS:
        raise BadScript(f"provider: {provider!r} is unknown; use one of {', '.join(PROVIDERS)}")
    if kind not in tuple(Kind):
        raise BadScript(f"kind: {kind!r} is unknown; use one of {', '.join(Kind)}")
    if kind in ONLY_HTTP2 and provider != "apns":
        raise BadScript(f"kind: {kind!r} is a fault of HTTP/2, which only apns speaks; use 'close'")
    if kind == Kind.ANSWER:
        status = _status(provider, reason, status)
    wait = None if retry_after is None else str(retry_after)
    return Fault(Kind(kind), reason, status or 0, wait, since, delay)


def _status(provider: str, reason: str, status: int | None) -> int:
    """Take the documented status of a documented reason; anything else needs one stated."""
    documented: dict[str, int] = {
        "apns": APNS_REASONS,
        "fcm": {code: http for code, (http, _) in FCM_CODES.items()},
        "google": OAUTH_ERRORS,
        "webpush": {error: http for error, (http, _) in WEBPUSH_ERRORS.items()},
    }[provider]
    found = status if status is not None else documented.get(reason)
    if found is None:
        raise BadScript(
            f"reason: {reason!r} is not one of {provider}'s; use a documented one or state a status"
        )
    return found


class Scripts:
    """The faults in force."""

    def __init__(self) -> None:
        self._scripts: list[Script] = []

    def add(self, script: Script) -> None:
        self._scripts.insert(0, script)

    def clear(self) -> None:
        self._scripts.clear()

    def take(self, provider: str, token: str | None) -> Fault | None:
        """Give the fault that meets this request, and count it."""
        for script in self._scripts:
            if script.provider == provider and script.token in {None, token}:
                return self._count(script)
        return None

    def _count(self, script: Script) -> Fault:
        if script.remaining is not None:
            script.remaining -= 1
            if script.remaining <= 0:
                self._scripts.remove(script)
        return script.fault
