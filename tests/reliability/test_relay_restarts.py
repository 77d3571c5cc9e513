"""A relay of several processes that is restarted while a server sends: the server tries again, and every push comes once."""

import asyncio
from collections import Counter
from pathlib import Path

from tests.harness.stack import Stack, running

MEANWHILE = 300
DONE_WITHIN = 60
SETTINGS = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}


async def test_a_relay_that_is_restarted_costs_no_message_and_doubles_none(tmp_path: Path) -> None:
    async with running(tmp_path, settings=SETTINGS) as stack:
        await restart(stack)  # with two processes from here on
        phone = await stack.pair(platform="ios", suite=1, name="phone", keep=False)
        sent = [await stack.send(title="before")]
        await stack.providers.until(lambda recorded: len(recorded) > 0)
        restarting = asyncio.create_task(restart(stack))
        sent += [await stack.send(title=f"number {number}") for number in range(MEANWHILE)]
        await restarting
        sent.append(await stack.send(title="after"))
        async with asyncio.timeout(DONE_WITHIN):
            while (books := await stack.books()).waiting:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)
        await phone.close()
        assert not books.given_up
        pushes = Counter(one.header("apns-id") for one in stack.providers.recorded)
        assert len(pushes) == len(sent)
        # Of what was on a connection that a busy machine has let die, nobody knows whether the provider took it.
        assert set(pushes.values()) == {1} or "connection_lost" in stack.relay.log.read_text()


async def restart(stack: Stack) -> None:
    """Stop it as whoever upgrades it does, and start it with two processes."""
    await stack.relay.stop()
    stack.relay.command = ("relay", "--workers", "2")
    await stack.relay.start(stack.session)
