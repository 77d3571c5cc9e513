"""Section 3: how a handle is asked for, and what is wrong with a request for one. The devices are invented."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from relay.conformance.answer import Answer, Failed, check_problem
from relay.conformance.case import Case, Check
from relay.conformance.devices import find_app, issue, request_for
from relay.conformance.subject import Subject
from relay.wire import HANDLES_PATH, App

LENGTHS = {"apns": 545, "fcm": 545, "webpush": 1057}
_WEB = "webpush"

Change = Callable[[dict[str, Any]], dict[str, Any]]


async def _issued(subject: Subject) -> None:
    for app in subject.apps or [find_app(subject)]:
        handle = await issue(subject, request_for(subject, app))
        try:
            data = unb64u(handle)
        except Malformed:
            raise Failed("a handle must be base64url without padding") from None
        if len(data) != LENGTHS[app.provider] or data[0] != 1:
            raise Failed(f"a handle of {app.provider} must be of version 1 and {LENGTHS[app.provider]} bytes")


async def _expires(subject: Subject) -> None:
    await issue(subject, request_for(subject, find_app(subject)))  # skips where it would not be answered
    answer = await subject.ask("POST", HANDLES_PATH, request_for(subject, find_app(subject)))
    expires = answer.json["expiresAt"]
    if type(expires) is not int or expires <= subject.now * 1000:
        raise Failed("expiresAt must be milliseconds since the epoch, in the future")


async def _fresh(subject: Subject) -> None:
    """Equal handles would tell two servers that they have the same device."""
    wanted = request_for(subject, find_app(subject))
    if await issue(subject, wanted) == await issue(subject, wanted):
        raise Failed("two requests for the same device have the same handle: its nonce must be random")


def _set(**changes: Any) -> Change:
    """Set members, or leave them out (None)."""
    return lambda wanted: {name: value for name, value in (wanted | changes).items() if value is not None}


# The member at fault, what is wrong, and the change.
_WRONG: Sequence[tuple[str, str, Change]] = (
    ("provider", "unknown", _set(provider="smoke")),
    ("provider", "left out", _set(provider=None)),
    ("app", "not configured", _set(app="org.example.nobody-has-this")),
    ("environment", "unknown", _set(environment="moon")),
    ("server", "no key id", _set(server="abc")),
    ("server", "left out", _set(server=None)),
    ("", "with a member that is not in the table", _set(title="in the clear")),
    ("request", "of another length", _set(request=b64u(bytes(15)))),
)
_WRONG_TOKEN: Sequence[tuple[str, str, Change]] = (
    ("token", "left out", _set(token=None)),
    ("token", "empty", _set(token="")),
    ("token", "a number", _set(token=7)),
)


def _at(url: str) -> Change:
    return lambda wanted: wanted | {"subscription": wanted["subscription"] | {"endpoint": url}}


def _keys(**changes: str) -> Change:
    def change(wanted: dict[str, Any]) -> dict[str, Any]:
        subscription = wanted["subscription"]
        return wanted | {"subscription": subscription | {"keys": subscription["keys"] | changes}}

    return change


_WRONG_SUBSCRIPTION: Sequence[tuple[str, str, Change]] = (
    ("subscription", "left out", _set(subscription=None)),
    ("subscription", "not https", _at("http://updates.push.services.mozilla.com/wpush/v2/x")),
    ("subscription", "another port", _at("https://updates.push.services.mozilla.com:8443/wpush/v2/x")),
    ("subscription", "at an address", _at("https://127.0.0.1/x")),
    ("subscription", "at an address of version 6", _at("https://[::1]/x")),
    ("subscription", "with a user name", _at("https://updates.push.services.mozilla.com@example.com/x")),
    ("subscription", "at a name of this machine", _at("https://localhost/x")),
    ("subscription", "a point that is not on the curve", _keys(p256dh=b64u(b"\x04" + bytes(63) + b"\x01"))),
    ("subscription", "auth of 15 bytes", _keys(auth=b64u(bytes(15)))),
)


def _faulty(name: str, change: Change, find: Callable[[Subject], App]) -> Check:
    async def check(subject: Subject) -> None:
        request = change(request_for(subject, find(subject)))
        check_problem(await subject.ask("POST", HANDLES_PATH, request), "bad_request", names=name)

    return check


def _with_token(subject: Subject) -> App:
    found = next((app for app in subject.apps if app.provider != _WEB), None)
    return found or find_app(subject, "apns")


def _with_subscription(subject: Subject) -> App:
    return find_app(subject, _WEB)


_FAULTS = ((_WRONG, find_app), (_WRONG_TOKEN, _with_token), (_WRONG_SUBSCRIPTION, _with_subscription))


def _asked(
    code: str, body: Callable[[Subject], bytes], *, names: str = "", path: str = "", **fields: str
) -> Check:
    named = {name.replace("_", "-"): value for name, value in fields.items()}

    async def check(subject: Subject) -> None:
        answer = await subject.ask("POST", HANDLES_PATH + path, body(subject), fields=named)
        check_problem(answer, code, names=names)

    return check


def _right(subject: Subject) -> bytes:
    return msgspec.json.encode(request_for(subject, find_app(subject)))


def _twice(subject: Subject) -> bytes:
    return _right(subject)[:-1] + b',"server":"' + subject.given.key.public.id.encode() + b'"}'


async def _unsigned(subject: Subject) -> None:
    answer: Answer = await subject.ask("POST", HANDLES_PATH, b"{")
    if answer.has("signature"):
        raise Failed("the answer to an unsigned request has nothing that it could be bound to")
    if re.search(rb"[^\x00-\x7f]", answer.body):
        raise Failed("a refusal repeats what was sent")


CASES: tuple[Case, ...] = (
    Case(3, "a handle is issued for each app, in the one form", _issued),
    Case(3, "a handle says when it expires", _expires),
    Case(3, "a handle is another one each time", _fresh),
    *(
        Case(3, f"bad_request: {name or 'a handle'} {what}", _faulty(name, change, find))
        for table, find in _FAULTS
        for name, what, change in table
    ),
    Case(
        3,
        "bad_request: a handle, another content type",
        _asked("bad_request", _right, names="Content-Type", Content_Type="text/plain"),
    ),
    Case(3, "bad_request: a handle, a query", _asked("bad_request", _right, names="query", path="?a=b")),
    Case(3, "bad_request: a handle, a list", _asked("bad_request", lambda _: b"[]")),
    Case(3, "bad_json: a handle, a key twice", _asked("bad_json", _twice)),
    Case(3, "bad_json: a handle, no JSON", _asked("bad_json", lambda _: b"{")),
    Case(
        3,
        "encoding_unsupported: a handle, gzip",
        _asked("encoding_unsupported", _right, Content_Encoding="gzip"),
    ),
    Case(3, "a refused request for a handle is told unsigned", _unsigned),
)
