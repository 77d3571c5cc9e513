"""One and two worker processes on one PostgreSQL: what the second one adds, and what it costs.

One message goes to many devices; its deliveries are claimed, sealed, handed to a relay that accepts all at once, and settled.
Each worker, with the process that seals for it, has a core of its own, so that two of them are twice the machine; what
else must run (PostgreSQL, the server that takes the message, the relay) shares those cores, and its part is shown.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.harness.bench_fanout import settled
from tests.harness.bench_figures import RUNS, family_seconds, postgres_seconds, say, spread, stopwatch
from tests.harness.databases import engines, postgres_database
from tests.harness.quick_relay import QuickRelay, quick_relay
from tests.harness.seeding import seed_devices, seeds_of
from tests.harness.stack import Stack, running

DEVICES = 10_000
MOST = 2
SETTINGS = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}


@dataclass(frozen=True)
class Measured:
    """Deliveries a second of each run; CPU milliseconds for a delivery, of the workers and of PostgreSQL."""

    rates: list[float]
    workers: float
    postgres: float


async def workers(directory: Path) -> None:
    if "postgresql" not in engines():
        say("worker processes", "not measured: no PostgreSQL is reachable")
        return
    found = {}
    for count in range(1, MOST + 1):
        with postgres_database() as url:
            found[count] = await _measure(directory / str(count), url, count)
        one = found[count]
        say(
            f"deliveries by {count} worker{'s' * (count > 1)}, PostgreSQL, to {DEVICES:,} devices",
            f"{spread(one.rates, '/s')}   {one.workers:.2f} ms of the workers' CPU each, {one.postgres:.2f} of PostgreSQL's",
        )
    one, two = found[1], found[MOST]
    speed = median(two.rates) / median(one.rates) / MOST
    say(
        f"efficiency of {MOST} workers",
        f"{speed:>10.0%} by rate, {one.workers / two.workers:.0%} by the workers' CPU",
    )


async def _measure(directory: Path, url: str, count: int) -> Measured:
    async with quick_relay(secrets.token_bytes) as relay:
        settings = {**SETTINGS, **relay.settings}
        roles = ("api", *["worker"] * count)
        async with running(directory, database_url=url, roles=roles, settings=settings) as stack:
            await seed_devices(url, seeds_of(stack), "default", DEVICES)
            await _give_cores(stack)
            await _send(stack, relay)  # connections are made and keys are loaded
            used, used_by_postgres = _used(stack), postgres_seconds()
            rates = [await _send(stack, relay) for _ in range(RUNS)]
            each = 1_000 / (RUNS * DEVICES)
            return Measured(
                rates, (_used(stack) - used) * each, (postgres_seconds() - used_by_postgres) * each
            )


async def _give_cores(stack: Stack) -> None:
    """Start the workers again, each on a core of its own, as long as there are."""
    cores = sorted(os.sched_getaffinity(0))
    for number, worker in enumerate(stack.servers[1:]):
        await worker.stop()
        worker.cpus = frozenset({cores[number % len(cores)]})
        await worker.start(stack.session)


async def _send(stack: Stack, relay: QuickRelay) -> float:
    """Deliveries a second, from the POST until the relay has accepted the last."""
    wanted = relay.accepted + DEVICES
    with stopwatch() as took:
        await stack.send(title="bench", body="x" * 200)
        await relay.until(lambda accepted: accepted >= wanted)
    await settled(stack)
    return DEVICES / took[0]


def _used(stack: Stack) -> float:
    return sum(family_seconds(worker) for worker in stack.servers[1:])
