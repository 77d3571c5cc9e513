"""How the activity is read: whatever lies below a page, and whatever the planner believes, it costs what is on it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from server.domain.activity import Entry, Filter, Place
from server.domain.delivery import Channel
from server.domain.message import Category
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Database, Transaction
from server.store import activity
from tests.harness import databases
from tests.harness.clock import SettableClock
from tests.harness.seeding_activity import BETWEEN, Past

TENANT, OTHER = "tenant", "other"
EVERYTHING = Filter((), (), None, None)
PAIRS = EVERYTHING.pairs
ROWS = 12_000
READERS = 5
LATEST = (1 << 63) - 1
on_postgresql = pytest.mark.skipif(
    "postgresql" not in databases.engines(), reason="there is no PostgreSQL here"
)


async def make_tenants(db: Database) -> None:
    rows = [(name, name) for name in (TENANT, OTHER)]
    sql = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, 0)"
    await db.write(lambda tx: tx.many(sql, rows))


@pytest.fixture
async def past(database: Database, clock: SettableClock) -> Past:
    """Two tenants with some hundred rows each."""
    await make_tenants(database)
    await Past(database, OTHER, clock(), READERS).grow(1)
    past = Past(database, TENANT, clock(), READERS)
    await past.grow(450)
    return past


async def listed(
    db: Database, asked: Filter, *, before: Place | None = None, skip: int = 0, limit: int = 50
) -> list[Entry]:
    return await db.read(
        lambda tx: activity.list_activity(tx, TENANT, asked, before=before, skip=skip, limit=limit)
    )


async def counted(db: Database, asked: Filter) -> int:
    return await db.read(lambda tx: activity.count_activity(tx, TENANT, asked))


async def all_of(db: Database, asked: Filter) -> list[str]:
    """Every id that a filter lets through, as a plain query finds them: the newest first."""
    rows = await db.read(lambda tx: tx.all("SELECT * FROM deliveries WHERE tenant_id = $1", TENANT))
    pairs = {(channel.value, category.value) for channel, category in asked.pairs}
    since, until = asked.since or 0, LATEST if asked.until is None else asked.until
    meant = [
        (row["created_at"], row["id"])
        for row in rows
        if (row["channel"], row["category"]) in pairs and since <= row["created_at"] <= until
    ]
    return [id_ for _, id_ in sorted(meant, reverse=True)]


def filters(start: int) -> Iterator[Filter]:
    for channels in ((), (Channel.PUSH,), (Channel.SMS, Channel.IN_APP)):
        for categories in ((), (Category.PRODUCT,), (Category.TRANSACTIONAL, Category.SYSTEM)):
            for since, until in (
                (None, None),
                (start + 20 * BETWEEN, None),
                (None, start + 20 * BETWEEN),
                (start + 5 * BETWEEN, start + 9 * BETWEEN),
            ):
                yield Filter(channels, categories, since, until)


async def test_each_filter_lets_through_what_it_says_in_pages_of_either_kind(
    clock: SettableClock, past: Past
) -> None:
    for asked in filters(clock()):
        expected = await all_of(past.db, asked)
        assert expected or asked.categories
        first = await listed(past.db, asked, limit=70)
        second = await listed(past.db, asked, before=first[-1].place, limit=70) if first else []
        assert [entry.id for entry in (*first, *second)] == expected[:140], asked
        skipped = await listed(past.db, asked, skip=64, limit=33)
        assert [entry.id for entry in skipped] == expected[64:97], asked
        assert await counted(past.db, asked) == len(expected), asked


async def test_a_page_that_ends_among_entries_of_one_moment_leaves_none_out(
    past: Past,
) -> None:
    """All that one message causes is of one moment."""
    asked = Filter((Channel.PUSH,), (), None, None)
    found: list[str] = []
    place: Place | None = None
    while page := await listed(past.db, asked, before=place, limit=7):
        found += [entry.id for entry in page]
        place = page[-1].place
    assert found == await all_of(past.db, asked)


async def test_an_end_before_the_place_of_a_page_holds(clock: SettableClock, past: Past) -> None:
    """A cursor of one filter with another one's times."""
    until = clock() + 10 * BETWEEN
    asked = Filter((), (), None, until)
    newest = Place(LATEST, "0")
    page = await listed(past.db, asked, before=newest, limit=1)
    assert [entry.id for entry in page] == (await all_of(past.db, asked))[:1]


async def test_an_entry_has_what_is_known_of_it(past: Past) -> None:
    [entry] = await listed(past.db, Filter((Channel.IN_APP,), (), None, None), limit=1)
    row = await past.db.read(
        lambda tx: tx.one(
            "SELECT i.id, u.external_id, m.id AS message, m.content FROM deliveries d"
            " JOIN messages m ON m.id = d.message_id JOIN users u ON u.id = d.user_id"
            " JOIN inbox_items i ON i.message_id = m.id AND i.user_id = u.id WHERE d.id = $1",
            entry.id,
        )
    )
    assert row is not None
    assert (entry.item_id, entry.user, entry.message_id) == (row["id"], row["external_id"], row["message"])
    assert entry.title == json.loads(row["content"])["title"]
    assert (entry.device_id, entry.device, entry.reason) == (None, None, None)


@pytest.fixture
async def long(database: Database, clock: SettableClock) -> Database:
    """A tenant with a long history, which no planner has been told of."""
    await make_tenants(database)
    await Past(database, TENANT, clock(), 100).grow(ROWS)
    return database


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_sqlite_reads_ranges_of_one_index(long: Database) -> None:
    """And of deliveries, users, messages, devices and inboxes only what is on the page, which it finds by unique keys."""
    for _ in range(2):
        steps = await steps_of(long, activity.page_sql(EVERYTHING, 5_000, 21), LATEST, "g", 5_000)
        ranges = [step for step in steps if "ix_deliveries_activity" in step]
        assert ranges == len(PAIRS) * ["SEARCH deliveries USING COVERING INDEX ix_deliveries_activity"]
        others = [step for step in steps if step not in ranges]
        assert [step.split()[:2] for step in others] == [["SEARCH", name] for name in "dumvi"], others
        assert all("sqlite_autoindex" in step for step in others), others
        assert await steps_of(long, activity.count_sql(EVERYTHING), LATEST) == ranges
        await long.write(lambda tx: tx.run("ANALYZE"))


@on_postgresql
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_postgresql_reads_no_more_than_the_page_needs(long: Database) -> None:
    """Whether it was analysed or not, and whether it plans with what it knows of the numbers or without."""
    for _ in range(2):
        for mode in ("force_custom_plan", "force_generic_plan"):
            nodes = await nodes_of(long, mode, activity.page_sql(EVERYTHING, 0, 21), LATEST, "g", 0)
            read = [node for node in nodes if node.get("Relation Name") == "deliveries"]
            assert {node["Index Name"] for node in read} == {"ix_deliveries_activity", "pk_deliveries"}
            ranges = [node for node in nodes if node.get("Index Name") == "ix_deliveries_activity"]
            assert [node["Node Type"] for node in ranges] == len(PAIRS) * ["Index Only Scan"]
            assert max(node["Actual Rows"] for node in ranges) <= 32
            assert all(node["Actual Rows"] <= 32 * len(PAIRS) for node in nodes)
        await long.write(lambda tx: tx.run("ANALYZE"))


async def test_it_is_counted_no_further_than_it_is_told(long: Database) -> None:
    assert await counted(long, EVERYTHING) == MOST_COUNTED + 1


async def steps_of(db: Database, sql: str, *more: object) -> list[str]:
    """Return what SQLite would read of tables, in its own words."""
    rows = await db.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {sql}", TENANT, 0, *more))
    steps = [re.sub(r" \(.*", "", row["detail"]) for row in rows]
    return [step for step in steps if re.match("(SCAN|SEARCH) (?!p$|r[0-9]+$|counted$)", step)]


async def nodes_of(db: Database, mode: str, sql: str, *more: object) -> list[Any]:
    """Return what PostgreSQL did, node by node."""

    async def explain(tx: Transaction) -> Any:
        await tx.run(f"SET LOCAL plan_cache_mode = {mode}")
        row = await tx.one(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", TENANT, 0, *more)
        assert row is not None
        return json.loads(row["QUERY PLAN"])[0]["Plan"]

    return list(flat(await db.write(explain)))


def flat(plan: Any) -> Iterator[Any]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from flat(inner)
