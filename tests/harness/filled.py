"""A database with rows in every table, made from the metadata, so that a new table or column is never left out."""

import itertools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table

from server.domain.ports import Row, Transaction
from server.store.database import open_database
from server.store.schema import metadata

TABLES = metadata.sorted_tables
ROWS = 7


async def fill(url: str, rows: int = ROWS) -> None:
    """Write `rows` rows into each table of a migrated, empty database."""
    db = await open_database(url)

    async def job(tx: Transaction) -> None:
        for table in TABLES:
            await tx.run(f"DELETE FROM {table.name}")  # noqa: S608 - what a migration put there
        for table in TABLES:
            await tx.many(_insert(table), [_row(table, number) for number in range(rows)])

    try:
        await db.write(job)
    finally:
        await db.close()


async def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, in an order that does not depend on the engine."""
    db = await open_database(url)

    async def job(tx: Transaction) -> dict[str, list[dict[str, Any]]]:
        return {
            table.name: _ordered(await tx.all(f"SELECT * FROM {table.name}"))  # noqa: S608 - our names
            for table in TABLES
        }

    try:
        return await db.read(job)
    finally:
        await db.close()


def _ordered(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return sorted(({name: row[name] for name in sorted(row.keys())} for row in rows), key=repr)


def _insert(table: Table) -> str:
    columns = [column.name for column in table.columns]
    holes = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({holes})"  # noqa: S608 - our names


def _row(table: Table, number: int) -> list[object]:
    odd = itertools.count(number)
    return [_value(column, number, null=next(odd) % 3 == 0) for column in table.columns]


def _value(column: Column[Any], number: int, *, null: bool) -> object:
    if column.nullable and null:
        return None
    for key in column.foreign_keys:
        return _value(key.column, number, null=False)
    if isinstance(column.type, BigInteger):
        return 2**53 + number
    if isinstance(column.type, Integer):
        return number
    if isinstance(column.type, LargeBinary):
        return number.to_bytes(4, "big") + b"\xff\x00"
    return f"{column.name} {number} ✓ 'ä' \\N\t\n"
