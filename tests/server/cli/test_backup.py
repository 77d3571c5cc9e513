"""`hushpost backup` and `hushpost restore`: whole or not at all, whatever happens in between."""

import asyncio
import hashlib
import json
import os
import pty
import resource
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from server.store.database import open_database
from server.store.migrations import migrate
from tests.harness import databases
from tests.harness.filled import TABLES, fill
from tests.harness.hushpost import Ended, environment
from tests.harness.keyfiles import make_relay_keys, make_server_keys
from tests.harness.machine import Machine, machine_on
from tests.harness.old_tables import STATES, fill_at_0001

WEB_PUSH = """
[[relay.webpush]]
app = "web.example.org"
subject = "mailto:ada@example.org"
key_file = "{file}"
"""


@pytest.fixture(params=databases.engines())
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A server with rows in every table, keys of its own and of a relay, and an attachment."""
    with machine_on(request.param, tmp_path / "server") as machine:
        migrate(machine.url)
        asyncio.run(fill(machine.url))
        make_server_keys(machine.data)
        make_relay_keys(machine.data)
        (machine.data / "attachments/ab").mkdir(parents=True)
        (machine.data / "attachments/ab/cd").write_bytes(b"blob" * 1000)
        (machine.data / "attachments/incoming").mkdir()
        (machine.data / "attachments/incoming/half").write_bytes(b"bl")
        yield machine


@pytest.fixture(params=databases.engines())
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing on it."""
    with machine_on(request.param, tmp_path / "other") as machine:
        yield machine


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Machine:
    return Machine.small(tmp_path / "small")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A server as `on_sqlite`, with a backup; tests read both and change neither."""
    machine = Machine.small(tmp_path_factory.mktemp("kept") / "small")
    machine.backup()
    return machine


@pytest.fixture
def empty(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "empty", f"sqlite:///{tmp_path}/empty/data/hushpost.db")


def as_restored(before: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What a restore makes of rows: numbers jump once, leases are given back."""
    after = {name: [dict(row) for row in rows] for name, rows in before.items()}
    for row in after["devices"]:
        row["head"] += 2**32
    for row in after["deliveries"]:
        if row["state"] == "leased":
            row.update(state="queued", lease=None)
    return {name: sorted(rows, key=repr) for name, rows in after.items()}


def lease_some(machine: Machine) -> None:
    async def work() -> None:
        db = await open_database(machine.url)
        await db.write(
            lambda tx: tx.run("UPDATE deliveries SET state = 'leased', lease = 'l' WHERE attempts < 3")
        )
        await db.close()

    asyncio.run(work())


def test_a_backup_restores_to_the_same_server_on_any_engine(server: Machine, other: Machine) -> None:
    lease_some(server)
    before = server.contents()
    file = server.backup()

    done = other.run("restore", str(file))

    assert done.code == 0, done.err
    assert server.contents() == before
    assert other.contents() == as_restored(before)
    assert other.keys() == server.keys()
    assert (other.data / "attachments/ab/cd").read_bytes() == b"blob" * 1000
    for path in other.data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_files_that_rows_know_of_and_that_are_not_in_it_are_named(server: Machine) -> None:
    ids = {row["id"] for row in server.contents()["attachments"]}
    done = server.run("restore", "--verify", str(server.backup()))
    assert done.code == 0, done.err
    assert ids
    assert all(f"the attachment {one} is not in it" in done.err for one in ids)


def test_a_backup_is_for_its_owner_only_and_says_nothing_secret(server: Machine) -> None:
    done = server.run("backup")

    file = server.folder / done.out.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name.startswith("hushpost-20")
    assert server.left_over() == []
    for text in server.keys().values():
        for line in text.splitlines():
            assert line not in done.out + done.err


def test_on_a_terminal_it_shows_how_far_it_is(server: Machine) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "backup", "--out", "backup.tar"],
        cwd=server.folder,
        env=environment(server.settings | {"TERM": "xterm"}),
        stdout=subprocess.PIPE,
        stderr=follower,
        timeout=60,
        check=False,
    )
    os.close(follower)
    shown = os.read(leader, 1_000_000).decode()
    os.close(leader)
    assert (done.returncode, done.stdout) == (0, b"backup.tar\n"), shown
    assert "reading" in shown
    assert "writing the archive" in shown


def test_the_manifest_says_what_is_in_it(server: Machine) -> None:
    members = read_tar(server.backup())
    manifest = json.loads(members["manifest.json"])

    assert set(members) == {
        *("manifest.json", "database.db", "attachments/ab/cd"),
        *("keys/server.key", "keys/server.secret", "keys/relay.keys"),
    }
    assert manifest["tables"].keys() == {table.name for table in TABLES}
    for name, described in manifest["members"].items():
        assert described == {
            "bytes": len(members[name]),
            "sha256": hashlib.sha256(members[name]).hexdigest(),
        }


def test_what_a_relay_cannot_make_again_is_in_it(on_sqlite: Machine, empty: Machine) -> None:
    """Without its VAPID key every browser would subscribe anew, without that of its passes every server need another one."""
    for kind in ("vapid", "pass"):
        assert on_sqlite.run("keys", "new", kind).code == 0
    (on_sqlite.folder / "hushpost.toml").write_text(WEB_PUSH.format(file="data/keys/vapid.pem"))
    done = on_sqlite.run("backup", "--config", "hushpost.toml", "--out", "backup.tar")
    assert done.code == 0, done.err
    assert "not in it" not in done.err

    restored = empty.run("restore", str(on_sqlite.folder / "backup.tar"))

    assert restored.code == 0, restored.err
    assert empty.keys().keys() == {"server.key", "server.secret", "relay.pass", "vapid.pem"}
    assert empty.keys() == on_sqlite.keys()


def test_what_lies_elsewhere_is_named_and_not_in_it(on_sqlite: Machine) -> None:
    assert on_sqlite.run("keys", "new", "vapid", "relay/vapid.pem").code == 0
    google = '[[relay.fcm]]\nservice_account_file = "google.json"\n'
    (on_sqlite.folder / "hushpost.toml").write_text(WEB_PUSH.format(file="relay/vapid.pem") + google)
    done = on_sqlite.run("backup", "--config", "hushpost.toml", "--out", "backup.tar")
    assert done.code == 0, done.err
    for file in ("relay/vapid.pem", "google.json"):
        assert f"{file} is not in it: keep a copy of your own" in done.err
    assert [name for name in read_tar(on_sqlite.folder / "backup.tar") if "vapid" in name] == []


def test_verify_says_that_a_backup_is_good_and_writes_nothing(kept: Machine, empty: Machine) -> None:
    file = kept.folder / "backup.tar"
    done = empty.run("restore", "--verify", str(file))
    assert done.code == 0, done.err
    assert "every file is what it was" in done.out
    assert list(empty.folder.iterdir()) == []


def test_a_second_restore_is_refused_and_changes_nothing(kept: Machine, empty: Machine) -> None:
    file = kept.folder / "backup.tar"
    assert empty.run("restore", str(file)).code == 0
    before = empty.contents()

    done = empty.run("restore", str(file))

    assert done.code == 1
    assert "is not empty" in done.err
    assert empty.contents() == before == as_restored(kept.contents())


def test_a_restore_goes_on_where_it_was_stopped_after_the_keys(kept: Machine, empty: Machine) -> None:
    file = kept.folder / "backup.tar"
    (empty.data / "keys").mkdir(parents=True)
    for name in ("server.key", "server.secret"):
        text = (kept.data / "keys" / name).read_text()
        (empty.data / "keys" / name).touch(0o600)
        (empty.data / "keys" / name).write_text(text)

    done = empty.run("restore", str(file))

    assert done.code == 0, done.err
    assert empty.contents() == as_restored(kept.contents())


@pytest.mark.parametrize("engine", databases.engines())
def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path, engine: str) -> None:
    older = Machine(tmp_path / "older", f"sqlite:///{tmp_path}/older/data/hushpost.db")
    make_server_keys(older.data)
    fill_at_0001(older.url)
    file = older.backup()

    with machine_on(engine, tmp_path / "new") as machine:
        done = machine.run("restore", str(file))
        assert done.code == 0, done.err
        restored = machine.contents()

    assert "revision 0001" in done.out
    assert {row["state"] for row in restored["deliveries"]} == {*STATES} - {"leased"}
    assert [row["head"] for row in restored["devices"]] == [8 + 2**32]
    assert {row["notifications"] for row in restored["messages"]} == {0, 2}


def test_keys_of_another_server_stay_and_are_named(kept: Machine, empty: Machine) -> None:
    file = kept.folder / "backup.tar"
    make_server_keys(empty.data)
    before = empty.keys()

    done = empty.run("restore", str(file))

    assert done.code == 1
    assert "data/keys/server.key: holds other keys than the backup; move it away" in done.err
    assert empty.keys() == before
    assert not (empty.data / "hushpost.db").exists()


def test_a_database_that_a_server_has_open_is_not_restored_into(kept: Machine, empty: Machine) -> None:
    file = kept.folder / "backup.tar"
    migrate(empty.url)

    async def held() -> Ended:
        db = await open_database(empty.url)
        done = await asyncio.to_thread(empty.run, "restore", str(file))
        await db.close()
        return done

    done = asyncio.run(held())
    assert done.code == 1
    assert "is in use by another process" in done.err
    assert not (empty.data / "keys").exists()


def read_tar(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]  # plain files


def test_a_backup_that_is_not_there_is_named(empty: Machine) -> None:
    done = empty.run("restore", "none.tar")
    assert done.code == 1
    assert "none.tar: the backup cannot be restored (No such file or directory)" in done.err


def test_of_two_backups_to_one_name_one_is_refused(on_sqlite: Machine) -> None:
    """Whichever is ready first has it, however long ago the other has looked."""
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: on_sqlite.run("backup", "--out", "backup.tar"), range(2)))
    assert sorted(one.code for one in done) == [0, 1]
    assert on_sqlite.run("restore", "--verify", "backup.tar").code == 0
    assert on_sqlite.left_over() == []


def test_a_backup_never_takes_the_place_of_a_file(on_sqlite: Machine) -> None:
    file = on_sqlite.backup()
    before = file.read_bytes()
    done = on_sqlite.run("backup", "--out", "backup.tar")
    assert done.code == 1
    assert "is there already" in done.err
    assert file.read_bytes() == before


def test_a_server_without_keys_has_no_backup(empty: Machine) -> None:
    done = empty.run("backup")
    assert done.code == 2
    assert "there is no such key file" in done.err


@pytest.mark.parametrize("kilobytes", [4, 100, 500])
def test_a_full_disk_leaves_no_backup_and_is_said(on_sqlite: Machine, kilobytes: int) -> None:
    asyncio.run(fill_more(on_sqlite))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "backup", "--out", "full.tar"],
        cwd=on_sqlite.folder,
        env=environment(on_sqlite.settings),
        preexec_fn=limit,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert b"a fault in Hushpost" not in done.stderr
    assert b"cannot be" in done.stderr
    assert not (on_sqlite.folder / "full.tar").exists()
    assert on_sqlite.left_over() == []


async def fill_more(machine: Machine, rows: int = 1500) -> None:
    db = await open_database(machine.url)
    await db.write(
        lambda tx: tx.many(
            "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, 1)",
            [(f"more {number}", os.urandom(300).hex()) for number in range(rows)],
        )
    )
    await db.close()


@pytest.mark.parametrize("ended_by", ["kill", "terminate"])
def test_a_backup_that_is_ended_leaves_none_and_the_next_one_clears_up(
    on_sqlite: Machine, ended_by: str
) -> None:
    asyncio.run(fill_more(on_sqlite, 30_000))
    backup = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "backup", "--out", "ended.tar"],
        cwd=on_sqlite.folder,
        env=environment(on_sqlite.settings),
    )
    while not list(on_sqlite.folder.glob(".hushpost-work-*/database.db")):
        assert backup.poll() is None
        time.sleep(0.001)
    getattr(backup, ended_by)()
    backup.wait()

    assert backup.returncode != 0
    assert not (on_sqlite.folder / "ended.tar").exists()
    assert bool(on_sqlite.left_over()) == (ended_by == "kill")
    on_sqlite.backup()
    assert on_sqlite.left_over() == []


def test_a_backup_taken_under_write_load_is_one_moment(server: Machine, empty: Machine) -> None:
    """Each transaction writes a tenant and its user: a backup with one and not the other would be no moment."""
    stop = threading.Event()
    written = [0]

    async def write() -> None:
        db = await open_database(server.url)
        while not stop.is_set():
            number = written[0]

            async def job(tx: Any, id_: str = f"load {number}") -> None:
                await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", id_)
                await tx.run(
                    "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $1, 'user', '{}', 1)",
                    id_,
                )

            await db.write(job)
            written[0] += 1
        await db.close()

    load = threading.Thread(target=lambda: asyncio.run(write()))
    load.start()
    try:
        while written[0] < 10:
            assert load.is_alive()
            time.sleep(0.001)
        before = written[0]
        file = server.backup()
        after = written[0]
    finally:
        stop.set()
        load.join()

    assert empty.run("restore", str(file)).code == 0
    restored = empty.contents()
    tenants, users = (
        {row["id"] for row in restored[table] if row["id"].startswith("load")}
        for table in ("tenants", "users")
    )
    assert tenants == users == {f"load {number}" for number in range(len(tenants))}
    assert before <= len(tenants) < after
