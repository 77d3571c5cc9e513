"""Copies every table of one database into another, whatever the engines, and checks what arrived.

All rows are read from one snapshot and written in one transaction, a batch at a time. What was written is then read back in that
same transaction, and committed only if every table has as many rows and the same sum (`copy_sums`) as what was read.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

from server.domain.ports import DatabaseError
from server.store.copy_ends import Batches, Source, Target
from server.store.copy_postgres import postgres_source, postgres_target
from server.store.copy_sqlite import sqlite_source, sqlite_target
from server.store.copy_sums import Summing, TableSum
from server.store.database import unknown_scheme
from server.store.migrations import newest
from server.store.postgres import SCHEMES as POSTGRES
from server.store.schema import metadata
from server.store.sqlite_file import SCHEME as SQLITE
from server.store.sqlite_file import sqlite_path

Report = Callable[[str, str, int], None]
"""Told of each batch: what is being done ("copying", "checking"), with which table, to how many rows."""

COLUMNS: Mapping[str, list[str]] = {  # what is referred to comes before what refers to it
    table.name: sorted(table.columns.keys()) for table in metadata.sorted_tables
}
_OPENING = {
    "delivery_tallies": "created = 0 AND waiting = 0"
}  # rows that a migration wrote into empty tables


def source(url: str, *, unused: bool) -> AbstractAsyncContextManager[Source]:
    """Open what is to be read. `unused`: refuse one that a server has open, and keep servers out until the end."""
    if url.startswith(SQLITE):
        return sqlite_source(sqlite_path(url), unused=unused)
    if url.startswith(POSTGRES):
        return postgres_source(url, unused=unused)
    raise DatabaseError(unknown_scheme(url))


def target(url: str) -> AbstractAsyncContextManager[Target]:
    """Open what is to be written: migrated, used by nobody. Leaving it commits, an exception rolls back."""
    if url.startswith(SQLITE):
        return sqlite_target(sqlite_path(url))
    if url.startswith(POSTGRES):
        return postgres_target(url)
    raise DatabaseError(unknown_scheme(url))


async def revision_of(url: str) -> str | None:
    """Return the revision of a database's tables, None where it has none or is not there yet."""
    if url.startswith(SQLITE) and not sqlite_path(url).is_file():
        return None
    async with source(url, unused=False) as opened:
        return await opened.revision()


async def rows_of(source: Source) -> dict[str, int]:
    """Count the rows of every table."""
    return {table: await source.count(table) for table in COLUMNS}


async def require_newest(source: Source) -> None:
    """Refuse tables of another revision than this program's."""
    revision = await source.revision()
    if revision is None:
        raise DatabaseError("the database to be read has none of Hushpost's tables; is it the right one?")
    if revision != newest():
        raise DatabaseError(
            f"the database to be read is at revision {revision}, this program at {newest()};"
            " run: hushpost db migrate"
        )


async def require_empty(target: Target) -> None:
    """Refuse a target that already holds something, and name it."""
    for table in COLUMNS:
        if await target.holds(table, f"NOT ({_OPENING.get(table, '1 = 0')})"):
            raise DatabaseError(
                f"the database to be written is not empty: {table} has rows; name an empty one"
            )


async def copy(source: Source, target: Target, report: Report) -> dict[str, TableSum]:
    """Copy and check everything; what each table holds. Nothing is kept of it where this raises."""
    await require_newest(source)
    await require_empty(target)
    for table in _OPENING:
        await target.run(f"DELETE FROM {table}")
    sums = {}
    for table, columns in COLUMNS.items():
        read = Summing()
        batches = _watched(source.batches(table, columns), read, partial(report, "copying", table))
        await target.write(table, columns, batches)
        sums[table] = read.result
    for table, read_sum in sums.items():
        await _check(target, table, read_sum, report)
    await target.finish()
    return sums


async def _check(target: Target, table: str, expected: TableSum, report: Report) -> None:
    written = Summing()
    batches = _watched(target.batches(table, COLUMNS[table]), written, partial(report, "checking", table))
    async for _ in batches:
        pass
    if written.result != expected:
        raise DatabaseError(
            f"{table}: {expected.rows} rows were read and {written.rows} written, or not the same ones; nothing was kept"
        )


async def _watched(batches: Batches, sums: Summing, report: Callable[[int], None]) -> Batches:
    async for batch in batches:
        sums.add(batch)
        yield batch
        report(len(batch))
