"""What a case is, and what may become of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from relay.conformance.answer import Failed, Limited, Skipped
from relay.conformance.given import Need
from relay.conformance.subject import Subject

Check = Callable[[Subject], Awaitable[None]]


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """`section` of docs/protocol.md. `check` returns where the relay does what it says, else raises `Failed` or `Skipped`."""

    section: int
    name: str
    check: Check
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True)
class Result:
    """`found`: what the relay did instead, or what the case needs."""

    case: Case
    verdict: Verdict
    found: str = ""


async def run(case: Case, subject: Subject) -> Result:
    """Put one case to the relay; where its limits are used up, once more as soon as it says."""
    missing = subject.missing(case.needs)
    if missing:
        return Result(case, Verdict.SKIPPED, f"needs {'; '.join(missing)}")
    try:
        try:
            await case.check(subject)
        except Limited as limited:
            await subject.wait(limited.seconds)
            await case.check(subject)
    except Skipped as skipped:
        return Result(case, Verdict.SKIPPED, str(skipped))
    except Limited as limited:
        return Result(case, Verdict.FAILED, f"429: it is limited for another {limited.seconds} s")
    except Failed as failed:
        return Result(case, Verdict.FAILED, str(failed))
    return Result(case, Verdict.PASSED)
