"""Section 4, requests that are right: each edge of what may be sent is taken, and the answer is signed for it."""

from collections.abc import Sequence
from typing import Any

from relay.conformance.answer import Failed, Skipped
from relay.conformance.case import Case, Check
from relay.conformance.given import Need
from relay.conformance.request import NO_PUSHES
from relay.conformance.subject import Subject
from relay.wire import MAX_BYTES, MAX_PUSHES

_ADMITTED = frozenset({Need.ADMITTED})


def _taken(**changes: Any) -> Check:
    async def check(subject: Subject) -> None:
        answer = await subject.takes(subject.draft().but(**changes).sign())
        if answer.json != {"outcomes": []}:
            raise Failed("an empty list must have an empty answer")

    return check


def _in_order(*names: str) -> Check:
    return _taken(order=names)


async def _in_lower_case(subject: Subject) -> None:
    request = subject.draft().sign()
    fields = tuple((name.lower(), value) for name, value in request.fields)
    await subject.takes(type(request)(request.method, request.path, fields, request.body, request.context))


async def _ahead(subject: Subject) -> None:
    draft = subject.draft()
    await subject.takes(draft.but(created=draft.created + 57).sign())


async def _aged(subject: Subject) -> None:
    """Good, unless the process is younger than the request: then it cannot know whether it is a replay."""
    draft = subject.draft()
    request = draft.but(created=draft.created - 57).sign()
    if (await subject.send(request)).code != "starting":
        await subject.takes(draft.but(created=draft.created - 57, nonce=subject.random(16)).sign())


async def _starting(subject: Subject) -> None:
    draft = subject.draft()
    request = draft.but(created=draft.created - 57).sign()
    answer = await subject.send(request)
    if answer.status == 200:  # noqa: PLR2004 - OK
        raise Skipped("needs a relay that started less than a minute ago")
    again = draft.but(created=draft.created - 57, nonce=subject.random(16)).sign()
    await subject.refuses(again, "starting", signed=True)


async def _as_many_as_may_be(subject: Subject) -> None:
    outcomes = await subject.push(*[{}] * MAX_PUSHES)
    if {outcome["status"] for outcome in outcomes} != {"rejected"}:
        raise Failed("an empty object is no push, and must be rejected")


async def _bound(subject: Subject) -> None:
    """Two requests for the same: the answer of one is not the other's."""
    first, second = subject.draft().sign(), subject.draft().sign()
    answer = await subject.takes(first)
    await subject.takes(second)
    try:
        subject.verify(answer, second.context)
    except Failed:
        return
    raise Failed("an answer verifies for another request than its own")


_ORDERS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("backwards", ("tag", "alg", "keyid", "nonce", "expires", "created")),
    ("mixed", ("nonce", "created", "tag", "expires", "alg", "keyid")),
)

CASES: tuple[Case, ...] = (
    Case(4, "an empty list has an empty, signed answer", _taken(), _ADMITTED),
    Case(4, "an answer is bound to its own request", _bound, _ADMITTED),
    *(
        Case(4, f"parameters may stand in any order: {name}", _in_order(*order), _ADMITTED)
        for name, order in _ORDERS
    ),
    Case(4, "field names in lower case are the same", _in_lower_case, _ADMITTED),
    Case(
        4,
        "a content type with a parameter is verified as written",
        _taken(content_type="application/json; charset=utf-8"),
        _ADMITTED,
    ),
    Case(4, "expires may be 60 s after created", _taken(lifetime=60), _ADMITTED),
    Case(4, "expires may be soon", _taken(lifetime=20), _ADMITTED),
    Case(4, "created may be 57 s ahead", _ahead, _ADMITTED),
    Case(4, "created may be 57 s ago", _aged, _ADMITTED),
    Case(4, "starting: created before the process started", _starting, _ADMITTED),
    Case(
        4,
        "4 MiB are not too much",
        _taken(body=NO_PUSHES[:-1] + b" " * (MAX_BYTES - len(NO_PUSHES)) + b"}"),
        _ADMITTED,
    ),
    Case(4, f"{MAX_PUSHES} pushes are not too many", _as_many_as_may_be, _ADMITTED),
)
