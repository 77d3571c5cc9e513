"""What reading an inbox costs: nothing but what is read, however much else is in it."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import asyncpg
import pytest

from server.domain.inbox import Mark
from server.domain.ports import Database, Row, Transaction
from server.store import inbox_pages
from server.store.accounts import ensure_tenant
from server.store.database import open_database
from tests.harness import databases
from tests.harness.clock import SettableClock
from tests.harness.seeding_activity import Past

Ask = Callable[[Transaction], Awaitable[Any]]
Count = Callable[[str, Transaction], Awaitable[Any]]
FEED: dict[str, Any] = {"bucket_ids": ["one", "two"], "categories": ["PRODUCT"]}

COUNTING: dict[str, Count] = {
    "unseen": lambda user, tx: inbox_pages.count_unseen(tx, user),
    "all": lambda user, tx: inbox_pages.count_items(tx, [user, "other"]),
    "a category": lambda user, tx: inbox_pages.count_feed(
        tx, user, bucket_ids=[], categories=["PRODUCT"], most=9
    ),
    "a feed": lambda user, tx: inbox_pages.count_feed(tx, user, **FEED, most=9),
}
INDEXES = {
    "unseen": {"ix_inbox_items_unread"},
    "all": {"ix_inbox_items_there", "ix_inbox_items_unread"},
    "a category": {"ix_inbox_items_there"},
    "a feed": {"ix_inbox_items_bucket"},
}


class Explaining:
    """A transaction that asks for the plan of what it is asked for."""

    def __init__(self, tx: Transaction, explain: str) -> None:
        self._tx = tx
        self._explain = explain
        self.plan: list[str] = []

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        for row in await self._tx.all(f"{self._explain} {sql}", *args):
            self.plan.append(row["detail" if "detail" in row.keys() else "QUERY PLAN"])  # noqa: SIM118 - no dict
        return []

    async def one(self, sql: str, *args: object) -> Row | None:
        await self.all(sql, *args)
        return None


async def plan_of(tx: Transaction, ask: Ask, explain: str) -> list[str]:
    explaining = Explaining(tx, explain)
    await ask(cast("Transaction", explaining))
    return explaining.plan


@pytest.mark.parametrize("what", COUNTING)
async def test_counting_reads_an_index_and_no_row_on_sqlite(sqlite_url: str, what: str) -> None:
    database = await open_database(sqlite_url)
    ask = partial(COUNTING[what], "user")
    plan = await database.read(lambda tx: plan_of(tx, ask, "EXPLAIN QUERY PLAN"))
    await database.close()
    reading = [step for step in plan if "inbox_items" in step]
    assert {*re.findall(r"USING COVERING INDEX (\w+)", "\n".join(reading))} == INDEXES[what]
    assert all("COVERING INDEX" in step for step in reading), plan


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL here")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_counting_reads_an_index_and_no_row_on_postgresql(
    database: Database, postgres_url: str, clock: SettableClock
) -> None:
    """With what it knows of many inboxes."""
    await database.write(lambda tx: ensure_tenant(tx, "tenant", "tenant", 0))
    await Past(database, "tenant", clock(), 20).grow(5_000)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("VACUUM ANALYZE inbox_items")
    [user] = await connection.fetch("SELECT user_id FROM inbox_items LIMIT 1")
    await connection.close()

    for ask in COUNTING.values():
        plan = await database.read(lambda tx, ask=ask: plan_of(tx, partial(ask, user["user_id"]), "EXPLAIN"))  # type: ignore[misc] # of a lambda
        scans = [step for step in plan if " on inbox_items" in step]
        assert scans
        assert all("Index Only Scan" in step for step in scans), plan


@pytest.mark.parametrize("read", [False, True])
async def test_a_page_of_what_is_unread_reads_nothing_else_on_sqlite(sqlite_url: str, *, read: bool) -> None:
    """Also where all of a large inbox has been read: nobody tells SQLite how little is left."""
    database = await open_database(sqlite_url)
    asks: Sequence[Ask] = (
        lambda tx: inbox_pages.list_items(
            tx, "user", bucket_id=None, unread=not read, since="", before=None, limit=10
        ),
        lambda tx: inbox_pages.markable_page(
            tx, "user", Mark.UNREAD if read else Mark.READ, bucket_ids=[], before="g", limit=10
        ),
    )
    for ask in asks:
        plan = await database.read(lambda tx, ask=ask: plan_of(tx, ask, "EXPLAIN QUERY PLAN"))  # type: ignore[misc] # of a lambda
        assert {*re.findall(r"(ix_inbox_items_\w+)", "\n".join(plan))} == {
            f"ix_inbox_items_{'there' if read else 'unread'}"
        }
    await database.close()


async def test_a_page_of_a_feed_reads_each_bucket_in_its_order(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    page = await database.read(
        lambda tx: plan_of(
            tx,
            lambda it: inbox_pages.feed_page(it, "user", **FEED, offset=20, limit=10),
            "EXPLAIN QUERY PLAN",
        )
    )
    await database.close()
    indexed = [step for step in page if "ix_inbox_items_bucket" in step]
    assert len(indexed) == len(FEED["bucket_ids"]), page
    assert not [step for step in page if step.startswith("SCAN inbox_items")]
