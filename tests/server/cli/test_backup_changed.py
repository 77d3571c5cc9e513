"""What was done to a backup on its way is found before a byte of it is used."""

import hashlib
import io
import json
import re
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.cli.backup_archive import opened
from server.cli.backup_check import check
from server.cli.terminal import CommandError
from tests.harness.machine import Machine

Member = tuple[tarfile.TarInfo, bytes]


def members_of(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        found = []
        for info in tar:
            content = tar.extractfile(info)
            found.append((info, content.read() if content else b""))
        return found


def write_tar(file: Path, members: list[Member]) -> None:
    with tarfile.open(file, "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def member(name: str, content: bytes = b"x", **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def honest(members: list[Member]) -> list[Member]:
    """A manifest whose hashes fit, as somebody who tampers would make one."""
    by_name = {info.name: content for info, content in members}
    manifest = json.loads(by_name["manifest.json"])
    manifest["members"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in by_name.items()
        if name != "manifest.json"
    }
    kept = [(info, content) for info, content in members if info.name != "manifest.json"]
    return [*kept, member("manifest.json", json.dumps(manifest).encode())]


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[list[Member]], list[Member]]:
    return lambda members: [
        (info, change(content) if info.name == name else content) for info, content in members
    ]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def edited(sql: str) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(content)
            database.execute("PRAGMA foreign_keys = OFF")
            database.execute(sql)
            return database.serialize()

    return edit


def manifest_says(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | fields).encode()


SECRET = b"hushpost-secret-1:" + b"A" * 43
TAMPERED: list[tuple[str, Callable[[list[Member]], list[Member]]]] = [
    ("database.db is not what it was", changed("database.db", flipped)),
    ("keys/server.key is not what it was", changed("keys/server.key", flipped)),
    ("keys/server.secret is missing", lambda m: [one for one in m if one[0].name != "keys/server.secret"]),
    ("has no manifest", lambda m: [one for one in m if one[0].name != "manifest.json"]),
    ("keys/relay.keys is not in the manifest", lambda m: [member("keys/relay.keys"), *m]),
    ("'../evil' does not belong", lambda m: [member("../evil"), *m]),
    ("'/etc/passwd' does not belong", lambda m: [member("/etc/passwd"), *m]),
    ("'attachments/../../evil' does not belong", lambda m: honest([member("attachments/../../evil"), *m])),
    ("'attachments/./../evil' does not belong", lambda m: honest([member("attachments/./../evil"), *m])),
    ("is not one plain file", lambda m: [*m, member("database.db")]),
    (
        "is not one plain file",
        lambda m: [*m, member("attachments/a", b"", type=tarfile.SYMTYPE, linkname="/")],
    ),
    ("is not one plain file", lambda m: [*m, member("attachments/a", b"", type=tarfile.FIFOTYPE)]),
    ("manifest cannot be read", changed("manifest.json", lambda _: b"{")),
    ("is of format 2", changed("manifest.json", manifest_says(format=2))),
    ("at revision 9999, this program knows", changed("manifest.json", manifest_says(revision="9999"))),
    ("is not the key of the server", changed("manifest.json", manifest_says(server="A" * 43))),
    (
        "keys/server.key holds no keys",
        lambda m: honest(changed("keys/server.key", lambda _: b"hushpost-identity-1:x\n")(m)),
    ),
    ("vapid/v.pem holds no keys", lambda m: honest([member("vapid/v.pem", b"-----BEGIN EC"), *m])),
    ("vapid/v.pem holds no VAPID key", lambda m: honest([member("vapid/v.pem", SECRET), *m])),
    ("'vapid/..' does not belong", lambda m: honest([member("vapid/.."), *m])),
    ("'vapid/a/b' does not belong", lambda m: honest([member("vapid/a/b"), *m])),
    (
        "keys/server.secret holds no server's secret",
        lambda m: honest(changed("keys/server.secret", lambda _: b"")(m)),
    ),
    ("database.db: ", lambda m: honest(changed("database.db", lambda c: c[: len(c) // 2])(m))),
    ("database.db: ", lambda m: honest(changed("database.db", lambda _: b"no database" * 100)(m))),
    (
        "messages does not hold what it did",
        lambda m: honest(changed("database.db", edited("UPDATE messages SET content = 'other'"))(m)),
    ),
    (
        "rows of devices refer to rows that are not there",
        lambda m: honest(changed("database.db", edited("UPDATE devices SET user_id = 'nobody'"))(m)),
    ),
    (
        "database.db is at revision None",
        lambda m: honest(changed("database.db", edited("DROP TABLE alembic_version"))(m)),
    ),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("good")
    return Machine.small(folder / "server").backup()


@pytest.fixture
def empty(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "empty", f"sqlite:///{tmp_path}/empty/data/hushpost.db")


@pytest.mark.parametrize(("said", "tamper"), TAMPERED, ids=[said for said, _ in TAMPERED])
def test_a_backup_that_was_changed_is_refused(
    good: Path, tmp_path: Path, said: str, tamper: Callable[[list[Member]], list[Member]]
) -> None:
    write_tar(tmp_path / "bad.tar", tamper(members_of(good)))
    with pytest.raises(CommandError, match=re.escape(said)):
        checked(tmp_path / "bad.tar", tmp_path)
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_backup_that_was_cut_off_is_refused(good: Path, tmp_path: Path, part: float) -> None:
    whole = good.read_bytes().rstrip(b"\0")  # what a tar ends with is said twice
    (tmp_path / "cut.tar").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CommandError, match="cut off"):
        checked(tmp_path / "cut.tar", tmp_path)


def checked(file: Path, work: Path) -> None:
    with opened(file) as archive:
        check(archive, work)


def test_a_changed_backup_is_not_restored_in_part(good: Path, empty: Machine) -> None:
    write_tar(empty.folder / "bad.tar", changed("keys/server.secret", flipped)(members_of(good)))
    done = empty.run("restore", "bad.tar")
    assert done.code == 1
    assert "bad.tar: keys/server.secret is not what it was when the backup was taken" in done.err
    assert list(empty.data.iterdir()) == []
