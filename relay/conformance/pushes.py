"""Sections 3 and 4, the pushes of a batch: each has its own outcome, in order, whatever happens to the others.

What is refused alone is sent to a handle of a device that does not exist; what is right goes to none that opens. So nothing leaves the
relay, unless it takes what it must refuse, or a device's token was given.
"""

from collections.abc import Sequence
from typing import Any

from crypto.encoding import b64u
from relay.conformance.answer import Failed, Skipped
from relay.conformance.case import Case, Check
from relay.conformance.devices import handle_for, issue, push_to, request_for, sealed
from relay.conformance.given import Device, Need
from relay.conformance.subject import Subject
from relay.wire import MAX_TTL, SIZES

_ADMITTED = frozenset({Need.ADMITTED})
_NONSENSE = b64u(bytes([1, 255, 255, 255, 255]) + bytes(540))
"""A handle in form: of version 1 and the right length, under an epoch that nobody has."""
_INVALID = ("gone", "handle_invalid")

# What is wrong with it, the members that are replaced (None leaves one out), and the reason.
_WRONG: Sequence[tuple[str, dict[str, Any], str]] = (
    *(
        (f"an envelope of {length} bytes", {"envelope": b64u(bytes(length))}, "bad_envelope")
        for length in (0, 767, 769, 1535, 1537, 2303, 2305, 2943, 2945, 4096)
    ),
    ("an envelope that is not base64url", {"envelope": "%%%"}, "bad_envelope"),
    ("an envelope with padding", {"envelope": b64u(bytes(769))[:-2] + "=="}, "bad_envelope"),
    ("an envelope with stray bits", {"envelope": b64u(bytes(2944))[:-1] + "B"}, "bad_envelope"),
    ("an envelope that is a number", {"envelope": 7}, "malformed"),
    *(
        (f"a collapse of {length} bytes", {"collapse": b64u(bytes(length))}, "bad_collapse")
        for length in (0, 15, 17)
    ),
    ("no collapse", {"collapse": None}, "malformed"),
    ("a ttl of -1", {"ttl": -1}, "ttl_out_of_range"),
    (f"a ttl of {MAX_TTL + 1}", {"ttl": MAX_TTL + 1}, "ttl_out_of_range"),
    ("a ttl with a fraction", {"ttl": 1.5}, "malformed"),
    ("a ttl as a string", {"ttl": "60"}, "malformed"),
    ("a ttl that is true", {"ttl": True}, "malformed"),
    ("no ttl", {"ttl": None}, "malformed"),
    ("an unknown priority", {"priority": "urgent"}, "malformed"),
    ("no priority", {"priority": None}, "malformed"),
    ("an unknown type", {"type": "voip"}, "malformed"),
    ("no type", {"type": None}, "malformed"),
    ("no handle", {"handle": None}, "malformed"),
    ("a handle that is a number", {"handle": 7}, "malformed"),
    ("a member that is not in the table", {"title": "in the clear"}, "malformed"),
)
_NAMELESS: Sequence[tuple[str, Any]] = (
    ("no id", {"id": None}),
    ("an id that is a number", {"id": 7}),
    ("an id that is no UUID", {"id": "7"}),
    ("an id in upper case", {"id": "0E4C5AF6-3B0A-4B6E-9D5C-2A1F00C0FFEE"}),
    ("an id of another version", {"id": "0190163d-8694-7e4b-9f0b-000000000000"}),
    ("an id of another variant", {"id": "0e4c5af6-3b0a-4b6e-cd5c-2a1f00c0ffee"}),
)
_NO_PUSH: Sequence[tuple[str, Any]] = (
    ("null", None),
    ("a string", "push"),
    ("a number", 7),
    ("a list", []),
    ("an empty object", {}),
)


async def _handle(subject: Subject) -> str:
    """One that would be taken, so that what is refused is refused for itself; else one that cannot be opened."""
    try:
        return await handle_for(subject)
    except Skipped:
        return _NONSENSE


def told(outcome: dict[str, Any]) -> tuple[str, str | None]:
    return outcome["status"], outcome.get("reason")


def expect(outcome: dict[str, Any], id_: str | None, status: str, reason: str | None) -> None:
    if outcome["id"] != id_:
        whose = "null" if id_ is None else "that of its push"
        raise Failed(f"the outcome's id must be {whose}")
    if told(outcome) != (status, reason):
        raise Failed(f"the outcome is {': '.join(filter(None, told(outcome)))}, not {status}: {reason}")


def _rejected(changes: dict[str, Any], reason: str, *, provider: str = "") -> Check:
    """Between two that are in order, and cost nothing."""

    async def check(subject: Subject) -> None:
        handle = await (handle_for(subject, provider) if provider else _handle(subject))
        wrong = push_to(subject, handle, **changes)
        before, after = (push_to(subject, _NONSENSE) for _ in range(2))
        first, second, third = await subject.push(before, wrong, after)
        expect(second, wrong["id"], "rejected", reason)
        expect(first, before["id"], *_INVALID)
        expect(third, after["id"], *_INVALID)

    return check


def _nameless(changes: Any) -> Check:
    async def check(subject: Subject) -> None:
        [outcome] = await subject.push(push_to(subject, _NONSENSE, **changes))
        expect(outcome, None, "rejected", "malformed")

    return check


def _no_push(item: Any) -> Check:
    async def check(subject: Subject) -> None:
        after = push_to(subject, _NONSENSE)
        outcome, second = await subject.push(item, after)
        expect(outcome, None, "rejected", "malformed")
        expect(second, after["id"], *_INVALID)

    return check


async def _equal_ids(subject: Subject) -> None:
    first = push_to(subject, _NONSENSE)
    second = push_to(subject, _NONSENSE, id=first["id"])
    outcomes = await subject.push(first, second)
    expect(outcomes[0], first["id"], *_INVALID)
    expect(outcomes[1], first["id"], "rejected", "duplicate_id")


async def _in_order(subject: Subject) -> None:
    pushes = [push_to(subject, _NONSENSE, ttl=-1 if number % 3 == 0 else 60) for number in range(60)]
    outcomes = await subject.push(*pushes)
    for number, (push, outcome) in enumerate(zip(pushes, outcomes, strict=True)):
        wanted = ("rejected", "ttl_out_of_range") if number % 3 == 0 else _INVALID
        expect(outcome, push["id"], *wanted)


def _in_form(**changes: Any) -> Check:
    """What is in form is judged by its handle, which is good for nothing."""

    async def check(subject: Subject) -> None:
        push = push_to(subject, _NONSENSE, **changes)
        [outcome] = await subject.push(push)
        expect(outcome, push["id"], *_INVALID)

    return check


def _handle_that_is(text: str) -> Check:
    async def check(subject: Subject) -> None:
        push = push_to(subject, text)
        [outcome] = await subject.push(push)
        expect(outcome, push["id"], *_INVALID)

    return check


async def _altered(subject: Subject) -> None:
    handle = await handle_for(subject)
    turned = "A" if handle[-9] != "A" else "B"
    push = push_to(subject, handle[:-9] + turned + handle[-8:])
    [outcome] = await subject.push(push)
    expect(outcome, push["id"], *_INVALID)


async def _padded(subject: Subject) -> None:
    push = push_to(subject, await handle_for(subject) + "=")
    [outcome] = await subject.push(push)
    expect(outcome, push["id"], *_INVALID)


async def _of_another_server(subject: Subject) -> None:
    push = push_to(subject, await handle_for(subject, server=subject.stranger().public.id))
    [outcome] = await subject.push(push)
    expect(outcome, push["id"], *_INVALID)


def _sealed(status: str, reason: str, *, mine: bool, ago: int) -> Check:
    async def check(subject: Subject) -> None:
        server = subject.given.key.public.id if mine else subject.stranger().public.id
        expires = int(subject.now * 1000) - ago
        push = push_to(subject, sealed(subject, server=server, expires_at=expires, issued_at=expires - 1000))
        [outcome] = await subject.push(push)
        expect(outcome, push["id"], status, reason)

    return check


async def _bound_web(subject: Subject) -> None:
    """One that opens is judged further, and background is nothing for a browser; another server's is not even opened."""
    mine = push_to(subject, await handle_for(subject, "webpush"), type="background")
    theirs = push_to(
        subject, await handle_for(subject, "webpush", subject.stranger().public.id), type="background"
    )
    first, second = await subject.push(mine, theirs)
    expect(first, mine["id"], "rejected", "background_unsupported")
    expect(second, theirs["id"], *_INVALID)


def _delivered(**changes: Any) -> Check:
    async def check(subject: Subject) -> None:
        pushes = [
            push_to(subject, await _handle_of(subject, device), **changes) for device in subject.given.devices
        ]
        for push, outcome in zip(pushes, await subject.push(*pushes), strict=True):
            expect(outcome, push["id"], "accepted", None)

    return check


async def _handle_of(subject: Subject, device: Device) -> str:
    wanted = request_for(subject, device.app)
    return await issue(subject, wanted | {"token": device.token})


_TO_DEVICES = frozenset({Need.ADMITTED, Need.DEVICE})
_SEALED = frozenset({Need.ADMITTED, Need.EPOCH})
_WEB_LARGEST = b64u(bytes(SIZES[-1]))

CASES: tuple[Case, ...] = (
    *(
        Case(4, f"{reason}: {name}", _rejected(changes, reason), _ADMITTED)
        for name, changes, reason in _WRONG
    ),
    *(Case(4, f"malformed, id null: {name}", _nameless(changes), _ADMITTED) for name, changes in _NAMELESS),
    *(Case(4, f"malformed, id null: {name}", _no_push(item), _ADMITTED) for name, item in _NO_PUSH),
    Case(4, "duplicate_id: the second of two equal ids", _equal_ids, _ADMITTED),
    Case(4, "outcomes stand in the order of the pushes", _in_order, _ADMITTED),
    Case(4, "a wake, without an envelope, is in form", _in_form(envelope=None), _ADMITTED),
    *(
        Case(4, f"an envelope of {size} bytes is in form", _in_form(envelope=b64u(bytes(size))), _ADMITTED)
        for size in SIZES
    ),
    *(Case(4, f"a ttl of {ttl} is in form", _in_form(ttl=ttl), _ADMITTED) for ttl in (0, MAX_TTL)),
    Case(4, "a normal background push is in form", _in_form(priority="normal", type="background"), _ADMITTED),
    Case(
        4,
        "bad_envelope: 2944 bytes for Web Push",
        _rejected({"envelope": _WEB_LARGEST}, "bad_envelope", provider="webpush"),
        _ADMITTED,
    ),
    Case(
        4,
        "background_unsupported: Web Push",
        _rejected({"type": "background"}, "background_unsupported", provider="webpush"),
        _ADMITTED,
    ),
    Case(3, "handle_invalid: no base64url", _handle_that_is("%"), _ADMITTED),
    Case(3, "handle_invalid: empty", _handle_that_is(""), _ADMITTED),
    Case(3, "handle_invalid: another length", _handle_that_is(b64u(bytes([1]) + bytes(543))), _ADMITTED),
    Case(3, "handle_invalid: another version", _handle_that_is(b64u(bytes([2]) + bytes(544))), _ADMITTED),
    Case(3, "handle_invalid: an epoch that nobody has", _handle_that_is(_NONSENSE), _ADMITTED),
    Case(3, "handle_invalid: altered", _altered, _ADMITTED),
    Case(3, "handle_invalid: with padding", _padded, _ADMITTED),
    Case(3, "handle_invalid: bound to another server", _of_another_server, _ADMITTED),
    Case(3, "a handle opens for its own server only (Web Push)", _bound_web, _ADMITTED),
    Case(
        3,
        "handle_expired: told to its own server",
        _sealed("gone", "handle_expired", mine=True, ago=1000),
        _SEALED,
    ),
    Case(
        3, "handle_invalid: expired, and another server's", _sealed(*_INVALID, mine=False, ago=1000), _SEALED
    ),
    Case(4, "accepted: an alert to a device", _delivered(), _TO_DEVICES),
    Case(4, "accepted: a wake to a device", _delivered(envelope=None), _TO_DEVICES),
    Case(4, "accepted: ttl 0, normal priority", _delivered(ttl=0, priority="normal"), _TO_DEVICES),
    Case(4, "accepted: background", _delivered(type="background", priority="normal"), _TO_DEVICES),
    *(
        Case(4, f"accepted: an envelope of {size} bytes", _delivered(envelope=b64u(bytes(size))), _TO_DEVICES)
        for size in SIZES
    ),
)
