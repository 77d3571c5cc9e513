"""What a page of a large audience costs: a page, wherever it lies and however few of very many are meant."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from server.domain.audience import Within
from server.domain.ports import Database, Transaction
from server.store.audience import START, Place, Reach, reached
from tests.harness import databases
from tests.server.store.test_audience import BOTH, BUCKET, DOCUMENT, EVERYONE, LISTED, TENANT, Town, town
from tests.server.store.test_inbox_pages import plan_of

USERS = 20_000
AT_ONCE = 4_000
PAGE = 20
LOOKED_AT = 12 * PAGE  # of each user on it a few rows: a phone, a membership, what they have refused

__all__ = ["town"]  # the fixture

REACHES = {
    "everyone": EVERYONE,
    "half of them": replace(EVERYONE, within=LISTED),
    "few of them": replace(EVERYONE, within=Within("few", listed=True, fields=())),
    "a quarter by a value": replace(EVERYONE, within=Within(DOCUMENT, listed=False, fields=(("a", "1"),))),
    "few by a value": replace(EVERYONE, within=Within(DOCUMENT, listed=True, fields=(("b", "2"),))),
    "both values": replace(EVERYONE, within=Within(DOCUMENT, listed=True, fields=(("b", "2"), ("a", "1")))),
}
EVERY = {  # one in so many: on a list, or with access to a value
    "INSERT INTO bucket_members (user_id, bucket_id, permissions, created_at) VALUES ($1, 'bucket', '[\"READ\"]', 1)": 2,
    "INSERT INTO document_access (user_id, document_id, created_at) VALUES ($1, 'document', 1)": 2,
    "INSERT INTO document_access (user_id, document_id, created_at) VALUES ($1, 'few', 1)": 4_000,
    "INSERT INTO document_fields (user_id, document_id, field, value) VALUES ($1, 'document', 'a', '1')": 4,
    "INSERT INTO document_fields (user_id, document_id, field, value) VALUES ($1, 'document', 'b', '2')": 4_000,
}


@pytest.fixture
async def city(town: Town) -> Town:
    """Very many users, each with a phone, of whom half are members and on the document's list."""
    names = [user(number) for number in range(USERS)]
    for start in range(0, USERS, AT_ONCE):
        some = names[start : start + AT_ONCE]
        await town.settle(TENANT, *some)
        await town.phones(dict.fromkeys(some, 1))
        if not town.db.exclusive:  # or else it looks for each user among all
            await town.db.write(lambda tx: tx.run("ANALYZE"))
    await town.run(
        "INSERT INTO documents (id, tenant_id, key, created_at) VALUES ('few', $1, 'few', 1)", (TENANT,)
    )
    for sql, every in EVERY.items():
        for start in range(0, USERS, AT_ONCE):
            await town.run(sql, *((name,) for name in names[start : start + AT_ONCE : every]))
    if not town.db.exclusive:
        await town.db.write(lambda tx: tx.run("ANALYZE"))
    return town


def user(number: int) -> str:
    return f"u{number:05}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", REACHES)
async def test_a_page_begins_at_its_place_in_an_index_on_sqlite(town: Town, what: str) -> None:
    """Nothing is read through, and what is gone through is so from the place on."""
    reach = Reach(BUCKET, REACHES[what], BOTH, "PRODUCT")
    plan = await town.db.read(
        lambda tx: plan_of(
            tx, lambda it: reached(it, reach, after=Place("u", ""), limit=PAGE), "EXPLAIN QUERY PLAN"
        )
    )
    assert not [step for step in plan if step.startswith("SCAN") and step != "SCAN p"], plan
    begins = [step for step in plan if "id>?" in step]
    assert len([step for step in begins if "INDEX" in step]) == 1, plan


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL here")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_page_looks_at_a_page_of_rows_wherever_it_lies_on_postgresql(city: Town) -> None:
    """Whether it knows for whom it plans or not: a statement that is asked again and again is planned once for all."""
    places = [START, *(Place(user(number), "") for number in (USERS // 2, USERS - 3 * PAGE))]
    for what, recipients in REACHES.items():
        reach = Reach(BUCKET, recipients, BOTH, "PRODUCT")
        for mode in ("force_custom_plan", "force_generic_plan"):
            costs = [await looked_at(city.db, reach, place, mode) for place in places]
            assert max(costs) <= LOOKED_AT, (what, mode, costs)


async def looked_at(db: Database, reach: Reach, place: Place, mode: str) -> int:
    """Return how many rows PostgreSQL has looked at for a page."""

    async def job(tx: Transaction) -> list[str]:
        await tx.run(f"SET LOCAL plan_cache_mode = {mode}")
        return await plan_of(
            tx, lambda it: reached(it, reach, after=place, limit=PAGE), "EXPLAIN (ANALYZE, FORMAT JSON)"
        )

    [told] = await db.write(job)
    [plan] = json.loads(told)
    assert "JIT" not in plan
    return sum(_rows(node) for node in _flat(plan["Plan"]) if "Scan" in node["Node Type"])


def _rows(node: Any) -> int:
    found = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(found * node["Actual Loops"])


def _flat(plan: Any) -> Iterator[Any]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _flat(inner)
