"""Migrations lead to what the metadata says, on both engines, once, whoever starts first."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.domain.activity import Filter
from server.domain.ports import DatabaseError, Row, Transaction
from server.domain.tally import Audit
from server.store.activity import list_activity
from server.store.database import open_database
from server.store.migrations import migrate, newest
from server.store.migrations.upgrade import alembic_config
from server.store.schema import metadata
from server.store.tallies import audit
from tests.harness import databases
from tests.harness.old_tables import STATES, fill_at_0001, migrate_to
from tests.harness.seeding_old import Old, fill_old

NOW = 1_900_000_000_000
EVERYTHING = Filter((), (), None, None)


@pytest.fixture(params=databases.engines())
def empty_url(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
    else:
        with databases.postgres_database(migrated=False) as url:
            yield url


async def differences(url: str) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    if url.startswith("sqlite"):
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return compare(connection)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connecting(url), poolclass=NullPool)
    async with engine.connect() as connection_:
        return await connection_.run_sync(compare)


def connecting(url: str) -> Callable[[], Awaitable[Any]]:
    async def connect() -> Any:
        return await asyncpg.connect(url)

    return connect


async def run(url: str, sql: str) -> None:
    database = await open_database(url)

    async def job(tx: Transaction) -> None:
        await tx.run(sql)

    await database.write(job)
    await database.close()


async def test_the_migrated_tables_are_those_of_the_metadata(empty_url: str) -> None:
    await asyncio.to_thread(migrate, empty_url)
    assert await differences(empty_url) == []


async def test_migrating_again_keeps_what_is_there(empty_url: str) -> None:
    await asyncio.to_thread(migrate, empty_url)
    await run(empty_url, "INSERT INTO tenants (id, name, created_at) VALUES ('a', 'a', 1)")
    await asyncio.to_thread(migrate, empty_url)
    database = await open_database(empty_url)
    rows = await database.read(lambda tx: tx.all("SELECT id FROM tenants"))
    assert [row["id"] for row in rows] == ["a"]
    await database.close()


async def test_a_newer_database_is_refused_with_what_to_do(empty_url: str) -> None:
    await asyncio.to_thread(migrate, empty_url)
    await run(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer than this program"):
        await asyncio.to_thread(migrate, empty_url)


async def test_processes_that_start_together_do_it_once(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):  # the file's lock sends the second away; it has nothing to wait for
        await asyncio.to_thread(migrate, empty_url)
    else:
        await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(4)))
    assert await differences(empty_url) == []


def test_a_postgresql_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseError, match="cannot be reached") as refused:
        migrate("postgresql://hushpost:canary@127.0.0.1:1/none")
    assert "canary" not in str(refused.value)


def test_the_numbering_of_the_files_names_alembics_newest_revision() -> None:
    assert newest() == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_a_database_that_is_up_to_date_loads_no_alembic(sqlite_url: str) -> None:
    look = "import sys; from server.store.migrations import migrate; migrate(sys.argv[1]); print('alembic' in sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", look, sqlite_url], check=True, capture_output=True, text=True
    )

    assert printed.stdout.strip() == "False"


async def test_messages_and_deliveries_of_the_first_revision_are_carried_on(empty_url: str) -> None:
    fill_at_0001(empty_url)
    await asyncio.to_thread(migrate, empty_url)

    database = await open_database(empty_url)
    deliveries, messages, devices, items, book = await database.read(carried)
    await database.close()

    assert {row["state"]: row["turn"] - row["due_at"] for row in deliveries} == dict.fromkeys(STATES, 0)
    assert {row["id"]: (row["lease"], row["due_at"], row["sequence"]) for row in deliveries} == {
        f"delivery {state}": ("l" if state == "leased" else None, 1000 + number, number)
        for number, state in enumerate(STATES, start=1)
    }
    assert {(row["sealed_at"], row["relayed_at"]) for row in deliveries} == {(None, None)}
    assert {
        row["id"]: (row["notifications"], row["scheduled_at"], row["sent_at"], row["content"])
        for row in messages
    } == {"to two": (2, None, 1000, "{}"), "to nobody": (0, None, 2000, None)}
    assert [(row["id"], row["head"]) for row in devices] == [("d", 8)]
    assert len(items) == 2
    assert (book.holds, book.book.created, book.book.waiting) == (True, 8, 2)
    assert await differences(empty_url) == []


async def carried(
    tx: Transaction,
) -> tuple[Sequence[Row], Sequence[Row], Sequence[Row], Sequence[Row], Audit]:
    return (
        await tx.all("SELECT * FROM deliveries"),
        await tx.all("SELECT * FROM messages"),
        await tx.all("SELECT * FROM devices"),
        await tx.all("SELECT * FROM inbox_items"),
        await audit(tx),
    )


async def test_what_the_second_revision_left_is_shown_in_inboxes_and_activity(empty_url: str) -> None:
    await asyncio.to_thread(migrate_to, empty_url, "0002")
    await fill_old(empty_url, NOW, Old(users=3, messages=60))
    await asyncio.to_thread(migrate, empty_url)

    database = await open_database(empty_url)
    deliveries, messages, _, items, book = await database.read(carried)
    page = await database.read(
        lambda tx: list_activity(tx, messages[0]["tenant_id"], EVERYTHING, before=None, skip=0, limit=500)
    )
    await database.close()

    shown = [row for row in deliveries if row["frame_id"] == row["message_id"]]
    followed = [row for row in deliveries if row not in shown]
    assert shown
    assert followed
    assert {(row["tenant_id"], row["category"]) for row in shown} == {
        (messages[0]["tenant_id"], "TRANSACTIONAL")
    }
    assert {(row["tenant_id"], row["category"]) for row in followed} == {(None, None)}
    assert {entry.id for entry in page} == {row["id"] for row in shown}
    assert {row["read_at"] is None for row in items} == {True, False}
    assert all(row["seen_at"] == row["read_at"] for row in items)
    assert {row["delivery_type"]: row["channels"] for row in messages} == {
        "NORMAL": '["IN_APP", "PUSH"]',
        "CRITICAL": '["IN_APP", "PUSH"]',
        "SILENT": '["IN_APP", "PUSH"]',
        "NO_PUSH": '["IN_APP"]',
    }
    assert book.holds
    assert await differences(empty_url) == []


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL here")
async def test_postgresql_uses_every_index_at_once_whoever_still_reads() -> None:
    """It passes over an index that was made over rows updated by the same transaction while an older one lasts, of any database."""
    with databases.postgres_database(migrated=False) as url:
        await asyncio.to_thread(migrate_to, url, "0002")
        await fill_old(url, NOW, Old(users=3, messages=600))
        await asyncio.to_thread(migrate, url)
        database = await open_database(url)
        late = await database.read(
            lambda tx: tx.all("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indcheckxmin")
        )
        known = await database.read(
            lambda tx: tx.all(
                "SELECT relname, relallvisible, reltuples FROM pg_class WHERE relname IN ('deliveries', 'opt_outs')"
            )
        )
        await database.close()

    assert [row["name"] for row in late] == []
    known_of = {row["relname"]: (row["relallvisible"] > 0, row["reltuples"]) for row in known}
    assert known_of == {"deliveries": (True, 1200), "opt_outs": (False, -1)}
