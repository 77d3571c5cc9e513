"""Providers that throttle, fail, break off or say nothing: each delivery arrives when that is over, and only those in question wait."""

from dataclasses import dataclass
from typing import Any

import pytest

from server.domain.delivery import Delivery, Event
from tests.reliability.conftest import let_pass
from tests.server.worker.conftest import World

SECOND = 1000
ROUNDS = 40


@dataclass(frozen=True)
class Trouble:
    """What a provider is told to do, the reason that is counted for it, and how long it asked to be left alone."""

    provider: str
    script: dict[str, Any]
    reason: str
    retry_after: int = 0


TROUBLES = {
    "APNs throttles": Trouble("apns", {"reason": "TooManyRequests", "retry_after": 30}, "throttled", 30),
    "APNs fails": Trouble("apns", {"reason": "InternalServerError"}, "provider_error"),
    "APNs is not available": Trouble(
        "apns", {"reason": "ServiceUnavailable", "retry_after": 60}, "unavailable", 60
    ),
    "APNs breaks off": Trouble("apns", {"kind": "close"}, "connection_lost"),
    "APNs resets streams": Trouble("apns", {"kind": "reset"}, "stream_reset"),
    "APNs takes it and breaks off": Trouble("apns", {"kind": "lose"}, "connection_lost"),
    "FCM throttles": Trouble("fcm", {"reason": "QUOTA_EXCEEDED", "retry_after": 90}, "throttled", 90),
    "FCM is not available": Trouble("fcm", {"reason": "UNAVAILABLE"}, "unavailable"),
    "FCM resets streams": Trouble("fcm", {"kind": "reset"}, "stream_reset"),
    "FCM breaks off": Trouble("fcm", {"kind": "close"}, "connection_lost"),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_what_a_provider_in_trouble_did_not_take_arrives_when_that_is_over(
    world: World, trouble: Trouble
) -> None:
    phones = {name: [await world.phone(provider=name) for _ in range(3)] for name in ("apns", "fcm")}
    troubled = phones[trouble.provider]
    well = [phone for name in phones if name != trouble.provider for phone in phones[name]]
    world.providers.script(trouble.provider, **trouble.script, times=len(troubled))
    rows = {row.device_id: row for row in await world.seeded.message(troubled + well, title="once")}
    async with world.running():
        for phone in well:
            await world.until_row(rows[phone].id, state="accepted", attempts=1)
        for phone in troubled:
            await world.until_row(rows[phone].id, state="queued", lease=None)
        await check_waits(world, [rows[phone] for phone in troubled], trouble)
        await accepted(world, list(rows.values()))
    for phone in troubled:
        assert len({(frame.message_id, frame.sequence) for frame in world.frames(phone)}) == 1
    assert [len(world.frames(phone)) for phone in well] == [1, 1, 1]


@pytest.mark.parametrize("provider", ["apns", "fcm"])
@pytest.mark.parametrize("kind", ["goaway", "refused"])
async def test_what_a_provider_hands_back_costs_no_delivery_an_attempt(
    world: World, provider: str, kind: str
) -> None:
    phones = [await world.phone(provider=provider) for _ in range(3)]
    world.providers.script(provider, kind=kind, times=1)
    rows = await world.seeded.message(phones, title="handed back")
    async with world.running():
        await states(world, rows, "accepted", "accepted", "accepted")
    assert [sum(sent.accepted for sent in world.pushed(phone)) for phone in phones] == [1, 1, 1]


async def test_one_token_in_trouble_holds_up_no_other_of_its_batch(world: World) -> None:
    phones = [await world.phone() for _ in range(4)]
    world.providers.script("apns", reason="TooManyRequests", token=world.tokens[phones[1]], times=2)
    rows = await world.seeded.message(phones, title="all but one")
    async with world.running():
        await states(world, rows, "accepted", "queued", "accepted", "accepted")
        await accepted(world, rows)


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_provider_that_says_nothing_costs_its_own_deliveries_a_retry(
    world: World, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"relay.providers.{provider}.SEND_SECONDS", 0.3)
    phones = [
        await world.phone(provider=provider),
        await world.phone(provider={"apns": "fcm", "fcm": "apns"}[provider]),
    ]
    world.providers.script(provider, kind="hang", times=1)
    rows = await world.seeded.message(phones, title="is anybody there")
    async with world.running():
        await states(world, rows, "queued", "accepted")
        assert (await world.seeded.row(rows[0].id))["reason"] == "timeout"
        assert world.metric("hushpost_outbox_outcomes_total", event=Event.RETRY, reason="timeout") == 1
        await accepted(world, rows)


async def states(world: World, rows: list[Delivery], *states: str) -> None:
    """Wait until the deliveries are in these states."""
    for row, state in zip(rows, states, strict=True):
        await world.until_row(row.id, state=state, attempts=1, lease=None)


async def check_waits(world: World, rows: list[Delivery], trouble: Trouble) -> None:
    """What waits says why, in the rows and in the metrics, and not all of it comes back at the same moment."""
    found = [await world.seeded.row(row.id) for row in rows]
    assert {row["reason"] for row in found} == {trouble.reason}
    assert world.metric("hushpost_outbox_outcomes_total", event=Event.RETRY, reason=trouble.reason) == len(
        rows
    )
    earliest, now = trouble.retry_after * SECOND, world.clock()
    assert all(earliest <= row["due_at"] - now <= max(1.1 * earliest, 2 * SECOND) for row in found)
    assert len({row["due_at"] for row in found}) > 1


async def accepted(world: World, rows: list[Delivery]) -> None:
    """Let time pass until everything is accepted."""
    for _ in range(ROUNDS):
        await let_pass(world, 5 * SECOND)
        if {(await world.seeded.row(row.id))["state"] for row in rows} == {"accepted"}:
            return
    raise AssertionError(await world.seeded.states())
