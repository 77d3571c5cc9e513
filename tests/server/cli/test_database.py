"""`hushpost db`: migrating on demand, and moving everything to another database."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from server.cli.database import shown
from server.store.migrations import migrate, newest
from server.store.sqlite_file import SqliteFile
from tests.harness import databases
from tests.harness.filled import ROWS, TABLES, contents, fill
from tests.harness.hushpost import environment, hushpost
from tests.harness.machine import Machine

PASSWORD = "hunter2"


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """The URL of a SQLite database with rows in every table, where the settings' defaults look for it."""
    url = f"sqlite:///{tmp_path}/data/hushpost.db"
    migrate(url)
    asyncio.run(fill(url))
    return url


@pytest.fixture(params=databases.engines())
def to(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/new.db"
    else:
        with databases.postgres_database(migrated=False) as url:
            parts = urlsplit(url)
            yield urlunsplit(
                parts._replace(netloc=f"{parts.username}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}")
            )


def test_migrate_says_from_where_to_where(tmp_path: Path) -> None:
    first = hushpost("db", "migrate", folder=tmp_path)
    again = hushpost("db", "migrate", folder=tmp_path)

    assert (first.code, again.code) == (0, 0)
    assert (
        first.out == f"sqlite:///{tmp_path}/data/hushpost.db: migrated from nothing to revision {newest()}\n"
    )
    assert again.out.endswith(f"nothing to do, its tables are at revision {newest()}\n")


def test_migrate_looks_where_it_is_told(tmp_path: Path) -> None:
    assert hushpost("db", "migrate", "--data", "there", folder=tmp_path).code == 0
    assert (tmp_path / "there/hushpost.db").exists()


def test_migrate_refuses_a_newer_database_with_what_to_do(filled: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"), isolation_level=None)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    done = hushpost("db", "migrate", folder=tmp_path)
    assert done.code == 1
    assert done.err.startswith("hushpost: database.url: the database is newer than this program")


def test_a_copy_has_everything_and_says_how_to_go_on(filled: str, to: str, tmp_path: Path) -> None:
    done = hushpost("db", "copy", "--to", to, folder=tmp_path)

    assert done.code == 0, done.err
    assert asyncio.run(contents(to)) == asyncio.run(contents(filled))
    assert done.out.splitlines() == [f"{table.name}: {ROWS} rows, the same on both sides" for table in TABLES]
    assert '[database]\n  url = "' in done.err
    assert PASSWORD not in done.out + done.err


def test_a_copy_can_be_made_of_another_database_than_the_configured_one(
    filled: str, to: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = hushpost("db", "copy", "--from", filled, "--to", to, folder=elsewhere)
    assert done.code == 0, done.err
    assert list(elsewhere.iterdir()) == []


def test_a_second_copy_into_the_same_database_is_refused(filled: str, to: str, tmp_path: Path) -> None:
    assert hushpost("db", "copy", "--to", to, folder=tmp_path).code == 0
    done = hushpost("db", "copy", "--to", to, folder=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "is not empty" in done.err
    assert asyncio.run(contents(to)) == asyncio.run(contents(filled))


def test_a_database_that_a_server_has_open_is_not_copied(filled: str, tmp_path: Path) -> None:
    with SqliteFile(Path(filled.removeprefix("sqlite:///"))):
        done = hushpost("db", "copy", "--to", f"sqlite:///{tmp_path}/new.db", folder=tmp_path)
    assert done.code == 1
    assert "is in use by another process" in done.err
    assert not (tmp_path / "new.db").exists()


def test_a_database_is_not_copied_into_itself(filled: str, tmp_path: Path) -> None:
    done = hushpost("db", "copy", "--to", filled, folder=tmp_path)
    assert (done.code, done.err.partition(";")[0]) == (
        2,
        "hushpost: --to: is the database that is copied from",
    )


def test_an_address_that_would_be_misread_is_refused_and_not_repeated(filled: str, tmp_path: Path) -> None:
    url = "postgresql://ada:hun#ter2@127.0.0.1:9/none"
    done = hushpost("db", "copy", "--from", filled, "--to", url, folder=tmp_path)
    assert done.code == 2
    assert done.err.startswith("hushpost: --to: is not of the right form; write ")
    assert "ter2" not in done.err


@pytest.mark.parametrize("url", ["postgresql://ada:hunter2@127.0.0.1:9/none", "mysql://ada:hunter2@db/none"])
def test_a_target_that_cannot_be_reached_is_named_without_its_password(
    filled: str, tmp_path: Path, url: str
) -> None:
    done = hushpost("db", "copy", "--from", filled, "--to", url, folder=tmp_path)
    assert done.code == 1
    assert done.err.startswith("hushpost: --to: ")
    assert "hunter2" not in done.err


@pytest.mark.parametrize(
    ("url", "without"),
    [
        ("postgresql://u:canary@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:canary%40@h/db?sslmode=require", "postgresql://u:***@h/db?sslmode=require"),
        ("postgresql://h/db?user=u&password=canary", "postgresql://h/db?user=u&password=***"),
        ("postgresql://h/db?sslpassword=canary&user=u", "postgresql://h/db?sslpassword=***&user=u"),
        ("postgresql:///db", "postgresql:///db"),
        ("sqlite:////var/lib/hushpost/hushpost.db", "sqlite:////var/lib/hushpost/hushpost.db"),
    ],
)
def test_an_address_is_shown_without_its_password_wherever_that_stands(url: str, without: str) -> None:
    assert shown(url) == without


def test_a_copy_that_is_killed_leaves_an_empty_database_and_is_run_again(to: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m", f"sqlite:///{tmp_path}/m/data/hushpost.db")
    migrate(machine.url)
    asyncio.run(fill(machine.url, 3000))
    copy = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "db", "copy", "--to", to],
        cwd=machine.folder,
        env=environment(machine.settings),
        stdout=subprocess.DEVNULL,
    )
    while not is_written_to(to):
        assert copy.poll() is None
        time.sleep(0.005)
    copy.kill()
    copy.wait()

    left = {name: len(rows) for name, rows in asyncio.run(contents(to)).items() if rows}
    assert left == {"delivery_tallies": 1}
    assert machine.run("db", "copy", "--to", to).code == 0
    assert asyncio.run(contents(to)) == machine.contents()


def is_written_to(to: str) -> bool:
    """Whether rows, and not only tables, are on their way into a database."""
    if to.startswith("sqlite"):
        log = Path(to.removeprefix("sqlite:///") + "-wal")
        return log.exists() and log.stat().st_size > 1_000_000

    async def copies() -> bool:
        connection = await asyncpg.connect(to)
        try:
            found = await connection.fetchval(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY %'"
            )
        finally:
            await connection.close()
        return bool(found)

    return asyncio.run(copies())
