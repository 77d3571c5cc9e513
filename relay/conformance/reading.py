"""Sections 1, 3 and 4, what is asked with GET: the key directory, the apps, a server's status; and what is not there."""

from collections.abc import Sequence
from typing import Any

from crypto.encoding import unb64u
from crypto.errors import Malformed
from crypto.httpsig import SignatureFault
from relay.conformance.answer import Failed, check_problem
from relay.conformance.case import Case, Check
from relay.conformance.given import Need
from relay.conformance.request import Draft, status_draft
from relay.conformance.subject import DRIFT, Subject
from relay.wire import (
    APPS_PATH,
    DIRECTORY_PATH,
    DIRECTORY_TYPE,
    HANDLES_PATH,
    JSON_TYPE,
    PUSH_PATH,
    STATUS_PATH,
)

_ADMITTED = frozenset({Need.ADMITTED})
_POINT_BYTES = 65
_APP = {"provider", "app", "environment"}
_LIMIT = {"name", "limit", "remaining", "resetsAt"}
_OK = 200


async def _directory(subject: Subject) -> None:
    answer = await subject.ask("GET", DIRECTORY_PATH)
    if answer.status != _OK or answer.media_type != DIRECTORY_TYPE:
        raise Failed(f"must be 200 and {DIRECTORY_TYPE}")
    try:
        subject.listed(answer)
    except SignatureFault as fault:
        raise Failed(str(fault)) from None
    if any("d" in key for key in answer.json["keys"]):
        raise Failed("it shows private keys")


async def _clock(subject: Subject) -> None:
    if subject.ahead:
        direction = "ahead of" if subject.ahead > 0 else "behind"
        raise Failed(
            f"it is about {abs(subject.ahead):.0f} s {direction} this machine's (more than {DRIFT:.0f})"
        )


async def _apps(subject: Subject) -> None:
    answer = await subject.ask("GET", APPS_PATH)
    if answer.status != _OK or answer.media_type != JSON_TYPE:
        raise Failed(f"must be 200 and {JSON_TYPE}, not {answer.said}")
    apps = answer.json
    if not isinstance(apps, list):
        raise Failed("must be a list of apps")
    for app in apps:
        _check_app(app)


def _check_app(app: Any) -> None:
    if (
        not isinstance(app, dict)
        or not app.keys() >= _APP
        or not app.keys() <= _APP | {"applicationServerKey"}
    ):
        raise Failed(
            f"an app must have {', '.join(sorted(_APP))}, and nothing but an applicationServerKey besides"
        )
    if app["provider"] not in {"apns", "fcm", "webpush"} or app["environment"] not in {
        "production",
        "sandbox",
    }:
        raise Failed("provider or environment are none of the known ones")
    key = app.get("applicationServerKey")
    try:
        if key is not None and unb64u(key, _POINT_BYTES)[0] != 4:  # noqa: PLR2004 - an uncompressed point
            raise Failed("applicationServerKey must be an uncompressed point")
    except Malformed:
        raise Failed(f"applicationServerKey must be b64u of {_POINT_BYTES} bytes") from None


async def _status(subject: Subject) -> None:
    answer = await subject.takes(status_draft(subject.draft()).sign(), profile_answer=True)
    document = answer.json
    if not isinstance(document, dict) or not document.keys() >= {"limits", "apps", "server"}:
        raise Failed("must have limits, apps and server")
    if document["server"] != subject.given.key.public.id:
        raise Failed("server must be the key id that signed the request")
    if document["apps"] != (await subject.ask("GET", APPS_PATH)).json:
        raise Failed(f"apps must be those of {APPS_PATH}")
    for limit in document["limits"]:
        _check_limit(limit, subject.now * 1000)


def _check_limit(limit: Any, now: float) -> None:
    if not isinstance(limit, dict) or not limit.keys() >= _LIMIT:
        raise Failed(f"a limit must have {', '.join(sorted(_LIMIT))}")
    if not 0 <= limit["remaining"] <= limit["limit"]:
        raise Failed("what remains of a limit is between 0 and the limit")
    if limit["resetsAt"] < now - DRIFT * 1000:
        raise Failed("resetsAt must be milliseconds since the epoch, not past")


async def _status_replayed(subject: Subject) -> None:
    request = status_draft(subject.draft()).sign()
    await subject.takes(request, profile_answer=True)
    await subject.refuses(request, "nonce_replayed", signed=True)


async def _status_query(subject: Subject) -> None:
    request = status_draft(subject.draft()).sign()
    await subject.refuses(request, "bad_request", signed=True, names="query", path=STATUS_PATH + "?a=b")


def _status_refused(code: str, *, signed: bool, **changes: Any) -> Check:
    async def check(subject: Subject) -> None:
        draft = status_draft(subject.draft())
        await subject.refuses(draft.but(**changes).sign(), code, signed=signed)

    return check


async def _status_skew(subject: Subject) -> None:
    draft: Draft = status_draft(subject.draft())
    await subject.refuses(draft.but(created=draft.created - 63).sign(), "created_skew", signed=True)


async def _push_as_status(subject: Subject) -> None:
    """What was signed for the one is not good for the other."""
    request = subject.draft().sign()
    status = type(request)("GET", STATUS_PATH, request.fields, None, request.context)
    await subject.refuses(status, "signature_profile", signed=False)


def _unknown(method: str, path: str, code: str) -> Check:
    async def check(subject: Subject) -> None:
        body = b"{}" if method in {"POST", "PUT"} else None
        answer = await subject.ask(method, path, body)
        check_problem(answer, code)
        if code == "method_not_allowed" and not answer.has("allow"):
            raise Failed("405 must say in Allow what is (RFC 9110, section 15.5.6)")

    return check


_METHODS: Sequence[tuple[str, str]] = (
    ("GET", PUSH_PATH),
    ("PUT", PUSH_PATH),
    ("POST", STATUS_PATH),
    ("GET", HANDLES_PATH),
    ("DELETE", APPS_PATH),
    ("POST", DIRECTORY_PATH),
)

CASES: tuple[Case, ...] = (
    Case(1, "the key directory is signed by every key that it lists", _directory),
    Case(4, "its clock agrees with this machine's", _clock),
    Case(3, "its apps are listed", _apps),
    Case(4, "the status is signed, and says what is left", _status, _ADMITTED),
    Case(4, "nonce_replayed: the same status request again", _status_replayed, _ADMITTED),
    Case(4, "bad_request: the status with a query", _status_query, _ADMITTED),
    Case(4, "created_skew: the status", _status_skew, _ADMITTED),
    Case(
        4,
        "signature_invalid: the status of another relay",
        _status_refused("signature_invalid", signed=False, url="https://relay.example"),
        _ADMITTED,
    ),
    Case(
        4,
        "signature_profile: a status request for 61 s",
        _status_refused("signature_profile", signed=False, lifetime=61),
    ),
    Case(4, "signature_profile: a request to push in place of one for the status", _push_as_status),
    Case(4, "not_found: another address", _unknown("GET", "/v1/nothing", "not_found")),
    *(
        Case(4, f"method_not_allowed: {method} {path}", _unknown(method, path, "method_not_allowed"))
        for method, path in _METHODS
    ),
)
