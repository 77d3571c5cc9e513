"""What the relay and the provider are told about a delivery, and what its outcome means."""

import json
from dataclasses import replace
from typing import Any

import pytest

from relay.wire import Outcome
from server.domain.delivery import Address, Event, Kind, Parcel, State
from server.worker.gateway import GatewayFault
from server.worker.pace import Pace
from server.worker.pushes import Sending, collapse, not_sealed, plan, push_for, settled, unsettled
from tests.harness.stored import VECTORS

KEY = bytes(range(32))
NOW = 1_800_000_000_000
DEVICE = "01890a5d-ac96-774b-bcce-b302099a8057"
MESSAGE = "01890a5d-ac97-7a3c-8c2e-5d4f60718293"
PARCEL = Parcel(
    id="00000000-0000-4000-8000-000000000001",
    message_id=MESSAGE,
    device_id=DEVICE,
    kind=Kind.MESSAGE,
    frame_id=MESSAGE,
    sequence=1,
    state=State.LEASED,
    attempts=1,
    created_at=NOW - 1000,
    expires_at=NOW + 86_400_500,
    delivery_type="NORMAL",
    collapse_id=None,
    body="{}",
    quiet=None,
)
ADDRESS = Address(DEVICE, "ios", 1, bytes(32), "the handle", None)


def collapses() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "hushpost-v1.json").read_text("utf-8"))["collapses"]
    return found


@pytest.mark.parametrize("vector", collapses())
def test_collapse_values_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    parcel = replace(
        PARCEL,
        device_id=vector["deviceId"],
        frame_id=vector["messageId"],
        collapse_id=vector["collapseId"],
    )
    assert collapse(parcel, bytes.fromhex(vector["secret"])) == vector["collapse"]


@pytest.mark.parametrize(
    ("kind", "delivery_type", "priority", "type_"),
    [
        (Kind.MESSAGE, "NORMAL", "high", "alert"),
        (Kind.MESSAGE, "CRITICAL", "high", "alert"),
        (Kind.MESSAGE, "SILENT", "normal", "alert"),
        (Kind.UPDATE, "NORMAL", "high", "alert"),
        (Kind.RETRACT, None, "normal", "background"),
        (Kind.READ, None, "normal", "background"),
    ],
)
def test_priority_and_type(kind: Kind, delivery_type: str | None, priority: str, type_: str) -> None:
    parcel = replace(PARCEL, kind=kind, delivery_type=delivery_type)
    made = push_for(parcel, ADDRESS, bytes(768), now=NOW, collapse_key=KEY)
    assert (made.priority, made.type, made.ttl, made.id) == (priority, type_, 86_400, PARCEL.id)


def test_ttl_is_what_remains_within_what_the_relay_takes() -> None:
    for expires_at, ttl in ((NOW - 5, 0), (NOW + 999, 0), (NOW + 10**13, 2_419_200)):
        parcel = replace(PARCEL, expires_at=expires_at)
        assert push_for(parcel, ADDRESS, None, now=NOW, collapse_key=KEY).ttl == ttl


@pytest.mark.parametrize(
    ("parcel", "address", "event", "reason"),
    [
        (replace(PARCEL, body=None), ADDRESS, Event.CANCEL, "retracted"),
        (replace(PARCEL, expires_at=NOW), ADDRESS, Event.EXPIRE, None),
        (PARCEL, replace(ADDRESS, handle=None), Event.RETRY, "no_handle"),
        (PARCEL, replace(ADDRESS, public_key=None, woken_at=NOW - 29_999), Event.RETRY, "woken_before"),
    ],
)
def test_what_is_not_sent(parcel: Parcel, address: Address, event: Event, reason: str | None) -> None:
    made = plan([parcel], {DEVICE: address}, NOW)
    assert (made.seal, made.wake) == ([], [])
    assert [(one.event, one.reason) for one in made.over] == [(event, reason)]
    assert NOW <= made.over[0].due_at <= max(parcel.expires_at, NOW)


def test_a_device_without_a_key_is_woken_once_for_all() -> None:
    second = replace(PARCEL, id="2")
    made = plan([PARCEL, second], {DEVICE: replace(ADDRESS, public_key=None, woken_at=NOW - 30_000)}, NOW)
    assert (made.seal, made.over, made.wake) == ([], [], [[PARCEL, second]])


def test_a_wake_is_as_urgent_as_the_most_urgent_of_what_it_stands_for() -> None:
    notice = replace(PARCEL, id="1", kind=Kind.RETRACT, message_id=None)
    silent = replace(PARCEL, id="2", delivery_type="SILENT")
    keyless = replace(ADDRESS, public_key=None)
    assert plan([notice, silent, PARCEL], {DEVICE: keyless}, NOW).wake == [[PARCEL, silent, notice]]


def test_a_clock_that_was_put_back_keeps_no_device_from_being_woken() -> None:
    keyless = replace(ADDRESS, public_key=None, woken_at=NOW + 1)
    assert plan([PARCEL], {DEVICE: keyless}, NOW).wake == [[PARCEL]]
    keyless = replace(keyless, woken_at=NOW)
    assert plan([PARCEL], {DEVICE: keyless}, NOW).over[0].due_at == NOW + 30_000


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("accepted", Event.ACCEPT),
        ("gone", Event.DEAD_HANDLE),
        ("retry", Event.RETRY),
        ("rejected", Event.REJECT),
    ],
)
def test_an_outcome_settles_all_that_its_push_stands_for(status: Any, event: Event) -> None:
    wake = Sending(
        push_for(PARCEL, ADDRESS, None, now=NOW, collapse_key=KEY), [PARCEL, replace(PARCEL, id="2")]
    )
    outcome = Outcome(id=PARCEL.id, status=status, reason="word", providerId="p", retryAfter=10**9)
    made = settled(wake, outcome, {DEVICE: ADDRESS}, now=NOW, jitter=0.5)
    assert [(one.id, one.event, one.handle) for one in made] == [
        (PARCEL.id, event, "the handle"),
        ("2", event, "the handle"),
    ]
    assert {one.woken for one in made} == {event is Event.ACCEPT}
    assert {one.due_at for one in made} == {NOW + 3_780_000}


@pytest.mark.parametrize("told", ["a\0b", "two words", "x" * 201, "", "é"])
def test_what_is_no_providers_id_is_not_kept(told: str) -> None:
    """The relay may say what it likes; the delivery is settled all the same."""
    sending = Sending(push_for(PARCEL, ADDRESS, b"e" * 768, now=NOW, collapse_key=KEY), [PARCEL])
    outcome = Outcome(id=PARCEL.id, status="accepted", reason=told, providerId=told)
    [settlement] = settled(sending, outcome, {PARCEL.device_id: ADDRESS}, now=NOW, jitter=0)
    assert (settlement.event, settlement.reason, settlement.provider_id) == (Event.ACCEPT, "other", None)


def test_what_could_not_be_sealed_is_looked_at_again_or_failed() -> None:
    assert not_sealed(PARCEL, NOW).event is Event.RETRY
    assert not_sealed(replace(PARCEL, message_id=None), NOW).event is Event.REJECT


@pytest.mark.parametrize("general", [True, False])
def test_what_is_not_known_is_due_and_only_what_may_be_to_blame_waits_and_goes_behind_others(
    general: bool,  # noqa: FBT001 - pytest's
) -> None:
    sending = Sending(push_for(PARCEL, ADDRESS, bytes(768), now=NOW, collapse_key=KEY), [PARCEL])
    [made] = unsettled(sending, GatewayFault("relay_limited", general=general), now=NOW, until=NOW + 5)
    assert (made.event, made.reason, made.due_at) == (Event.RETRY, "relay_limited", NOW + 5 * (not general))
    assert (made.counts, made.keeps_turn) == (False, general)


def test_nothing_secret_shows() -> None:
    sending = Sending(push_for(PARCEL, ADDRESS, bytes(768), now=NOW, collapse_key=KEY), [PARCEL])
    for text in (repr(sending), repr(ADDRESS), repr(PARCEL)):
        assert "the handle" not in text
        assert "body" not in text


def test_the_pace_slows_with_each_failure_and_recovers_at_once() -> None:
    pace, now = Pace(), NOW
    pauses = []
    for _ in range(8):
        until = pace.failed(GatewayFault("relay_unreachable"), now=now, jitter=0)
        assert pace.failed(GatewayFault("relay_unreachable"), now=now, jitter=0) == until
        assert not pace.is_open(until - 1)
        pauses.append(until - now)
        now = until
    assert pauses == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
    pace.succeeded()
    assert pace.is_open(now)
    assert pace.failed(GatewayFault("relay_limited", retry_after=10**9), now=now, jitter=0) == now + 300_000
    assert pace.failed(GatewayFault("x", anew=True), now=now + 300_000, jitter=0) == now + 301_000


def test_a_clock_that_was_put_back_does_not_keep_the_relay_from_being_asked() -> None:
    pace = Pace()
    until = pace.failed(GatewayFault("relay_limited", retry_after=300), now=NOW, jitter=0)
    assert not pace.is_open(NOW)
    assert pace.is_open(NOW - 3_600_000)
    assert pace.failed(GatewayFault("relay_limited"), now=NOW - 3_600_000, jitter=0) < until
