"""What a relay answered, and what must stand in it whatever was asked."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from relay.wire import ERROR_STATUS, PROBLEM_TYPE

LONGEST_WAIT: Final = 65
_OUTCOMES: Final = {"accepted", "gone", "retry", "rejected"}
_REASON: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ITEM: Final = r'"[^"\\]+"(?:;[a-z*][a-z0-9_.*-]*=[^;,\s]+)+'
_LIST: Final = re.compile(rf"{_ITEM}(?:[ \t]*,[ \t]*{_ITEM})*")


class Failed(Exception):
    """The relay did something else than the protocol says; the text says what."""


class Skipped(Exception):
    """It cannot be known from here; the text says what it would need."""


class Limited(Exception):
    """The relay's limits are used up, which says nothing about it."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"limited for {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def has(self, name: str) -> bool:
        return any(key.lower() == name for key, _ in self.fields)

    def value(self, name: str) -> str:
        """A field's value, its lines joined."""
        return ", ".join(value for key, value in self.fields if key.lower() == name)

    @property
    def media_type(self) -> str:
        return self.value("content-type").partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except msgspec.MsgspecError:
            raise Failed(f"{self.status} with a body that is not JSON") from None

    @property
    def code(self) -> str:
        """The code of a problem document, else nothing."""
        if self.media_type != PROBLEM_TYPE:
            return ""
        document = self.json
        return str(document.get("code", "")) if isinstance(document, dict) else ""

    @property
    def said(self) -> str:
        """What it is, in few words that quote nothing but a code of the table."""
        return f"{self.status} {self.code}" if self.code in ERROR_STATUS else str(self.status)


def check_problem(answer: Answer, code: str, *, names: str = "") -> None:
    """`Failed` unless it is the problem document of this code (RFC 9457)."""
    if answer.status < 400:  # noqa: PLR2004 - client errors begin there
        raise Failed(f"taken with {answer.status} instead of refused as {code}")
    if answer.media_type != PROBLEM_TYPE:
        raise Failed(f"{answer.said} is not a {PROBLEM_TYPE}")
    if answer.code != code:
        raise Failed(f"refused as {answer.said} instead of {code}")
    document, status = answer.json, ERROR_STATUS[code].value
    if answer.status != status or document.get("status", status) != status:
        raise Failed(f"the status of {code} must be {status}, not {answer.status}")
    if not document.get("title") or not document.get("detail"):
        raise Failed(f"{code} must say what is wrong: title and detail")
    if names and names not in f"{document.get('field', '')} {document['detail']}":
        raise Failed(f"{code} must name the field {names}")


def check_outcome(outcome: Any) -> None:
    if not isinstance(outcome, dict) or "id" not in outcome or outcome.get("status") not in _OUTCOMES:
        raise Failed("an outcome must have id and one of the four statuses")
    reason = outcome.get("reason")
    if outcome["status"] != "accepted" and not (isinstance(reason, str) and _REASON.fullmatch(reason)):
        raise Failed(f"{outcome['status']} must have a reason in snake case")
    for name in ("retryAfter", "since"):
        if outcome.get(name) is not None and type(outcome[name]) is not int:
            raise Failed(f"{name} must be a whole number")


def check_every(answer: Answer) -> None:
    """What every answer carries, whatever it is."""
    for name, parameter in (("ratelimit", "r"), ("ratelimit-policy", "q")):
        value = answer.value(name)
        if not value:
            raise Failed(f"{answer.said} has no {name} field")
        if not _LIST.fullmatch(value) or f";{parameter}=" not in value:
            raise Failed(f'{answer.said}: {name} is not of the form "name";{parameter}=1')
    if answer.status in {429, 503} and not re.fullmatch(r"[1-9][0-9]*", answer.value("retry-after")):
        raise Failed(f"{answer.said} must have Retry-After in seconds")


def check_not_limited(answer: Answer) -> None:
    if answer.status == 429:  # noqa: PLR2004 - Too Many Requests
        raise Limited(min(int(answer.value("retry-after")), LONGEST_WAIT))
