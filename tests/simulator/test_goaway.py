"""GOAWAY in all its forms, as it is on the wire, and what becomes of the pushes before and after it."""

import json

import pytest
from h2.errors import ErrorCodes

from simulator.http2_frames import GOAWAY, HEADERS, HIGHEST_STREAM
from simulator.providers import Providers
from tests.simulator.wire import BODY, SOON, Pusher, Wire


async def test_a_drained_connection_answers_what_it_took_and_ignores_the_rest(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_drain", times=1)
    providers.script("apns", kind="delay", delay=SOON, times=1)
    early, trigger, late = push(), push(), push()
    assert await wire.last_stream() == early
    assert await wire.status(early) == "200"
    assert wire.of(trigger) == wire.of(late) == []
    await wire.ping()
    assert await push.recorded(3) == [("delay", True), ("goaway_drain", False), ("after_goaway", False)]


async def test_a_request_that_had_begun_is_ignored_after_goaway_too(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_drain", times=1)
    trigger, begun = push.begin(), push.begin()
    wire.finish(trigger, BODY)
    await wire.one(GOAWAY)
    wire.finish(begun, BODY)
    await wire.ping()
    assert wire.of(trigger) == wire.of(begun) == []
    assert await push.recorded(2) == [("goaway_drain", False), ("after_goaway", False)]


async def test_goaway_that_counts_the_push_as_processed_and_closes(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_taken", times=1)
    stream = push()
    await wire.until_closed()
    assert await wire.last_stream() == stream
    assert wire.of(stream) == []
    assert await push.recorded(1) == [("goaway_taken", True)]
    assert providers.recorded[0].status == 0


async def test_goaway_that_counts_the_push_as_processed_and_answers_it(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_answered", times=1)
    stream, late = push(), push()
    assert await wire.status(stream) == "200"
    kinds = [one.kind for one in wire.frames if one.kind in {GOAWAY, HEADERS}]
    assert (kinds, await wire.last_stream()) == ([GOAWAY, HEADERS], stream)
    await wire.ping()
    assert wire.of(late) == []
    assert await push.recorded(2) == [("goaway_answered", True), ("after_goaway", False)]


async def test_a_graceful_goaway_is_a_notice_and_then_the_last_stream(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_graceful", delay=SOON, times=1)
    stream, next_one = push(), push()
    assert await wire.last_stream() == HIGHEST_STREAM
    assert [await wire.status(one) for one in (stream, next_one)] == ["200", "200"]
    await wire.until_closed()
    assert [one.number for one in wire.frames if one.kind == GOAWAY] == [HIGHEST_STREAM, next_one]


async def test_a_graceful_goaway_waits_for_what_is_in_flight(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="goaway_graceful", times=1)
    providers.script("apns", kind="delay", delay=SOON, times=1)
    slow, _ = push(), push()
    assert await wire.status(slow) == "200"
    await wire.until_closed()
    assert await wire.last_stream() > slow


async def test_goaway_denies_no_push_that_was_processed(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    begun = push.begin()
    processed = push()
    assert await wire.status(processed) == "200"
    providers.script("apns", kind="goaway", times=1)
    wire.finish(begun, BODY)
    assert await wire.last_stream() == processed


@pytest.mark.parametrize("code", ["ENHANCE_YOUR_CALM", "INTERNAL_ERROR"])
async def test_goaway_carries_a_code_and_a_reason(
    providers: Providers, wire: Wire, push: Pusher, code: str
) -> None:
    providers.script("apns", kind="goaway", code=code, reason="IdleTimeout", times=1)
    push()
    goaway = await wire.one(GOAWAY)
    assert int.from_bytes(goaway.payload[4:8], "big") == ErrorCodes[code]
    assert json.loads(goaway.payload[8:]) == {"reason": "IdleTimeout"}
