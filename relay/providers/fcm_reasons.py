"""FCM's answers as verdicts: every code of its HTTP v1 reference, the canonical codes around them, and why.

FCM's own code stands in `error.details[].errorCode`. Without it the refusal comes from Google's front
(credentials, project, quota) and says nothing about the token; therefore 404 alone is not `gone`: a project
that does not exist answers it too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from relay.providers.provider import Verdict

_SERVER_FAULT: Final = 500
_TOKEN_FIELDS: Final = frozenset({"message.token", "token"})

BAD_TOKEN: Final = Verdict("rejected", "bad_device_token")
ACCESS_REFUSED: Final = Verdict("retry", "access_token_refused", retry_after=5)

REASONS: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        # 404. The app was uninstalled or its token replaced: the one code that says so.
        "UNREGISTERED": Verdict("gone", "unregistered"),
        # 403. The token belongs to another project: the app or the relay has the wrong one. Configuration.
        "SENDER_ID_MISMATCH": Verdict("rejected", "sender_mismatch"),
        # 400. About the payload, which only we write; `verdict` takes the case apart where it is about the
        # token.
        "INVALID_ARGUMENT": Verdict("rejected", "bad_provider_request"),
        # 401. The project's own APNs certificate or Web Push key: configuration in Firebase.
        "THIRD_PARTY_AUTH_ERROR": Verdict("rejected", "third_party_auth"),
        # 429. Too fast for the project or the device; Google asks for a minute where it names no time.
        "QUOTA_EXCEEDED": Verdict("retry", "throttled", retry_after=60),
        # 503, 500. Retry-After is honoured; otherwise the server's back-off.
        "UNAVAILABLE": Verdict("retry", "unavailable"),
        "INTERNAL": Verdict("retry", "provider_error"),
        # No more is known: nothing that would justify dropping the push.
        "UNSPECIFIED_ERROR": Verdict("retry", "provider_error"),
    }
)

CANONICAL: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        # 401. Our access token: a new one is fetched before the next attempt.
        "UNAUTHENTICATED": ACCESS_REFUSED,
        # 403. The service account may not send for this project, or the API is switched off.
        "PERMISSION_DENIED": Verdict("rejected", "credentials_refused"),
        # 404 without FCM's code: no such project.
        "NOT_FOUND": Verdict("rejected", "unknown_project"),
        # 400 without FCM's code, and its neighbours: the request as we write it.
        "INVALID_ARGUMENT": REASONS["INVALID_ARGUMENT"],
        "FAILED_PRECONDITION": REASONS["INVALID_ARGUMENT"],
        "OUT_OF_RANGE": REASONS["INVALID_ARGUMENT"],
        "UNIMPLEMENTED": REASONS["INVALID_ARGUMENT"],
        # 429 from the front: the project's quota of requests.
        "RESOURCE_EXHAUSTED": REASONS["QUOTA_EXCEEDED"],
        # 409, 499, 5xx: passing faults of Google's.
        "ABORTED": REASONS["UNAVAILABLE"],
        "CANCELLED": REASONS["UNAVAILABLE"],
        "DEADLINE_EXCEEDED": REASONS["UNAVAILABLE"],
        "UNAVAILABLE": REASONS["UNAVAILABLE"],
        "INTERNAL": REASONS["INTERNAL"],
        "UNKNOWN": REASONS["INTERNAL"],
        "DATA_LOSS": REASONS["INTERNAL"],
    }
)

# An answer that is not Google's JSON (a proxy's page) goes by its status.
STATUSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        401: ACCESS_REFUSED,
        403: CANONICAL["PERMISSION_DENIED"],
        408: REASONS["UNAVAILABLE"],
        429: REASONS["QUOTA_EXCEEDED"],
    }
)


class _Accepted(msgspec.Struct):
    name: str | None = None


_accepted = msgspec.json.Decoder(_Accepted).decode


def verdict(status: int, body: bytes) -> Verdict:
    """The verdict of an answer other than 200."""
    error = _error(body)
    details = [detail for detail in _list(error.get("details")) if isinstance(detail, dict)]
    code = next((str(detail["errorCode"]) for detail in details if "errorCode" in detail), None)
    if code == "INVALID_ARGUMENT" and _is_about_token(details):
        return BAD_TOKEN
    known = REASONS.get(code or "") or CANONICAL.get(str(error.get("status"))) or STATUSES.get(status)
    if known is not None:
        return known
    return REASONS["UNAVAILABLE"] if status >= _SERVER_FAULT else Verdict("rejected", "unknown_refusal")


def exhausted(verdict: Verdict, wait: int | None, body: bytes) -> bool:
    """Whether this refusal speaks for the whole project, so that what follows would only be refused and counted too.

    Google's front, which keeps the project's quota, writes no code of FCM's, and says it in `ErrorInfo`. FCM's own
    QUOTA_EXCEEDED may be about one device: nobody else shall wait for that. It counts where it asks for a wait
    (`wait`, from Retry-After) and does not name the device.
    """
    if verdict.reason != REASONS["QUOTA_EXCEEDED"].reason:
        return False
    error = _error(body)
    details = [detail for detail in _list(error.get("details")) if isinstance(detail, dict)]
    if any(detail.get("reason") == "RATE_LIMIT_EXCEEDED" for detail in details):
        return True
    return wait is not None and not any("device" in text.lower() for text in _texts(error, details))


def message_name(body: bytes) -> str | None:
    """FCM's name of an accepted message."""
    try:
        return _accepted(body).name
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _texts(error: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What FCM says of a quota: in the message, and in `google.rpc.QuotaFailure`."""
    yield str(error.get("message"))
    for detail in details:
        for violation in _list(detail.get("violations")):
            yield str(violation)


def _is_about_token(details: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a 400 speaks of the token: it names that field, or, as Google's own example does, no field at all.

    Rejected, not gone: a truncated or foreign token is as likely the fault of an app or of a configuration.
    """
    violations = [
        violation
        for detail in details
        for violation in _list(detail.get("fieldViolations"))
        if isinstance(violation, dict)
    ]
    return all(str(violation.get("field")) in _TOKEN_FIELDS for violation in violations)


def _error(body: bytes) -> Mapping[str, Any]:
    error = _object(body).get("error")
    return error if isinstance(error, dict) else {}


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
