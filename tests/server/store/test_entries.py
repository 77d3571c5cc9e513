"""What reading an inbox by what messages are about costs: nothing that is somebody else's, and without a filter nothing but the page."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from server.domain.entry import Wanted
from server.domain.ports import Row, Transaction
from server.store import entries
from server.store.database import open_database

ABOUT = Wanted(template_key="KEY", label="Label", entity_type="plan")
Ask = Callable[[Transaction], Awaitable[Any]]
READS: dict[str, tuple[Ask, set[str]]] = {
    "a page": (lambda tx: entries.page_of(tx, "user", Wanted(), offset=20, limit=20), {"there"}),
    "a page since": (lambda tx: entries.page_of(tx, "user", Wanted(since=5), offset=0, limit=20), {"there"}),
    "unread": (lambda tx: entries.page_of(tx, "user", Wanted(read=False), offset=0, limit=20), {"unread"}),
    "read": (lambda tx: entries.page_of(tx, "user", Wanted(read=True), offset=0, limit=20), {"there"}),
    "about": (lambda tx: entries.page_of(tx, "user", ABOUT, offset=0, limit=20), {"there"}),
    "a total": (lambda tx: entries.count_of(tx, "user", Wanted(), most=9), {"there"}),
    "an unread total": (lambda tx: entries.count_of(tx, "user", Wanted(read=False), most=9), {"unread"}),
    "a tally": (lambda tx: entries.tally(tx, "user", Wanted()), {"there", "unread"}),
}
COVERED = {"a page", "a page since", "unread", "a total", "an unread total", "a tally"}


class Explaining:
    """A transaction that asks for the plan of what it is asked for."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.plan: list[str] = []

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        self.plan += [row["detail"] for row in await self._tx.all(f"EXPLAIN QUERY PLAN {sql}", *args)]
        return []

    async def one(self, sql: str, *args: object) -> Row | None:
        await self.all(sql, *args)
        return None


@pytest.mark.parametrize("what", READS)
async def test_each_read_goes_down_an_index_of_one_users_entries(sqlite_url: str, what: str) -> None:
    """In its order, so that nothing is sorted; and where nothing is asked of a row, no row is read."""
    ask, indexes = READS[what]
    database = await open_database(sqlite_url)

    async def job(tx: Transaction) -> list[str]:
        explaining = Explaining(tx)
        await ask(cast("Any", explaining))
        return explaining.plan

    plan = await database.read(job)
    await database.close()

    assert {*re.findall(r"ix_inbox_items_(\w+)", "\n".join(plan))} == indexes
    assert not [step for step in plan if step.startswith("SCAN i") or "TEMP B-TREE" in step], plan
    reading = [step for step in plan if "SEARCH i" in step]
    assert all("COVERING" in step for step in reading) is (what in COVERED), plan
    about = [step for step in plan if "SEARCH s" in step]
    assert len(about) == (1 if what == "about" else 0)
    assert all("sqlite_autoindex_subjects_1" in step for step in about), plan
