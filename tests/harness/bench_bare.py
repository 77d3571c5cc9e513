"""The same rows as one message writes, written by a bare loop: what the database itself can do on this machine.

The rows are those of a message that a server has stored, taken from its tables, each time with ids of their own. The
server is stopped meanwhile; tables, indexes and references are its own.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from server.domain.ids import new_id
from server.store.database import open_database
from server.store.schema import metadata

Row = dict[str, Any]
OF_A_MESSAGE = ("inbox_items", "deliveries")
"""Tables whose rows name the message; beside them `messages` itself, and one line of the tallies where there are any."""

TALLIES = "delivery_tallies"


@dataclass(frozen=True)
class Model:
    """One message's rows by table, in an order in which they can be written."""

    rows: Sequence[tuple[str, Row]]

    def statements(self, placeholder: str) -> list[str]:
        """`placeholder`: "?" or "$"."""
        return [_insert(table, list(row), placeholder) for table, row in self.rows]

    def copies(self, count: int) -> list[list[tuple[Any, ...]]]:
        """The values of as many messages."""
        return [self._copy() for _ in range(count)]

    def _copy(self) -> list[tuple[Any, ...]]:
        now = time.time_ns() // 1_000_000
        fresh = {row["id"]: new_id(now, secrets.token_bytes) for _, row in self.rows if "id" in row}
        return [tuple(_renewed(value, fresh) for value in row.values()) for _, row in self.rows]


async def model_of(database_url: str, message_id: str) -> Model:
    """Read the rows of a message; no server may be using an SQLite file."""
    database = await open_database(database_url)

    async def read(tx: Any) -> list[tuple[str, Row]]:
        found = [("messages", await tx.all("SELECT * FROM messages WHERE id = $1", message_id))]
        for table in OF_A_MESSAGE:
            sql = f"SELECT * FROM {table} WHERE message_id = $1"  # noqa: S608 - our names
            found.append((table, await tx.all(sql, message_id)))
        if TALLIES in metadata.tables:
            found.append((TALLIES, await tx.all(f"SELECT * FROM {TALLIES} LIMIT 1")))  # noqa: S608 - ours
        return [(table, dict(row)) for table, rows in found for row in rows]

    try:
        return Model(await database.read(read))
    finally:
        await database.close()


def sqlite_loop(file: Path, model: Model, *, messages: int, group: int) -> float:
    """Write messages, `group` in one transaction, in one thread; messages a second."""
    statements, copies = model.statements("?"), model.copies(messages)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        began = time.perf_counter()
        for start in range(0, messages, group):
            connection.execute("BEGIN IMMEDIATE")
            for copy in copies[start : start + group]:
                for sql, values in zip(statements, copy, strict=True):
                    connection.execute(sql, values)
            connection.execute("COMMIT")
        return messages / (time.perf_counter() - began)


async def postgres_loop(url: str, model: Model, *, messages: int, connections: int) -> float:
    """Write messages, each in a transaction of its own, over some connections; messages a second."""
    statements, todo = model.statements("$"), iter(model.copies(messages))
    pool = await asyncpg.create_pool(url, min_size=connections, max_size=connections)

    async def writer() -> None:
        async with pool.acquire() as connection:
            for copy in todo:
                async with connection.transaction():
                    for sql, values in zip(statements, copy, strict=True):
                        await connection.execute(sql, *values)

    try:
        began = time.perf_counter()
        await asyncio.gather(*(writer() for _ in range(connections)))
        return messages / (time.perf_counter() - began)
    finally:
        await pool.close()


def _insert(table: str, columns: Sequence[str], placeholder: str) -> str:
    marks = ["?" if placeholder == "?" else f"${number}" for number in range(1, len(columns) + 1)]
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(marks)})"  # noqa: S608 - our names


def _renewed(value: Any, fresh: dict[str, str]) -> Any:
    return fresh.get(value, value) if isinstance(value, str) else value
