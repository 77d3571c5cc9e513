"""One message to a topic of very many by RPC: the answer, the fan-out and the memory that it takes, and what its status costs then.

It goes into inboxes, so that nothing is in it but the server's own work; what devices cost is `bench_fanout.py`. On both engines. A second
message is cancelled while it spreads.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from server.domain.ids import new_id
from server.domain.ports import Database, Transaction
from server.store.database import open_database
from tests.harness.bench_fanout import LOOK_SECONDS, watched
from tests.harness.bench_figures import family_seconds, say, spread, stopwatch
from tests.harness.databases import engines, postgres_database
from tests.harness.stack import Stack, running

SUBSCRIBERS = 100_000
OPTED_OUT = 10  # one in so many
EXCLUDED = 100
TOPIC = "weekly-updates"
AT_ONCE = 5_000
ASKED = 20
SPREAD_WITHIN = 600.0
MANAGE = "/api/v1/notifications/manage/"
_USER = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at) VALUES ($1, $2, $3, 'user', '{}', 0)"
_MEMBER = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 0)"
_OPT_OUT = "INSERT INTO opt_outs (user_id, channel, category, created_at) VALUES ($1, 'IN_APP', 'PRODUCT', 0)"


async def topic(directory: Path) -> None:
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
    await _rpc(stack, "create-topic", {"topicKey": TOPIC})
    await stack.server.stop()
    await _subscribe(url)
    await stack.server.start(stack.session)
    async with watched(stack) as memory:
        idle, used = str(memory), family_seconds(stack.server)
        with stopwatch() as whole:
            with stopwatch() as answer:
                message = await _send(stack)
            await until_created(stack, SUBSCRIBERS - EXCLUDED)
        used = family_seconds(stack.server) - used
        say(f"{engine}: a message to a topic of {SUBSCRIBERS:,}, into inboxes", f"{whole[0]:>10,.1f} s")
        say("  until the RPC was answered", f"{answer[0] * 1000:>10,.0f} ms")
        say("  CPU of the server for each subscriber", f"{used / SUBSCRIBERS * 1000:>10.2f} ms")
        say("  memory idle", idle)
        say("  memory at its peak", str(memory))
    await _check(stack, message)
    for name, page in (("first", 1), ("hundredth", 100), ("4,995th", 4_995)):
        say(f"  get-delivery-status, the {name} page", spread(await _status(stack, message, page), "ms"))
    await _cancel(stack)


async def _send(stack: Stack) -> str:
    body = {
        "topicKey": TOPIC,
        "channel": "IN_APP",
        "category": "PRODUCT",
        "content": {"title": "Weekly Update", "body": "Your weekly health summary is ready"},
        "excludeUserIds": [f"user-{number}" for number in range(EXCLUDED)],
    }
    return str((await _rpc(stack, "send-to-topic", body))["transactionId"])


async def _check(stack: Stack, message: str) -> None:
    """Everybody got it once but those who are excluded, and those who do not want it were passed over."""
    books = await stack.books()
    refused = len(range(0, SUBSCRIBERS, OPTED_OUT)) - len(range(0, EXCLUDED, OPTED_OUT))
    wanted = SUBSCRIBERS - EXCLUDED - refused
    found = (books.by_state["accepted"], books.by_state["suppressed"])
    if found != (wanted, refused):
        raise RuntimeError(f"not {wanted} and {refused} deliveries, but {books}")
    answer = await _rpc(stack, "get-delivery-status", {"transactionId": message})
    if answer["result"] != "DELIVERED":
        raise RuntimeError(f"the result is {answer['result']}")


async def _status(stack: Stack, message: str, page: int) -> Sequence[float]:
    times = []
    for _ in range(ASKED):
        with stopwatch() as took:
            answer = await _rpc(stack, "get-delivery-status", {"transactionId": message, "page": page})
        if len(answer["deliveries"]) != answer["pageSize"]:
            raise RuntimeError(f"page {page} has {len(answer['deliveries'])} deliveries")
        times.append(took[0] * 1000)
    return times


async def _cancel(stack: Stack) -> None:
    """Cancel in the middle; what was in inboxes then is all there ever will be."""
    before = (await stack.books()).created
    message = await _send(stack)
    await until_created(stack, before + SUBSCRIBERS // 4)
    with stopwatch() as took:
        answer = await _rpc(stack, "cancel", {"transactionId": message})
    await asyncio.sleep(1)
    created = (await stack.books()).created - before
    say(
        f"  cancelled after {created:,} deliveries, {answer['retracted']:,} of them retracted",
        f"{took[0]:>10,.2f} s",
    )
    again = await _rpc(stack, "cancel", {"transactionId": message})
    if again != answer or created >= SUBSCRIBERS - EXCLUDED:
        raise RuntimeError(f"{answer}, then {again}; {created} deliveries")


async def until_created(stack: Stack, number: int) -> None:
    """Wait until there are so many deliveries."""
    async with asyncio.timeout(SPREAD_WITHIN):
        while (await stack.books()).created < number:
            await asyncio.sleep(LOOK_SECONDS)


async def _rpc(stack: Stack, name: str, body: object) -> Any:
    return await stack.call("POST", MANAGE + name, body)


async def _subscribe(url: str) -> None:
    """Write the subscribers straight into the tables; nobody may be using an SQLite file."""
    database = await open_database(url)
    try:
        row = await database.read(
            lambda tx: tx.one("SELECT id, tenant_id FROM buckets WHERE topic_key = $1", TOPIC)
        )
        assert row is not None
        for start in range(0, SUBSCRIBERS, AT_ONCE):
            await _write(database, row["tenant_id"], row["id"], range(start, start + AT_ONCE))
    finally:
        await database.close()


async def _write(database: Database, tenant: str, bucket: str, numbers: range) -> None:
    now, random = time.time_ns() // 1_000_000, secrets.token_bytes
    users = [(new_id(now, random), tenant, f"user-{number}") for number in numbers]

    async def job(tx: Transaction) -> None:
        await tx.many(_USER, users)
        await tx.many(_MEMBER, [(bucket, user) for user, _, _ in users])
        refusing = [(user,) for (user, _, _), n in zip(users, numbers, strict=True) if n % OPTED_OUT == 0]
        await tx.many(_OPT_OUT, refusing)

    await database.write(job)
