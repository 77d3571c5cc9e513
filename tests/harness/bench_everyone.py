"""A notification to everyone of an organization of very many, of whom half have access to its document, and ten to another one.

What it costs is to be that of those whom it reaches, and not of all. Nobody has a phone, so that nothing is in it but the server's own
work. On both engines.
"""

import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from server.domain.ids import new_id
from server.domain.ports import Database, Transaction
from server.store.database import open_database
from tests.harness.bench_fanout import watched
from tests.harness.bench_figures import family_seconds, say, spread, stopwatch
from tests.harness.bench_topic import until_created
from tests.harness.databases import engines, postgres_database
from tests.harness.stack import Stack, running

USERS = 100_000
AT_ONCE = 5_000
ASKED = 20
ORGANIZATION = "acme"
DOCUMENTS = {"half": 2, "few": 10_000}  # one in so many has access
_USER = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at) VALUES ($1, $2, $3, 'user', '{}', 0)"
_ACCESS = "INSERT INTO document_access (document_id, user_id, created_at) VALUES ($1, $2, 0)"


async def everyone(directory: Path) -> None:
    async with running(directory / "sqlite") as stack:
        await _measure("SQLite", stack, f"sqlite:///{stack.database}")
    if "postgresql" not in engines():
        say("PostgreSQL", "not measured: none is reachable")
        return
    async with AsyncExitStack() as opened:
        url = opened.enter_context(postgres_database())
        stack = await opened.enter_async_context(running(directory / "postgresql", database_url=url))
        await _measure("PostgreSQL", stack, url)


async def _measure(engine: str, stack: Stack, url: str) -> None:
    await _call(stack, "organizations/add")
    for document in DOCUMENTS:
        await _call(stack, "documents/add", documentId=document)
    await stack.server.stop()
    await _settle(url)
    await stack.server.start(stack.session)
    reached = USERS // DOCUMENTS["half"]
    async with watched(stack) as memory:
        idle, used = str(memory), family_seconds(stack.server)
        with stopwatch() as whole:
            with stopwatch() as answer:
                await _add(stack, "half")
            await until_created(stack, 2 * reached)  # in the inbox, and that there is no phone
        used = family_seconds(stack.server) - used
        say(f"{engine}: to everyone of {USERS:,}, half of whom have access", f"{whole[0]:>10,.1f} s")
        say("  until the call was answered", f"{answer[0] * 1000:>10,.0f} ms")
        say("  CPU of the server for each who gets it", f"{used / reached * 1000:>10.2f} ms")
        say("  memory idle", idle)
        say("  memory at its peak", str(memory))
    books = await stack.books()
    if (books.by_state["accepted"], books.by_state["suppressed"]) != (reached, reached):
        raise RuntimeError(f"not {reached} in inboxes, but {books}")
    say("  to everyone, ten of whom have access, answered in", spread(await _asked(stack), "ms"))


async def _asked(stack: Stack) -> Sequence[float]:
    times = []
    for _ in range(ASKED):
        with stopwatch() as took:
            await _add(stack, "few")
        times.append(took[0] * 1000)
    return times


async def _add(stack: Stack, document: str) -> None:
    await _call(
        stack,
        "notifications/add",
        documentId=document,
        actionUser={"userId": "user-1"},
        verifyUserPermissions=True,
        displayHeadlineMessageTemplate="{actionUser} has written",
        displayBodyMessage="Have a look",
        notifyUsers=[],
    )


async def _call(stack: Stack, name: str, **data: Any) -> None:
    keys = {"x-velt-api-key": stack.token, "x-velt-auth-token": stack.token}
    body = {"data": {"organizationId": ORGANIZATION, **data}}
    async with stack.session.post(f"{stack.server.url}/v2/{name}", json=body, headers=keys) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{name}: {answer.status} {await answer.text()}")


async def _settle(url: str) -> None:
    """Write the users and who has access straight into the tables; nobody may be using an SQLite file."""
    database = await open_database(url)
    try:
        rows = await database.read(lambda tx: tx.all("SELECT id, tenant_id, key FROM documents"))
        for start in range(0, USERS, AT_ONCE):
            documents = {row["key"]: row["id"] for row in rows}
            await _write(database, rows[0]["tenant_id"], documents, range(start, start + AT_ONCE))
            if not database.exclusive:  # as autovacuum would have, in the time that so many take to come
                await database.write(lambda tx: tx.run("ANALYZE users, document_access"))
    finally:
        await database.close()


async def _write(database: Database, tenant: str, documents: dict[str, str], numbers: range) -> None:
    now, random = time.time_ns() // 1_000_000, secrets.token_bytes
    users = {number: new_id(now, random) for number in numbers}

    async def job(tx: Transaction) -> None:
        await tx.many(_USER, [(user, tenant, f"user-{number}") for number, user in users.items()])
        for key, every in DOCUMENTS.items():
            rows = [(documents[key], user) for number, user in users.items() if number % every == 0]
            await tx.many(_ACCESS, rows)

    await database.write(job)
