"""What a check found: in order, wrong, or not to be known from here; each with the cause and what to do, in plain words."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    GOOD = "ok"
    UNKNOWN = "unknown"
    BAD = "failed"

    @property
    def mark(self) -> str:
        return {"ok": "✓", "unknown": "!", "failed": "✗"}[self.value]


@dataclass(frozen=True)
class Finding:
    """`found` is what is so, `fix` what to do about it, or how to make it known; empty where there is nothing to do."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


Findings = AsyncIterator[Finding]


def good(check: str, found: str) -> Finding:
    return Finding(check, Verdict.GOOD, found)


def unknown(check: str, found: str, fix: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, found, fix)


def bad(check: str, found: str, fix: str) -> Finding:
    return Finding(check, Verdict.BAD, found, fix)
