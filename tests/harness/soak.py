"""`./dev soak`: a relay under every fault of its providers at once, among servers that misuse it, for half an hour.

A real relay process, the simulated providers as another, and signing servers: good ones, one with dead tokens, one that
floods, one with huge batches, one that leaves before its answers, one that sends garbage. Wrong is:

- memory that grows after the warm-up, the relay's or the simulator's own;
- a push without exactly one outcome, or with one that the provider's record contradicts; one that a provider took twice;
- totals in the relay's metrics that are not the sum of its answers; pushes that it holds for ever;
- a 5xx that is not documented, a reason internal, an error in the log, a refusal with the wrong code;
- a good server that waits for a flood.

With --workers several processes serve, and one is killed now and then. A run that went wrong keeps its directory.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from tests.harness.soak_run import Plan, Soak, percentiles, soaked
from tests.harness.soak_watch import MIB

PROGRESS_SECONDS = 5.0


async def soak(directory: Path, plan: Plan) -> bool:
    async with soaked(directory, plan) as run:
        progress = asyncio.create_task(show_progress(run))
        began = time.monotonic()
        try:
            await run.run()
        finally:
            progress.cancel()
        report(run, time.monotonic() - began)
        return not run.ledger.violations


async def show_progress(run: Soak) -> None:
    began = time.monotonic()
    before = 0
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        said = run.ledger.outcomes.total()
        now = ", ".join(f"{provider}: {fault}" for provider, fault in run.faults.now.items())
        print(
            f"{time.monotonic() - began:6.0f} s  {(said - before) / PROGRESS_SECONDS:5.0f} pushes/s"
            f"  {run.memory.now('relay') / MIB:5.1f} MiB  {run.ledger.violations.total()} violations"
            f"  {run.phase}  {now}",
            flush=True,
        )
        before = said


def report(run: Soak, seconds: float) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("provider", "outcome", "reason", "pushes")
    for (provider, status, reason), count in sorted(run.ledger.outcomes.items()):
        table.add_row(provider, status, reason, f"{count:,}")
    console.print(table)
    console.print(f"pushes: {run.ledger.judged:,} judged, {run.ledger.unknown:,} whose servers had no answer")
    for (server, what), count in sorted(run.tally.requests.items()):
        console.print(f"requests: {server}: {count:,} {what}")
    for name, growth in run.memory.growth().items():
        console.print(f"memory of {name}: {growth}")
    for name in ("quiet", "flood"):
        if found := percentiles(run.tally.times[name]):
            console.print(
                f"a single push in {name}: p50 {found[0] * 1000:.1f} ms, p99 {found[1] * 1000:.1f} ms"
                f" ({len(run.tally.times[name])})"
            )
    console.print(
        f"faults shown: {run.faults.shown.total()} of {len(run.faults.shown)} kinds, {run.killed} killed"
    )
    console.print(f"took {seconds / 60:.1f} minutes, seed {run.plan.seed}")
    for what, count in run.ledger.violations.most_common():
        console.print(f"[bold]wrong:[/] {what}: {count}", highlight=False)
        for example in run.ledger.examples[what]:
            console.print(f"    {example}", highlight=False, markup=False)


def read_plan(arguments: Sequence[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(
        prog="dev soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="what repeats a run")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve (1)")
    options = parser.parse_args(arguments)
    return Plan(options.minutes, options.seed, options.workers)


def main() -> int:
    plan = read_plan()
    directory = Path(tempfile.mkdtemp(prefix="hushpost-soak-"))
    print(
        f"{plan.minutes:g} minutes, seed {plan.seed}, {plan.workers} workers, log {directory / 'relay.log'}",
        flush=True,
    )
    clean = False
    try:
        clean = uvloop.run(soak(directory, plan))
    finally:
        if clean:
            shutil.rmtree(directory)
        else:
            print(f"kept: {directory}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
