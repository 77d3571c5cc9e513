"""`./dev crash`: kill server, worker or relay with SIGKILL, again and again during sends; nothing may be lost or shown twice.

Checked from outside: what HTTP answered with 201 against what four phones showed (both platforms, both suites), and at the
end conservation as `/metrics` has it. On SQLite there is one server; on PostgreSQL two that answer requests and three
that deliver, all on one database. What encrypts for them is killed as well.

A run that went wrong keeps its directory: the logs, kills.jsonl with every kill, evidence.jsonl with the deliveries of
what was lost or shown twice.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from simulator.keeper import Event
from simulator.phone import Phone
from tests.harness.crash_kills import Kills
from tests.harness.crash_senders import Choices, Ledger, Senders
from tests.harness.crash_verdict import (
    Judgement,
    errors_logged,
    judge,
    keep_evidence,
    wait_for_all,
    wait_for_books,
)
from tests.harness.databases import postgres_database
from tests.harness.process import Process
from tests.harness.stack import EVERYTHING, Stack, running

ROLES = {"sqlite": (EVERYTHING,), "postgresql": ("api", "api", "worker", "worker", "worker")}
SETTINGS = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}
"""What makes a start cheap: most of a run is starts."""

PHONES = (("ios", 2), ("ios", 1), ("android", 1), ("android", 2))


@dataclass(frozen=True)
class Plan:
    rounds: int
    seed: int
    database: str
    choices: Choices


async def crash(directory: Path, plan: Plan, database_url: str) -> tuple[Judgement, Ledger, Kills]:
    roles = ROLES[plan.database]
    async with running(directory, database_url=database_url, roles=roles, settings=SETTINGS) as stack:
        replays: Counter[str] = Counter()
        phones = await _pair(stack, replays)
        answering = [server for server in stack.servers if not server.name.startswith("worker")]
        senders = Senders(
            stack.session,
            [server.url for server in answering],
            stack.token,
            choices=plan.choices,
            seed=plan.seed,
        )
        kills = _kills(stack, answering, phones, senders.ledger, plan)
        senders.start()
        await _rounds(kills, senders, plan)
        await kills.all_up()
        await senders.stop()
        await wait_for_all(phones, senders.ledger)
        books = await wait_for_books(stack)
        verdicts = [judge(name, phone, senders.ledger, replays[name]) for name, phone in phones.items()]
        judgement = Judgement(verdicts, books, senders.ledger.faults, errors_logged(directory))
        for phone in phones.values():
            await phone.close()
        if not judgement.clean:
            await asyncio.gather(*(server.stop() for server in stack.servers))
            await keep_evidence(directory, database_url, judgement, senders.ledger)
    return judgement, senders.ledger, kills


async def _pair(stack: Stack, replays: Counter[str]) -> dict[str, Phone]:
    names = {f"{platform}, suite {suite}": (platform, suite) for platform, suite in PHONES}
    return {
        name: await stack.pair(
            platform=platform,
            suite=suite,
            name=name,
            keep=False,
            on_event=partial(_count_replays, replays, name),
        )
        for name, (platform, suite) in names.items()
    }


def _count_replays(replays: Counter[str], name: str, event: Event) -> None:
    """Count pushes of what a phone had already: nobody lived to note the first, or it had been fetched."""
    replays[name] += event.get("reason") == "replay"


def _kills(
    stack: Stack, answering: Sequence[Process], phones: dict[str, Phone], ledger: Ledger, plan: Plan
) -> Kills:
    return Kills(
        [*stack.servers, stack.relay],
        answering,
        stack.session,
        seed=plan.seed,
        log=stack.directory / "kills.jsonl",
        owed=lambda: len(ledger.answered) - min(len(phone.inbox.log) for phone in phones.values()),
    )


async def _rounds(kills: Kills, senders: Senders, plan: Plan) -> None:
    with _progress() as bar:
        task = bar.add_task("kill -9", total=plan.rounds)
        for number in range(plan.rounds):
            await kills.round(number, senders)
            bar.update(
                task, advance=1, description=f"kill -9 · {len(senders.ledger.answered)} messages answered"
            )
            if senders.ledger.faults:
                return


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def report(judgement: Judgement, ledger: Ledger, kills: Kills, seconds: float) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("phone", "owed", "shown", "pushed again", "lost", "shown twice", "never sent", "too early")
    for one in judgement.verdicts:
        counts = (
            len(ledger.answered),
            one.shown,
            one.replays,
            *map(len, (one.lost, one.twice, one.unknown, one.early)),
        )
        table.add_row(one.phone, *map(str, counts))
    console.print(table)
    console.print(f"conservation: {judgement.books}")
    console.print(f"messages: {len(ledger.answered)} answered, {_listed(ledger.counts)}")
    console.print(f"killed, in which phase: {_listed(kills.counts)}")
    console.print(f"errors in the logs: {_listed(judgement.errors) or 'none'}")
    console.print(f"took {seconds / 60:.1f} minutes")
    for fault in judgement.faults:
        console.print(f"[bold]fault:[/] {fault}", highlight=False)
    for one in judgement.verdicts:
        if one.wrong:
            console.print(f"{one.phone}: {', '.join(sorted(one.wrong))}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


@contextmanager
def database_of(engine: str, directory: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{directory / 'server' / 'hushpost.db'}"
    else:
        with postgres_database() as url:
            yield url


def read_plan(arguments: Sequence[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(
        prog="dev crash", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=300, help="how often something is killed (300)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="what repeats a run")
    parser.add_argument("--database", choices=list(ROLES), default="sqlite")
    parser.add_argument("--no-keys", action="store_true", help="send nothing with an Idempotency-Key")
    parser.add_argument("--no-delays", action="store_true", help="schedule nothing")
    options = parser.parse_args(arguments)
    choices = Choices(keys=not options.no_keys, delays=not options.no_delays)
    return Plan(options.rounds, options.seed, options.database, choices)


def main() -> int:
    plan = read_plan()
    print(f"{plan.database}, {plan.rounds} rounds, seed {plan.seed}, process {os.getpid()}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="hushpost-crash-"))
    began = time.monotonic()
    clean = False
    try:
        with database_of(plan.database, directory) as url:
            judgement, ledger, kills = asyncio.run(crash(directory, plan, url))
        report(judgement, ledger, kills, time.monotonic() - began)
        clean = judgement.clean
    finally:
        if clean:
            shutil.rmtree(directory)
        else:
            print(f"kept: {directory}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
