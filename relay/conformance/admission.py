"""Section 5: who may push, by list or by pass, and that nobody else learns more than that."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from relay.conformance.answer import Failed, Skipped
from relay.conformance.case import Case, Check
from relay.conformance.devices import issue, push_to, request_for
from relay.conformance.given import Need
from relay.conformance.pushes import told
from relay.conformance.request import Request
from relay.conformance.subject import Subject

_PASS = frozenset({Need.PASS_KEY})
_DAY = 86_400
_QUOTA = 2


async def _not_admitted(subject: Subject) -> None:
    draft = subject.draft(subject.stranger())
    await subject.refuses(draft.sign(), await _code_for_strangers(subject), signed=False, anybody=True)


async def _not_admitted_first(subject: Subject) -> None:
    """A key that may not push costs no verification: what is told is that it may not."""
    draft = subject.draft(subject.stranger()).but(url="https://relay.example")
    await subject.refuses(draft.sign(), await _code_for_strangers(subject), signed=False, anybody=True)


async def _code_for_strangers(subject: Subject) -> str:
    answer = await subject.send(subject.draft(subject.stranger()).sign(), anybody=True)
    if answer.status == 200:  # noqa: PLR2004 - OK
        raise Skipped("needs a relay that does not admit everybody")
    return "pass_invalid" if answer.code == "pass_invalid" else "key_not_admitted"


async def _denied(subject: Subject) -> None:
    await subject.refuses(subject.draft(subject.given.denied).sign(), "key_denied", signed=False)


async def _denied_first(subject: Subject) -> None:
    draft = subject.draft(subject.given.denied).but(url="https://relay.example")
    await subject.refuses(draft.sign(), "key_denied", signed=False)


def make_pass(signer: IdentityKey, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A pass with these claims, in order or not: a JWT (RFC 7515)."""
    right = {"alg": "EdDSA", "typ": "hushpost-pass"}
    parts = ".".join(b64u(msgspec.json.encode(part)) for part in ({**right, **(header or {})}, claims))
    return f"{parts}.{b64u(signer.sign(parts.encode()))}"


def _claims(subject: Subject, server: IdentityKey, **changes: Any) -> dict[str, Any]:
    right = {
        "sub": server.public.id,
        "aud": subject.url,
        "exp": int(subject.now) + 3600,
    }
    return {name: value for name, value in (right | changes).items() if value is not None}


def _signer(subject: Subject) -> IdentityKey:
    if subject.given.pass_key is None:
        raise Skipped(Need.PASS_KEY.value)
    return subject.given.pass_key


def _with(request: Request, text: str) -> Request:
    return request.with_fields(Hushpost_Pass=text)


async def _with_pass(subject: Subject) -> None:
    server = subject.stranger()
    text = make_pass(_signer(subject), _claims(subject, server))
    await subject.takes(_with(subject.draft(server).sign(), text))


async def _for_the_longest(subject: Subject) -> None:
    server = subject.stranger()
    text = make_pass(_signer(subject), _claims(subject, server, exp=int(subject.now) + 90 * _DAY - 60))
    await subject.takes(_with(subject.draft(server).sign(), text))


def _invalid(header: Mapping[str, Any] | None = None, **claims: Any) -> Check:
    async def check(subject: Subject) -> None:
        server = subject.stranger()
        ahead = claims.get("exp")
        changes = claims if ahead is None else claims | {"exp": int(subject.now) + ahead}
        text = make_pass(_signer(subject), _claims(subject, server, **changes), header)
        await subject.refuses(_with(subject.draft(server).sign(), text), "pass_invalid", signed=False)

    return check


async def _no_expiry(subject: Subject) -> None:
    server = subject.stranger()
    claims = _claims(subject, server)
    del claims["exp"]
    text = make_pass(_signer(subject), claims)
    await subject.refuses(_with(subject.draft(server).sign(), text), "pass_invalid", signed=False)


async def _of_a_stranger(subject: Subject) -> None:
    """Signed by a key that is not the operator's, though the pass brings that key along."""
    server, signer = subject.stranger(), subject.stranger()
    header = {"jwk": signer.public.jwk, "jku": "https://relay.example/keys", "x5u": "https://relay.example/x"}
    text = make_pass(signer, _claims(subject, server), header)
    await subject.refuses(_with(subject.draft(server).sign(), text), "pass_invalid", signed=False)


def _text(text: str) -> Check:
    async def check(subject: Subject) -> None:
        _signer(subject)
        request = subject.draft(subject.stranger()).sign()
        await subject.refuses(_with(request, text), "pass_invalid", signed=False)

    return check


async def _no_pass(subject: Subject) -> None:
    request = subject.draft(subject.stranger()).sign()
    await subject.refuses(request, "pass_invalid", signed=False, anybody=True)


async def _altered(subject: Subject) -> None:
    """Good for one server, with its claims changed to another's."""
    server, other = subject.stranger(), subject.stranger()
    head, _, signature = make_pass(_signer(subject), _claims(subject, server)).split(".")
    text = f"{head}.{b64u(msgspec.json.encode(_claims(subject, other)))}.{signature}"
    await subject.refuses(_with(subject.draft(other).sign(), text), "pass_invalid", signed=False)


async def _quota(subject: Subject) -> None:
    """`quota` pushes a minute: the next one waits alone, and a batch that comes then as a whole."""
    server = subject.stranger()
    text = make_pass(_signer(subject), _claims(subject, server, quota=_QUOTA))
    pushable = [app for app in subject.apps if app.provider != "webpush"]
    if not subject.given.devices:
        raise Skipped(f"needs {Need.DEVICE.value}")
    device = subject.given.devices[0]
    if device.app not in pushable:
        raise Failed("the device's app is not among the relay's")
    handle = await issue(
        subject, request_for(subject, device.app, server.public.id) | {"token": device.token}
    )
    body = msgspec.json.encode({"pushes": [push_to(subject, handle) for _ in range(_QUOTA + 1)]})
    answer = await subject.takes(_with(subject.draft(server).but(body=body).sign(), text))
    found = [told(outcome) for outcome in answer.json["outcomes"]]
    if found != [("accepted", None)] * _QUOTA + [("retry", "limited")]:
        raise Failed(
            f"of {_QUOTA + 1} pushes with a quota of {_QUOTA}, the last must be retry: limited alone"
        )
    full = _with(subject.draft(server).but(body=body).sign(), text)
    await subject.refuses(full, "limited", signed=True)


_CLAIMS: Sequence[tuple[str, Check]] = (
    ("of another relay", _invalid(aud="https://relay.example")),
    ("of another server", _invalid(sub="A" * 43)),
    ("expired", _invalid(exp=-120)),
    ("for 91 days", _invalid(exp=91 * _DAY)),
    ("for ever", _no_expiry),
    ("of another type", _invalid({"typ": "JWT"})),
    ("of another algorithm", _invalid({"alg": "HS256"})),
    ("of no algorithm", _invalid({"alg": "none"})),
    ("that is no JWT", _text("nonsense")),
    ("that is empty", _text("")),
    ("altered", _altered),
    ("signed by a key that it brings along", _of_a_stranger),
)

CASES: tuple[Case, ...] = (
    Case(5, "key_not_admitted: a key that nobody knows", _not_admitted),
    Case(5, "key_not_admitted is told before signature_invalid", _not_admitted_first),
    Case(5, "key_denied: a key that the operator has denied", _denied, frozenset({Need.DENIED})),
    Case(5, "key_denied is told before signature_invalid", _denied_first, frozenset({Need.DENIED})),
    Case(5, "a pass admits its server", _with_pass, _PASS),
    Case(5, "a pass may be good for 90 days", _for_the_longest, _PASS),
    Case(5, "pass_invalid: no pass", _no_pass, _PASS),
    *(Case(5, f"pass_invalid: a pass {name}", check, _PASS) for name, check in _CLAIMS),
    Case(5, "limited: more than a pass's quota", _quota, _PASS),
)
