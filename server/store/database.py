"""Opens the database that a URL names. Bring its tables up to date first: `server.store.migrations.migrate`."""

import asyncio
import sqlite3

from server.domain.ports import Database, DatabaseError
from server.store.postgres import CONNECTIONS, open_postgres
from server.store.postgres import SCHEMES as POSTGRES
from server.store.sqlite import SqliteDatabase
from server.store.sqlite_file import SCHEME as SQLITE
from server.store.sqlite_file import SqliteFile, sqlite_path


async def open_database(url: str, *, connections: int = CONNECTIONS) -> Database:
    """Open `sqlite:///path` (for this process alone) or `postgresql://…`; close it when done."""
    if url.startswith(SQLITE):
        return _open_sqlite(SqliteFile(sqlite_path(url)))
    if url.startswith(POSTGRES):
        return await open_postgres(url, connections=connections)
    raise DatabaseError(unknown_scheme(url))


def unknown_scheme(url: str) -> str:
    """Say what a database URL looks like, without showing one that may hold a password."""
    return (
        f'a database URL begins with {SQLITE} or {POSTGRES[0]}, this one with "{url.partition(":")[0][:20]}"'
    )


def _open_sqlite(file: SqliteFile) -> SqliteDatabase:
    try:
        return SqliteDatabase(file, asyncio.get_running_loop())
    except sqlite3.Error as error:
        file.release()
        raise DatabaseError(f"{file.path} cannot be opened: {error}") from None
