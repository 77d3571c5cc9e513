"""The update of a large installation from revision 0002: how long, with how much memory, and whether the server goes on from there."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg

from server.store.database import open_database
from server.store.tallies import audit
from tests.harness.bench_figures import say, stopwatch
from tests.harness.databases import engines, in_thread, postgres_database
from tests.harness.old_tables import migrate_to
from tests.harness.process import HUSHPOST, environment
from tests.harness.seeding_old import Old, fill_old
from tests.harness.stack import running

OLD = Old()
MEBI = 1 << 20


async def migration(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "hushpost.db"
    await _measure("SQLite", directory, f"sqlite:///{file}", lambda: _size_of(file))
    if "postgresql" not in engines():
        say("PostgreSQL", "not measured: none is reachable")
        return
    with postgres_database(migrated=False) as url:
        await _measure("PostgreSQL", directory, url, lambda: in_thread(lambda: asyncio.run(_size_in(url))))


async def _measure(engine: str, directory: Path, url: str, size: Callable[[], int]) -> None:
    in_thread(lambda: migrate_to(url, "0002"))
    await fill_old(url, time.time_ns() // 1_000_000, OLD)
    if not url.startswith("sqlite"):
        await _settle(url)
    before = size()
    with stopwatch() as took:
        memory = await asyncio.to_thread(_migrate, directory / engine, url)
    say(
        f"{engine}: from revision 0002, {OLD.messages:,} messages, {OLD.deliveries:,} deliveries",
        f"{took[0]:>10,.1f} s",
    )
    say("  peak memory of the process", f"{memory / MEBI:>10,.0f} MiB")
    say("  the database, before and after", f"{before / MEBI:>10,.0f} MiB, {size() / MEBI:,.0f} MiB")
    await _check(url)
    started, page = await _serve(directory / engine, url)
    say("  until relay and server answer", f"{started:>10,.1f} s")
    say("  the first page of activity", f"{page * 1000:>10,.0f} ms")


def _migrate(directory: Path, url: str) -> int:
    """Run the command that an operator would; the most memory that it held."""
    settings = environment(
        {"HUSHPOST_DATABASE_URL": url, "HUSHPOST_SERVER_DATA_DIR": str(directory / "data")}
    )
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "empty.toml"
    config.touch()
    command: list[str | Path] = [HUSHPOST, "db", "migrate", "--config", config]
    with subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"db migrate ended with {process.returncode}")
    return used.ru_maxrss * 1024


async def _check(url: str) -> None:
    database = await open_database(url)
    try:
        found = await database.read(audit)
    finally:
        await database.close()
    if not found.holds or found.rows.created != OLD.deliveries:
        raise RuntimeError(f"the book is not what the rows are: {found}")


async def _serve(directory: Path, url: str) -> tuple[float, float]:
    """Return the seconds until everything runs, and those that the first page took."""
    start = time.perf_counter()
    async with running(directory / "stack", database_url=url) as stack:
        started = time.perf_counter() - start
        with stopwatch() as took:
            shown = await stack.call("GET", "/api/v1/activity")
        if not shown["activities"]:
            raise RuntimeError("the activity of before is not shown")
    return started, took[0]


async def _settle(url: str) -> None:
    """What the database does of itself, sooner or later."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _size_of(file: Path) -> int:
    return file.stat().st_size


async def _size_in(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()
