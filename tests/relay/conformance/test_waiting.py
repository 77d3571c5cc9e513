"""The kit's patience: with a relay that has just started, and with limits that are used up."""

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from relay.config import LimitSettings
from relay.conformance.case import Case, Verdict, run
from relay.conformance.cases import CASES
from relay.conformance.given import Given
from relay.conformance.subject import Subject
from tests.harness.clock import SettableClock
from tests.relay.running import SERVER_KEY, Relay, config

HANDLES = 3
[NO_LIST] = [case for case in CASES if case.name == "bad_request: a handle, a list"]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest_asyncio.fixture
async def subject(clock: SettableClock, waits: list[float]) -> AsyncIterator[Subject]:
    """A relay whose clock, and the kit's, go on only when the kit waits; the kit's is a second and a half behind."""

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(int(seconds * 1000))

    async with ClientSession() as session:
        relay = await Relay.start(config(limits=LimitSettings(handles=HANDLES)), clock=clock, session=session)
        yield Subject(
            relay.config.public_url,
            relay.url,
            session,
            Given(SERVER_KEY),
            clock=lambda: clock() / 1000 - 1.5,
            random=secrets.token_bytes,
            wait=wait,
        )
        await relay.stop()


def _at_the_relays_time(subject: Subject) -> None:
    """Aiohttp writes the machine's own time into `Date`, which these clocks are far from."""
    subject._note = lambda _: None  # type: ignore[method-assign, assignment]  # see above


async def test_what_has_just_started_is_given_time(subject: Subject, waits: list[float]) -> None:
    _at_the_relays_time(subject)
    await subject.look()
    assert subject.admission == ""
    assert waits == [1, 1]


async def test_a_limit_is_waited_for_once(subject: Subject, waits: list[float]) -> None:
    for _ in range(HANDLES):
        assert (await run(NO_LIST, subject)).verdict is Verdict.PASSED
    assert waits == []
    assert (await run(NO_LIST, subject)).verdict is Verdict.PASSED
    assert waits == [60]


async def test_a_limit_that_stays_is_a_failure(subject: Subject, waits: list[float]) -> None:
    async def ask_too_often(subject: Subject) -> None:
        for _ in range(HANDLES + 1):
            await NO_LIST.check(subject)

    result = await run(Case(3, "too often", ask_too_often), subject)
    assert (result.verdict, result.found) == (Verdict.FAILED, "429: it is limited for another 60 s")
    assert waits == [60]
