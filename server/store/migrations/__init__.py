"""Brings the tables of a database up to date, on both engines, from revisions that Alembic generated.

It runs at the start of a process, before the database is opened. Alembic and SQLAlchemy take longer to load than all the
rest of the server, so a look at the revision that the database is at comes first, and they are loaded only where something is to be done
(`upgrade`).

A new revision: change `server/store/schema`, then `python -m server.store.migrations "what changes"`, read the
file that appears in `versions/`, and edit it.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg

from server.domain.ports import DatabaseError
from server.store.database import unknown_scheme
from server.store.postgres import SCHEMES as POSTGRES
from server.store.sqlite import connect
from server.store.sqlite_file import SCHEME as SQLITE
from server.store.sqlite_file import sqlite_path

CONNECT_SECONDS = 10
_REVISION = "SELECT version_num FROM alembic_version"


def migrate(url: str) -> None:
    """Create or update the tables. Blocks, and runs a loop of its own: call it in a thread or before yours."""
    if url.startswith(SQLITE):
        _migrate_sqlite(url)
    elif url.startswith(POSTGRES):
        asyncio.run(_migrate_postgres(url))
    else:
        raise DatabaseError(unknown_scheme(url))


def newest() -> str:
    """Return the revision that this program's tables are at: its files are numbered."""
    return max(path.name[:4] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


def _migrate_sqlite(url: str) -> None:
    if _sqlite_revision(sqlite_path(url)) != newest():
        from server.store.migrations.upgrade import upgrade_sqlite  # noqa: PLC0415 - see above

        upgrade_sqlite(url)


def _sqlite_revision(path: Path) -> str | None:
    """Return None where the file or the table is not there or cannot be read; why, the upgrade will say."""
    try:
        with closing(connect(path, read_only=True)) as connection:
            return str(connection.execute(_REVISION).fetchone()[0])
    except (sqlite3.Error, TypeError):
        return None


async def _migrate_postgres(url: str) -> None:
    if await _postgres_revision(url) != newest():
        from server.store.migrations.upgrade import upgrade_postgres  # noqa: PLC0415 - see above

        await upgrade_postgres(url)


async def _postgres_revision(url: str) -> str | None:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    try:
        return str(await connection.fetchval(_REVISION))
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
