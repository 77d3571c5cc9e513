"""Section 4, what is looked at first: of two faults the earlier is told, and a nonce is used up by who has proved itself."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from crypto.encoding import b64u
from crypto.httpsig import content_digest
from relay.conformance.answer import Failed
from relay.conformance.case import Case, Check
from relay.conformance.given import Need
from relay.conformance.request import NO_PUSHES, Draft
from relay.conformance.subject import Subject
from relay.wire import MAX_BYTES

Spoil = Callable[[Draft], Draft]

_ADMITTED = frozenset({Need.ADMITTED})
_ELSEWHERE = "https://relay.example"
_TOO_LARGE = b" " * (MAX_BYTES + 1)

# In the order in which a relay looks: each spoils a request, in parts that no other one needs.
ORDER: Sequence[tuple[str, Spoil]] = (
    ("signature_profile", lambda draft: draft.but(lifetime=61)),
    ("key_mismatch", lambda draft: draft.but(public=b64u(bytes(32)))),
    ("signature_invalid", lambda draft: draft.but(url=_ELSEWHERE)),
    ("created_skew", lambda draft: draft.but(created=draft.created + 100)),
    ("nonce_replayed", lambda draft: draft.but(nonce=bytes(16))),
    ("body_too_large", lambda draft: draft.but(body=_TOO_LARGE)),
    ("digest_mismatch", lambda draft: draft.but(digest=content_digest(b"another"))),
    ("bad_json", lambda draft: draft.but(body=b"{")),
)
_UNPROVED = 3
"""How many of them are told unsigned."""


def _before(number: int) -> Check:
    """One fault and each later one together: the earlier is told."""
    code, spoil = ORDER[number]

    async def check(subject: Subject) -> None:
        await _use_up(subject, bytes(16))
        for later, also in ORDER[number + 1 :]:
            try:
                await subject.refuses(spoil(also(subject.draft())).sign(), code, signed=number >= _UNPROVED)
            except Failed as failed:
                raise Failed(f"with {later} as well: {failed}") from None

    return check


async def _use_up(subject: Subject, nonce: bytes) -> None:
    """The nonce has been used when this returns, by this or an earlier case."""
    answer = await subject.send(subject.draft().but(nonce=nonce).sign())
    if answer.status not in {200, 409}:
        raise Failed(f"a nonce cannot be used up: {answer.said}")


async def _encoding_first(subject: Subject) -> None:
    request = subject.draft().sign().with_fields(Content_Encoding="gzip", Signature=None)
    await subject.refuses(request, "encoding_unsupported", signed=False)


async def _replayed(subject: Subject) -> None:
    request = subject.draft().sign()
    await subject.takes(request)
    await subject.refuses(request, "nonce_replayed", signed=True)


async def _replayed_with_another_body(subject: Subject) -> None:
    draft = subject.draft()
    await subject.takes(draft.sign())
    await subject.refuses(draft.but(body=NO_PUSHES + b" ").sign(), "nonce_replayed", signed=True)


async def _nonce_left(subject: Subject) -> None:
    draft = subject.draft()
    await subject.refuses(draft.but(url=_ELSEWHERE).sign(), "signature_invalid", signed=False)
    await subject.takes(draft.sign())


async def _nonce_used(subject: Subject) -> None:
    draft = subject.draft()
    await subject.refuses(draft.but(body=b"{").sign(), "bad_json", signed=True)
    await subject.refuses(draft.sign(), "nonce_replayed", signed=True)


CASES: tuple[Case, ...] = (
    Case(4, "encoding_unsupported is told before signature_missing", _encoding_first),
    Case(4, "nonce_replayed: the same request again", _replayed, _ADMITTED),
    Case(4, "nonce_replayed: another body with the same nonce", _replayed_with_another_body, _ADMITTED),
    Case(4, "a request that is not verified leaves its nonce", _nonce_left, _ADMITTED),
    Case(4, "a request that is verified and refused has used its nonce", _nonce_used, _ADMITTED),
    *(
        Case(4, f"{earlier} is told before {later} and what comes after it", _before(number), _ADMITTED)
        for number, ((earlier, _), (later, _)) in enumerate(pairwise(ORDER))
    ),
)
