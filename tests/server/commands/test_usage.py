"""When tokens were used and devices seen."""

import pytest

from server.commands.usage import Usage
from server.domain.ports import Database, DatabaseError, Transaction


async def _rows(db: Database) -> list[int | None]:
    rows = await db.read(lambda tx: tx.all("SELECT last_used_at FROM access_tokens ORDER BY id"))
    return [row["last_used_at"] for row in rows]


async def _prepare(tx: Transaction) -> None:
    await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ('t', 'default', 1)")
    await tx.run(
        "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ('u', 't', 'user', '{}', 1)"
    )
    for name in ("a", "b"):
        await tx.run(
            "INSERT INTO access_tokens (id, user_id, name, hash, scopes, created_at)"
            " VALUES ($1, 'u', 'x', $2, '[]', 1)",
            name,
            name.encode(),
        )


async def test_what_was_noted_is_written_once_and_never_back_in_time(database: Database) -> None:
    """The newest use counts, in whatever order it is written."""
    await database.write(_prepare)
    usage, late = Usage(), Usage()
    usage.note_token("a", 5)
    usage.note_token("a", 9)
    usage.note_device("no such device", 9)
    late.note_token("a", 7)
    await usage.write(database)
    await late.write(database)
    await usage.write(database)
    assert await _rows(database) == [9, None]


async def test_what_could_not_be_written_is_kept(database: Database) -> None:
    """For the next time; nothing is raised away."""
    await database.write(_prepare)
    usage = Usage()
    usage.note_token("b", 5)
    await database.write(lambda tx: tx.run("ALTER TABLE access_tokens RENAME TO away"))
    with pytest.raises(DatabaseError):
        await usage.write(database)
    await database.write(lambda tx: tx.run("ALTER TABLE away RENAME TO access_tokens"))
    await usage.write(database)
    assert await _rows(database) == [None, 5]
