"""What the relay's answers say of its limits: read, shown, and warned of once in a window."""

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from server.domain.relay import RelayLimit
from server.worker.relay_limits import RelayLimits, read_limits
from tests.harness.clock import SettableClock
from tests.server.worker.conftest import World

NOW = 1_800_000_000_000
LOW = "little is left of a limit of the relay's"


class Noted:
    """Limits that were noted, with the log and the figures that came of it."""

    def __init__(self, clock: SettableClock) -> None:
        self.log, self.registry = LogCapture(), CollectorRegistry()
        logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[self.log])
        self.limits = RelayLimits(self.registry, clock, logger)

    def note(self, state: str, policy: str = '"server";q=100;w=60') -> None:
        self.limits.note([("RateLimit", state), ("RateLimit-Policy", policy)])

    def figure(self, name: str, limit: str = "server") -> float | None:
        return self.registry.get_sample_value(f"hushpost_server_relay_{name}", {"name": limit})


@pytest.fixture
def noted(clock: SettableClock) -> Noted:
    return Noted(clock)


def test_both_fields_are_read_whatever_their_case() -> None:
    headers = [
        ("ratelimit", '"server";r=7;t=31, "address";r=600;t=60'),
        ("RATELIMIT-POLICY", '"server";q=100;w=60, "address";q=600;w=60'),
    ]
    assert list(read_limits(headers, NOW)) == [
        RelayLimit("server", 100, 7, NOW + 31_000),
        RelayLimit("address", 600, 600, NOW + 60_000),
    ]


@pytest.mark.parametrize(
    ("state", "policy"),
    [
        ("", ""),
        ('"server";r=1;t=1', ""),
        ('"server";r=1', '"server";q=9;w=60'),
        ('"server";t=1', '"server";q=9;w=60'),
        ('"server";r=-1;t=1', '"server";q=9;w=60'),
        ('"server";r=1;t=1', '"server";q=0;w=60'),
        ('"server";r=1;t=99999999', '"server";q=9;w=60'),
        ('"SERVER{}";r=1;t=1', '"SERVER{}";q=9;w=60'),
        ("server;r=1;t=1", "server;q=9;w=60"),
    ],
)
def test_what_is_of_another_form_is_left_out(state: str, policy: str) -> None:
    assert list(read_limits([("RateLimit", state), ("RateLimit-Policy", policy)], NOW)) == []


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_field_is_an_error(state: str, policy: str) -> None:
    list(read_limits([("RateLimit", state), ("RateLimit-Policy", policy)], NOW))


def test_a_limit_is_shown_with_what_is_left_and_when_it_is_whole_again(noted: Noted) -> None:
    noted.note('"server";r=55;t=30')
    assert [noted.figure(name) for name in ("limit", "remaining", "resets_timestamp_seconds")] == [
        100, 55, NOW / 1000 + 30,
    ]  # fmt: skip


def test_a_warning_comes_once_in_a_window_and_again_in_the_next(noted: Noted, clock: SettableClock) -> None:
    noted.note('"server";r=20;t=30')
    assert noted.log.entries == []
    for left in (19, 12, 0):
        noted.note(f'"server";r={left};t=30')
    assert noted.log.entries == [
        {"event": LOW, "log_level": "warning", "limit": "server", "of": 100, "remaining": 19, "seconds": 30}
    ]
    clock.advance(30_000)
    noted.note('"server";r=3;t=60')
    assert [entry["remaining"] for entry in noted.log.entries] == [19, 3]


def test_a_relay_that_invents_names_makes_no_more_figures_than_a_few(noted: Noted) -> None:
    for number in range(100):
        noted.note(f'"n{number}";r=0;t=1', f'"n{number}";q=1;w=60')
    figures = [one for family in noted.registry.collect() for one in family.samples]
    assert len(figures) == 3 * 8


async def test_what_a_relay_says_with_each_answer_is_noted(world: World) -> None:
    device = await world.phone()
    for number in (1, 2):
        await world.seeded.message([device])
        await world.run_until(*["accepted"] * number)

    def figure(name: str) -> float:
        return world.registry.get_sample_value(f"hushpost_server_relay_{name}", {"name": "server"}) or 0

    assert figure("limit") > 2
    assert figure("remaining") == figure("limit") - 2
