"""Why a request is refused: one small family, which each API shows in its own form.

Every error has a stable `code` for programs and a `detail` for people. What a client sent wrong is a list of faults,
each with its place, the reason and what would be right. Details do not repeat what was sent, which may be a
secret in the wrong place; the names of users that nobody has are the one exception.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a request; `path` is like `userIds[2]`, `?limit` or `Content-Digest`, and empty for a body as a whole."""

    path: str
    reason: str
    fix: str

    def __str__(self) -> str:
        """Return all of it in one line; what has no place of its own is the body."""
        return f"{self.path or 'the body'} {self.reason}: {self.fix}"


@dataclass(frozen=True)
class Allowance:
    """What is left of a quota: `quota` in `window` seconds, `remaining` now, more in `reset` seconds."""

    policy: str
    quota: int
    window: int
    remaining: int
    reset: int


class Refusal(Exception):
    """A request that is not carried out."""

    code: ClassVar[str]

    def __init__(self, detail: str, *, code: str | None = None, faults: Iterable[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.reason = code or type(self).code


class Invalid(Refusal):
    """The request itself is wrong and will be so again; it names all of its faults at once."""

    code = "invalid"


class Unauthenticated(Refusal):
    """`header`: where the credential has to be; None: in Authorization."""

    code = "unauthenticated"

    def __init__(self, detail: str, *, code: str | None = None, header: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.header = header


class Forbidden(Refusal):
    code = "forbidden"


class NotFound(Refusal):
    """It does not exist, or not for this caller: the two look the same."""

    code = "not_found"


class Conflict(Refusal):
    code = "conflict"


class InFlight(Conflict):
    """The same request is being carried out; its answer is there after `retry_after` seconds."""

    code = "idempotency_key_in_flight"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Gone(Refusal):
    code = "gone"


class TooLarge(Refusal):
    code = "body_too_large"


class Limited(Refusal):
    """Too often; the same request works again after `allowance.reset` seconds."""

    code = "limited"

    def __init__(self, detail: str, allowance: Allowance) -> None:
        super().__init__(detail)
        self.allowance = allowance


class Unavailable(Refusal):
    """Not now; worth trying again after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after: int, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


def invalid(path: str, reason: str, fix: str) -> Invalid:
    """Return the error of one fault."""
    return Invalid(f"{path}: {reason}", faults=[Fault(path, reason, fix)])
