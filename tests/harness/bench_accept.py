"""Messages accepted durably over HTTP, answered after the commit; beside it, in the same run, bare loops over the same rows."""

import struct
from pathlib import Path
from statistics import median

from tests.harness.bench_bare import Model, model_of, postgres_loop, sqlite_loop
from tests.harness.bench_figures import RUNS, cpu_seconds, postgres_seconds, say, spread
from tests.harness.databases import engines, postgres_database
from tests.harness.load import Generator, generator, request_bytes
from tests.harness.stack import Stack, running

MESSAGES = 12_000
WARM_UP = 2_000
CONNECTIONS = 64
BARE = 4_000
GROUP = 64
POSTGRES_CONNECTIONS = 16
_CHANGES = slice(8, 12)  # wal.c, WalIndexHdr: iChange, counted up by each commit


async def accept(directory: Path) -> None:
    async with running(directory / "sqlite") as stack, generator() as load:
        message = await _over_http(stack, load, "SQLite (FULL)")
        await _group_size(stack, load)
        await stack.server.stop()
        model = await model_of(f"sqlite:///{stack.database}", message)
        await _bare_sqlite(stack.database, model)
    if "postgresql" not in engines():
        say("PostgreSQL", "not measured: none is reachable")
        return
    with postgres_database() as url:
        async with running(directory / "postgresql", database_url=url) as stack, generator() as load:
            message = await _over_http(stack, load, "PostgreSQL")
            await stack.server.stop()
            await _bare_postgres(url, await model_of(url, message))


async def _over_http(stack: Stack, load: Generator, engine: str) -> str:
    """Load the server; the id of one more message."""
    request = _request(stack)
    await load.run(stack.server.url, request, connections=CONNECTIONS, count=WARM_UP)
    rates, costs, others, p99 = [], [], [], []
    for _ in range(RUNS):
        used, used_by_postgres = cpu_seconds(stack.server), postgres_seconds()
        loaded = await load.run(stack.server.url, request, connections=CONNECTIONS, count=MESSAGES)
        rates.append(MESSAGES / loaded.seconds)
        costs.append((cpu_seconds(stack.server) - used) / MESSAGES * 1000)
        others.append((postgres_seconds() - used_by_postgres) / MESSAGES * 1000)
        p99.append(loaded.p99 * 1000)
    cost = f"{median(costs):.2f} ms of the server's CPU each"
    if engine == "PostgreSQL":
        cost += f" and {median(others):.2f} of PostgreSQL's"
    say(
        f"messages accepted durably over HTTP, {engine}, {CONNECTIONS} connections",
        f"{spread(rates, '/s')}   {cost}, p99 {median(p99):.0f} ms",
    )
    return await stack.send(title="bench", body="x" * 200)


def _request(stack: Stack) -> bytes:
    message = {"bucketId": "default", "deliveryType": "NORMAL", "title": "bench", "body": "x" * 200}
    return request_bytes(stack.server.url, "/api/v1/messages", stack.token, message)


async def _group_size(stack: Stack, load: Generator) -> None:
    """How many messages shared a commit: SQLite counts its commits beside its file."""
    index = stack.database.with_name(f"{stack.database.name}-shm")
    before = _commits(index)
    await load.run(stack.server.url, _request(stack), connections=CONNECTIONS, count=MESSAGES)
    commits = (_commits(index) - before) % (1 << 32)
    say("messages in one commit, SQLite", f"{MESSAGES / max(commits, 1):>10.1f}")


def _commits(index: Path) -> int:
    number: int = struct.unpack("=I", index.read_bytes()[_CHANGES])[0]
    return number


async def _bare_sqlite(file: Path, model: Model) -> None:
    for group, name in ((1, "one commit each"), (GROUP, f"{GROUP} to a commit")):
        rates = [sqlite_loop(file, model, messages=BARE, group=group) for _ in range(RUNS)]
        say(
            f"bare SQLite loop, one thread, the same {len(model.rows)} rows, {name}",
            spread(rates, "/s"),
        )


async def _bare_postgres(url: str, model: Model) -> None:
    rates = [
        await postgres_loop(url, model, messages=BARE, connections=POSTGRES_CONNECTIONS) for _ in range(RUNS)
    ]
    say(
        f"bare PostgreSQL loop, {POSTGRES_CONNECTIONS} connections, the same {len(model.rows)} rows",
        spread(rates, "/s"),
    )
