"""What the doctor says of a relay: each fault by its cause, with what to do about it."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from relay.config import Admission, LimitSettings
from server.cli.doctor_findings import Finding, Verdict
from server.cli.doctor_relay import Trust, look_at_relay, trust
from server.domain.ports import Random
from server.worker.relay_look import RelayLook
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.harness.simulated import simulated
from tests.relay.conftest import StartRelay, apns_app, providers, start_relay
from tests.relay.running import (
    PASS_KEY,
    PUBLIC_URL,
    RELAY_KEY,
    SERVER_KEY,
    STRANGER_KEY,
    Relay,
    config,
    to_apns,
)

__all__ = ["providers", "start_relay"]  # fixtures

PINNED = Trust([RELAY_KEY.public], "server.relay_keys has them")
Looked = Callable[..., Awaitable[dict[str, Finding]]]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def look(session: ClientSession, random: Random) -> AsyncIterator[Looked]:
    """Look at a relay of this configuration, with a clock that is some seconds ahead of its; the findings by check."""
    async with AsyncExitStack() as stack:

        async def run(
            *, ahead: int = 0, url: str = PUBLIC_URL, trusted: Trust = PINNED, **changes: Any
        ) -> dict[str, Finding]:
            clock = SettableClock(
                time.time_ns() // 1_000_000
            )  # the real time, which its answers are dated with
            relay = await Relay.start(config(**changes), clock=clock, session=session)
            stack.push_async_callback(relay.stop)
            clock.advance(
                1000
            )  # past the second of its start, to the real time, which its answers are dated with
            looking = RelayLook(url, relay.url, session, lambda: clock() + ahead * 1000, random)
            return await found_of(looking, trusted)

        yield run


async def found_of(look: RelayLook, trusted: Trust) -> dict[str, Finding]:
    return {one.check: one async for one in look_at_relay(look, SERVER_KEY, trusted)}


async def test_a_relay_that_is_in_order(look: Looked, tmp_path: Path) -> None:
    async with simulated(tmp_path) as providers:
        found = await look(apns=(apns_app(providers),))
    assert {one.verdict for one in found.values()} == {Verdict.GOOD}, found
    assert RELAY_KEY.public.id in found["relay"].found
    assert SERVER_KEY.public.id in found["admission"].found
    assert "6000 of 6000 (server)" in found["admission"].found


@pytest.mark.parametrize(
    ("changes", "check", "found", "fix"),
    [
        ({"allowlist": frozenset()}, "admission", "does not admit this server", SERVER_KEY.public.id),
        (
            {"denied": frozenset({SERVER_KEY.public.id})},
            "admission",
            "has denied the key",
            "ask the operator",
        ),
        (
            {"admission": Admission.PASS, "pass_keys": (PASS_KEY.public,)},
            "admission",
            "by pass, and this one's is missing",
            f"for {SERVER_KEY.public.id}, and set server.relay_pass",
        ),
        (
            {"ahead": 95},
            "clock",
            r"about 9[456] s ahead of the relay's: signatures more than 60 s off",
            "timedatectl",
        ),
        ({"ahead": -95}, "clock", r"about 9[456] s behind the relay's", "timedatectl"),
        ({"url": "https://other.test"}, "relay", "does not verify", "relay.public_url"),
        (
            {"trusted": Trust([STRANGER_KEY.public], "server.relay_keys has them")},
            "relay",
            "no trusted one vouches for",
            "somebody stands in between",
        ),
        ({}, "providers", "no app to push to", "[[relay.apns]]"),
    ],
)
async def test_a_fault_is_named_with_its_cause_and_fix(
    look: Looked, changes: dict[str, Any], check: str, found: str, fix: str
) -> None:
    finding = (await look(**changes))[check]
    assert finding.verdict is Verdict.BAD
    assert re.search(found, finding.found)
    assert fix in finding.fix


async def test_little_that_is_left_of_a_limit_is_said(
    start_relay: StartRelay, providers: Providers, session: ClientSession
) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(server=5, normal_percent=100))
    relay.clock.advance(1000)
    await relay.push(*(to_apns(relay, providers, number) for number in range(5)))
    looking = RelayLook(PUBLIC_URL, relay.url, session, relay.clock, relay.random)
    finding = (await found_of(looking, PINNED))["admission"]
    assert finding.verdict is Verdict.UNKNOWN
    assert "0 of 5 (server)" in finding.found


async def test_a_clock_that_drifts_is_said_before_it_hurts(look: Looked) -> None:
    finding = (await look(ahead=20))["clock"]
    assert finding.verdict is Verdict.UNKNOWN
    assert re.search(r"about (19|20|21) s ahead of the relay's: still good, but drifting", finding.found)


async def test_keys_that_nobody_has_trusted_yet_are_shown_to_be_compared(look: Looked) -> None:
    finding = (await look(trusted=trust([], None)))["relay"]
    assert finding.verdict is Verdict.UNKNOWN
    assert RELAY_KEY.public.id in finding.found
    assert "server.relay_keys = [" in finding.fix


async def test_credentials_that_do_not_work_are_named(look: Looked, tmp_path: Path) -> None:
    async with simulated(tmp_path) as providers:
        apns = apns_app(providers, key="no key")
        finding = (await look(apns=(apns,)))["providers"]
    assert finding.verdict is Verdict.BAD
    assert "credentials do not work: apns" in finding.found


async def test_a_relay_that_is_not_there(session: ClientSession, random: Random) -> None:
    look = RelayLook("http://127.0.0.1:9", "http://127.0.0.1:9", session, lambda: 0, random)
    found = await found_of(look, PINNED)
    assert found["relay"].verdict is Verdict.BAD
    assert found["relay"].found.startswith("nothing answers at http://127.0.0.1:9")
    assert found["clock"].verdict is Verdict.UNKNOWN


async def test_what_is_no_relay_is_said_to_be_none(session: ClientSession, random: Random) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found = await found_of(RelayLook(url, url, session, lambda: time.time_ns() // 1_000_000, random), PINNED)
    await runner.cleanup()
    assert found["relay"].found == f"{url} is no relay of Hushpost's: it answers 404"
    assert found["clock"].verdict is Verdict.GOOD


def test_configured_keys_come_before_those_that_were_seen() -> None:
    keys = [RELAY_KEY.public]
    assert trust(keys, '{"keys": []}').keys == keys
    assert trust([], "no json").keys == []
