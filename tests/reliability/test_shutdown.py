"""A server that is told to stop while it is busy: it ends in good order and in time, and goes on where it was."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from tests.harness.seeding import seed_devices, seeds_of
from tests.harness.stack import Stack, running

DEVICES = 700  # more than one page
SLOW = 2.0  # seconds that a provider takes
STOPS_WITHIN = 15.0
DONE_WITHIN = 60
SETTINGS = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}


async def test_sigterm_costs_nobody_a_message_and_nobody_gets_one_twice(tmp_path: Path) -> None:
    async with running(tmp_path, settings=SETTINGS) as stack:
        await stack.server.stop()
        await seed_devices(f"sqlite:///{stack.database}", seeds_of(stack), "default", DEVICES)
        await stack.server.start(stack.session)
        await while_it_fans_out_and_seals(stack)
        await while_a_provider_is_slow(stack)


async def while_it_fans_out_and_seals(stack: Stack) -> None:
    stack.providers.clear()
    await stack.send(title="to everybody")
    await stops_in_time(stack)
    assert len(stack.providers.recorded) < DEVICES, "it was done already: nothing was tested"
    await arrives_once_everywhere(stack)


async def while_a_provider_is_slow(stack: Stack) -> None:
    stack.providers.clear()
    stack.providers.script("apns", kind="delay", delay=SLOW)
    await stack.send(title="slow")
    await stack.providers.until(lambda recorded: len(recorded) > 0)
    await stops_in_time(stack)
    await arrives_once_everywhere(stack)


async def stops_in_time(stack: Stack) -> None:
    began = time.monotonic()
    await stack.server.stop()
    assert time.monotonic() - began < STOPS_WITHIN
    running = stack.server._running
    assert running is not None
    assert running.returncode == 0


async def arrives_once_everywhere(stack: Stack) -> None:
    await stack.server.start(stack.session)
    async with asyncio.timeout(DONE_WITHIN):
        while (books := await stack.books()).waiting:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)
    assert books.balanced
    assert not books.given_up
    pushes = Counter(one.token for one in stack.providers.recorded if one.provider in {"apns", "fcm"})
    assert len(pushes) == DEVICES
    assert set(pushes.values()) == {1}
