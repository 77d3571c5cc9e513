"""Both engines keep the same promises to the jobs that run on them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from server.domain.ports import (
    Database,
    DatabaseError,
    DatabaseUnavailable,
    NotUnique,
    ReferenceMissing,
    Transaction,
)

_ADD = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)"


async def add(tx: Transaction, name: str) -> None:
    await tx.run(_ADD, name, name, 1)


def adding(name: str) -> Callable[[Transaction], Awaitable[None]]:
    return lambda tx: add(tx, name)


async def names(tx: Transaction) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM tenants ORDER BY name")]


async def test_a_job_returns_its_value_after_the_commit_and_reads_see_it(database: Database) -> None:
    async def job(tx: Transaction) -> int:
        await add(tx, "a")
        return 7

    assert await database.write(job) == 7
    assert await database.read(names) == ["a"]


async def test_rows_are_read_by_name_and_none_is_none(database: Database) -> None:
    async def job(tx: Transaction) -> None:
        assert await tx.one("SELECT name FROM tenants WHERE id = $1", "a") is None
        assert await tx.run(_ADD, "a", "the name", 5) == 1
        row = await tx.one("SELECT name AS called, created_at FROM tenants WHERE id = $1", "a")
        assert row is not None
        assert (row["called"], row["created_at"]) == ("the name", 5)
        assert list(row.keys()) == ["called", "created_at"]
        with pytest.raises((KeyError, IndexError)):
            row["other"]

    await database.write(job)


async def test_run_counts_rows_and_parameters_may_be_used_twice(database: Database) -> None:
    async def job(tx: Transaction) -> None:
        await tx.many(_ADD, [(str(i), str(i), i) for i in range(12)])
        sql = "UPDATE tenants SET created_at = $1 WHERE created_at > $2 AND created_at > $2 - 1"
        assert await tx.run(sql, 99, 9) == 2
        with_ = "WITH a AS (SELECT 1 AS one) UPDATE tenants SET name = id WHERE created_at = $1"
        assert [await tx.run(with_, 99), await tx.run(with_, 98)] == [2, 0]
        assert await tx.run("DELETE FROM tenants WHERE id = $1", "nobody") == 0
        assert await tx.run("CREATE INDEX ix_passing ON tenants (created_at)") == 0
        await tx.run("DROP INDEX ix_passing")
        row = await tx.one("SELECT COUNT(*) AS n FROM tenants WHERE created_at = $1", 99)
        assert row is not None
        assert row["n"] == 2

    await database.write(job)


async def test_a_job_that_raises_leaves_nothing_and_its_neighbours_stay(database: Database) -> None:
    async def fails(tx: Transaction) -> None:
        await add(tx, "lost")
        raise ValueError("enough")

    jobs = [database.write(adding(f"kept-{i}")) for i in range(5)]
    jobs[2:2] = [database.write(fails)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [ValueError]
    assert await database.read(names) == [f"kept-{i}" for i in range(5)]


async def test_a_job_that_hides_a_failed_statement_is_not_committed(database: Database) -> None:
    async def job(tx: Transaction) -> str:
        await add(tx, "a")
        try:
            await add(tx, "a")
        except NotUnique:
            return "no matter"
        return "unreachable"

    with pytest.raises(NotUnique):
        await database.write(job)
    assert await database.read(names) == []


async def test_nothing_follows_a_failed_statement_in_its_job(database: Database) -> None:
    async def job(tx: Transaction) -> None:
        with pytest.raises(NotUnique) as first:
            await tx.many(_ADD, [("a", "a", 1), ("a", "a", 1)])
        with pytest.raises(NotUnique) as second:
            await names(tx)
        assert first.value is second.value

    with pytest.raises(NotUnique):
        await database.write(job)


async def test_a_missing_reference_and_a_taken_key_are_told_apart(database: Database) -> None:
    async def orphan(tx: Transaction) -> None:
        sql = "INSERT INTO pairing_codes (hash, user_id, created_at, expires_at) VALUES ($1, $2, 1, 1)"
        await tx.run(sql, b"hash", "nobody")

    with pytest.raises(ReferenceMissing):
        await database.write(orphan)
    await database.write(adding("a"))
    with pytest.raises(NotUnique) as taken:
        await database.write(adding("a"))
    assert "tenants" in taken.value.constraint


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        (_ADD, ["canary", "canary", 1]),
        (_ADD, ["canary", "z", 1 << 70]),
        ("SELECT nothing FROM nowhere WHERE name = $1", ["canary"]),
        (
            "INSERT INTO pairing_codes (hash, user_id, created_at, expires_at) VALUES ($1, $2, 1, 1)",
            [b"", "canary"],
        ),
    ],
)
async def test_errors_do_not_quote_what_was_written(database: Database, sql: str, args: list[object]) -> None:
    await database.write(adding("canary"))
    with pytest.raises(DatabaseError) as refused:
        await database.write(lambda tx: tx.run(sql, *args))
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_read_cannot_write_and_sees_one_snapshot(database: Database) -> None:
    with pytest.raises(DatabaseError):
        await database.read(adding("a"))
    assert await database.read(names) == []


async def test_four_hundred_writes_at_once_are_all_there(database: Database) -> None:
    await asyncio.gather(*(database.write(adding(f"{i:04}")) for i in range(400)))
    assert await database.read(names) == [f"{i:04}" for i in range(400)]


async def test_concurrent_increments_are_not_lost(database: Database) -> None:
    await database.write(adding("a"))

    async def increment(tx: Transaction) -> int:
        row = await tx.one(
            "UPDATE tenants SET created_at = created_at + 1 WHERE id = 'a' RETURNING created_at"
        )
        assert row is not None
        return int(row["created_at"])

    seen = await asyncio.gather(*(database.write(increment) for _ in range(50)))
    assert sorted(seen) == list(range(2, 52))


async def test_closing_finishes_what_was_asked_for_and_refuses_the_rest(database: Database) -> None:
    asked = [asyncio.ensure_future(database.write(adding(str(i)))) for i in range(20)]
    while not all(task.done() for task in asked):
        await asyncio.wait(asked)
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.write(adding("late"))
    await database.close()


async def test_a_caller_that_went_away_disturbs_nobody(database: Database) -> None:
    gone = asyncio.ensure_future(database.write(adding("gone")))
    stays = asyncio.ensure_future(database.write(adding("stays")))
    await asyncio.wait([gone, stays], timeout=0)
    gone.cancel()
    await stays
    assert "stays" in await database.read(names)
