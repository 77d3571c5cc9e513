"""Copying a database: every row of every table, checked, all or nothing, on every pair of engines."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import asyncpg
import pytest

from server.domain.ports import DatabaseError
from server.store.copy import COLUMNS, Report, copy, require_newest, revision_of, rows_of, source, target
from server.store.copy_sums import Summing, TableSum
from server.store.database import open_database
from server.store.migrations import migrate, newest
from server.store.sqlite_file import sqlite_path
from tests.harness import databases
from tests.harness.filled import ROWS, contents, fill

PAIRS = [(a, b) for a in databases.engines() for b in databases.engines()]


def silent(_doing: str, _table: str, _rows: int) -> None:
    pass


class Databases:
    """Makes migrated databases by engine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def make(self, engine: str, name: str) -> str:
        if engine == "postgresql":
            return self._stack.enter_context(databases.postgres_database())
        url = f"sqlite:///{self._folder / name}.db"
        databases.in_thread(lambda: migrate(url))
        return url


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Databases]:
    with ExitStack() as stack:
        yield Databases(tmp_path, stack)


async def move(origin: str, to: str, report: Report = silent) -> dict[str, TableSum]:
    async with source(origin, unused=True) as opened, target(to) as written:
        return await copy(opened, written, report)


@pytest.mark.parametrize(("origin", "to"), PAIRS)
async def test_every_row_of_every_table_arrives_as_it_was(made: Databases, origin: str, to: str) -> None:
    old, new = made.make(origin, "old"), made.make(to, "new")
    await fill(old)

    sums = await move(old, new)

    assert await contents(new) == await contents(old)
    assert {name: one.rows for name, one in sums.items()} == dict.fromkeys(COLUMNS, ROWS)


@pytest.mark.parametrize(("origin", "to"), PAIRS)
async def test_the_opening_tally_of_a_fresh_database_gives_way_to_what_is_copied(
    made: Databases, origin: str, to: str
) -> None:
    old, new = made.make(origin, "old"), made.make(to, "new")
    before = await contents(old)
    assert len(before["delivery_tallies"]) == 1

    await move(old, new)

    assert await contents(new) == before


async def test_more_rows_than_a_batch_are_told_of_as_they_pass(made: Databases) -> None:
    old, new = made.make("sqlite", "old"), made.make(databases.engines()[-1], "new")
    await fill(old, 600)
    told: list[tuple[str, str, int]] = []

    async with source(old, unused=True) as opened, target(new) as written:
        rows = await rows_of(opened)
        await copy(opened, written, lambda *one: told.append(one))

    assert {count for _, _, count in told} == {250, 100}
    assert sum(count for _, _, count in told) == 2 * sum(rows.values())


@pytest.mark.parametrize("engine", databases.engines())
async def test_a_target_that_holds_something_is_refused_and_its_table_named(
    made: Databases, engine: str
) -> None:
    old, new = made.make("sqlite", "old"), made.make(engine, "new")
    await fill(new)
    before = await contents(new)

    with pytest.raises(DatabaseError, match=r"not empty: \w+ has rows"):
        await move(old, new)

    assert await contents(new) == before


@pytest.mark.parametrize("engine", databases.engines())
async def test_what_one_row_prevents_leaves_the_target_empty(made: Databases, engine: str) -> None:
    """SQLite takes any value in any column, and text with NUL; a target that does not says in which table it was."""
    old, new = made.make("sqlite", "old"), made.make(engine, "new")
    await fill(old)
    with closing(sqlite3.connect(sqlite_path(old), isolation_level=None)) as broken:
        broken.execute("UPDATE messages SET bucket_id = 'nobody'")
    before = await contents(new)

    with pytest.raises(DatabaseError, match=r"messages|refers to"):
        await move(old, new)

    assert await contents(new) == before


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="SQLite takes any value in any column")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "'secret' || char(0)"),
        ("head", "'secret'"),
        ("public_key", "'secret'"),
        ("suite", str(2**40)),
    ],
)
async def test_a_value_that_postgresql_cannot_hold_is_refused_by_its_tables_name(
    made: Databases, column: str, value: str
) -> None:
    old, new = made.make("sqlite", "old"), made.make("postgresql", "new")
    await fill(old)
    with closing(sqlite3.connect(sqlite_path(old), isolation_level=None)) as broken:
        broken.execute(f"UPDATE devices SET {column} = {value}")  # noqa: S608 - of this test

    with pytest.raises(DatabaseError, match="devices: ") as refused:
        await move(old, new)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("engine", databases.engines())
async def test_a_source_that_a_server_has_open_is_refused(made: Databases, engine: str) -> None:
    old, new = made.make(engine, "old"), made.make("sqlite", "new")
    server = await open_database(old)
    try:
        with pytest.raises(DatabaseError, match="in use"):
            await move(old, new)
    finally:
        await server.close()
    await move(old, new)


@pytest.mark.parametrize("engine", databases.engines())
async def test_a_target_that_a_server_has_open_is_refused(made: Databases, engine: str) -> None:
    old, new = made.make("sqlite", "old"), made.make(engine, "new")
    server = await open_database(new)
    try:
        with pytest.raises(DatabaseError, match="in use"):
            await move(old, new)
    finally:
        await server.close()


async def test_nobody_writes_to_postgresql_while_it_is_copied_from(made: Databases) -> None:
    if "postgresql" not in databases.engines():
        return
    old = made.make("postgresql", "old")
    async with source(old, unused=True) as opened:
        await rows_of(opened)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await _insert_tenant(old, lock_timeout="100")
    await _insert_tenant(old, lock_timeout="100")


async def _insert_tenant(url: str, *, lock_timeout: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"lock_timeout": lock_timeout})
    try:
        await connection.execute("INSERT INTO tenants (id, name, created_at) VALUES ('a', 'a', 1)")
    finally:
        await connection.close()


async def test_a_source_of_another_revision_is_refused_with_what_to_do(made: Databases) -> None:
    old = made.make("sqlite", "old")
    with closing(sqlite3.connect(sqlite_path(old), isolation_level=None)) as older:
        older.execute("UPDATE alembic_version SET version_num = '0001'")
    async with source(old, unused=True) as opened:
        with pytest.raises(
            DatabaseError, match=f"revision 0001, this program at {newest()}; run: hushpost db"
        ):
            await require_newest(opened)


async def test_a_source_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(DatabaseError, match="no such database"):
        await move(url, url)
    assert not sqlite_path(url).exists()
    assert await revision_of(url) is None


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="about a lost connection")
async def test_a_target_that_goes_away_half_way_holds_nothing(made: Databases) -> None:
    old, new = made.make("sqlite", "old"), made.make("postgresql", "new")
    await fill(old, 300)
    ended: list[str] = []

    def pull_the_plug(_doing: str, table: str, _rows: int) -> None:
        if table == "deliveries" and not ended:
            ended.append(table)
            databases.in_thread(lambda: asyncio.run(_end_copies(new)))

    with pytest.raises(DatabaseError):
        await move(old, new, pull_the_plug)

    assert ended
    assert {name: len(rows) for name, rows in (await contents(new)).items() if rows} == {
        "delivery_tallies": 1
    }


async def _end_copies(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'hushpost copy'"
        )
    finally:
        await connection.close()


def test_a_sum_knows_what_was_changed_lost_or_doubled_but_not_in_which_order() -> None:
    def summed(*rows: tuple[object, ...]) -> TableSum:
        sums = Summing()
        sums.add(rows)
        return sums.result

    a, b = ("a", 1, None, b"x"), ("b", 2, "", b"")
    assert summed(a, b) == summed(b, a)
    assert len({summed(a, b), summed(a), summed(a, a, b), summed(a, ("b", 2, None, b"")), summed()}) == 5
