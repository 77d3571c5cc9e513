"""What answers have in common: JSON written one way, and problem documents (RFC 9457)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, NotRequired, TypedDict

import orjson
from aiohttp import web

from server.api.bodies import note
from server.api.reading import TooSlow, UnsupportedMedia
from server.domain import errors
from server.domain.errors import (
    Allowance,
    Conflict,
    Forbidden,
    Gone,
    InFlight,
    Invalid,
    Limited,
    NotFound,
    Refusal,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

JSON = "application/json"
PROBLEM = "application/problem+json"

# RFC 6750, section 3: an error code is for a token that is no good, not for a request that brought none.
_REALM = 'realm="hushpost"'
_BAD_TOKEN = ', error="invalid_token"'  # noqa: S105 - an error code
_OF_TOKENS = frozenset({"token_invalid", "token_expired", "session_ended", "device_token_invalid"})

STATUS: dict[type[Refusal], HTTPStatus] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    Conflict: HTTPStatus.CONFLICT,
    InFlight: HTTPStatus.CONFLICT,
    Gone: HTTPStatus.GONE,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Limited: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Fault(TypedDict):
    """One thing that is wrong in a request."""

    path: Annotated[str, note("Where: like `userIds[2]`, `?limit` or `Content-Digest`.")]
    reason: Annotated[str, note("Why it is refused.")]
    fix: Annotated[str, note("What would be right.")]


class Problem(TypedDict):
    """Why a request is refused (RFC 9457)."""

    type: Annotated[str, note("Always about:blank: `code` says what it is.")]
    title: Annotated[str, note("The status in words.")]
    status: Annotated[int, note("The HTTP status.")]
    code: Annotated[str, note("What is wrong, for programs.")]
    detail: Annotated[str, note("What is wrong, for people.")]
    errors: NotRequired[Annotated[list[Fault], note("Every fault of the request.")]]


def show(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type=JSON, headers=headers)


def nothing(status: int = 204, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer without a body."""
    return web.Response(status=status, headers=headers)


def rate_limit(left: Allowance) -> dict[str, str]:
    """Return what a client may plan with (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {
        "RateLimit-Policy": f'"{left.policy}";q={left.quota};w={left.window}',
        "RateLimit": f'"{left.policy}";r={left.remaining};t={left.reset}',
    }


@dataclass(frozen=True)
class Refused:
    """Why a request is not answered with what it asked for, before an API shows it in its own form."""

    status: HTTPStatus
    code: str
    detail: str
    faults: tuple[errors.Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


Face = Callable[[Refused], web.Response]
"""How an API shows what it refuses."""


def refused(refusal: Refusal) -> Refused:
    """Return what a refusal says: what is wrong, where, and what would be right."""
    return Refused(STATUS[type(refusal)], refusal.reason, refusal.detail, refusal.faults, _headers(refusal))


def problem(what: Refused) -> web.Response:
    """Answer with a problem document."""
    status = what.status
    document = Problem(
        type="about:blank", title=status.phrase, status=status.value, code=what.code, detail=what.detail
    )
    if what.faults:
        document["errors"] = shown_faults(what.faults)
    return web.Response(
        body=orjson.dumps(document), status=status, content_type=PROBLEM, headers=what.headers
    )


def shown_faults(faults: Iterable[errors.Fault]) -> list[Fault]:
    return [Fault(path=one.path, reason=one.reason, fix=one.fix) for one in faults]


def _headers(refusal: Refusal) -> dict[str, str]:
    if isinstance(refusal, Unauthenticated):
        return {"WWW-Authenticate": _challenge(refusal)}
    if isinstance(refusal, Limited):
        return {"Retry-After": str(refusal.allowance.reset), **rate_limit(refusal.allowance)}
    if isinstance(refusal, Unavailable | InFlight):
        return {"Retry-After": str(refusal.retry_after)}
    return {}


def _challenge(refusal: Unauthenticated) -> str:
    """Return what a 401 has to say of how to authenticate (RFC 9110, section 11.6.1): no registered scheme has headers of its own."""
    scheme = f"Bearer {_REALM}" if refusal.header is None else f'ApiKey {_REALM}, header="{refusal.header}"'
    return scheme + (_BAD_TOKEN if refusal.reason in _OF_TOKENS else "")
