"""Whether a backup is whole: everything that can be said of it before a byte of it is used."""

from dataclasses import dataclass
from pathlib import Path

from crypto.keys import IdentityKey
from crypto.vapid import VapidKey
from server.cli.backup_archive import (
    ATTACHMENTS,
    DATABASE,
    RELAY_KEYS,
    RELAY_PASS,
    SERVER_KEY,
    SERVER_SECRET,
    VAPID,
    Archive,
    Manifest,
    Table,
)
from server.cli.keyfiles import Key, KeyFileError, ServerSecret, parse
from server.cli.progress import rows_bar, steps_bar
from server.cli.terminal import CommandError
from server.domain.ports import DatabaseError
from server.store import snapshot
from server.store.migrations import newest

_KEYS = frozenset({SERVER_KEY, SERVER_SECRET, RELAY_KEYS, RELAY_PASS})


@dataclass(frozen=True)
class Checked:
    """A backup in which nothing is wrong. `database` is its copy in the work folder; `keys` by member.

    `missing`: ids of files that its rows know of and that are not in it; their messages are shown without them.
    """

    manifest: Manifest
    database: Path
    keys: dict[str, list[Key]]
    attachments: list[str]
    missing: list[str]


def check(archive: Archive, work: Path) -> Checked:
    """Check a backup and take its database into the work folder; `CommandError` names all that is wrong."""
    database = work / DATABASE
    faults = _members(archive, database) or [*_revision(archive.manifest), *_database(archive, database)]
    keys: dict[str, list[Key]] = {}
    for name in archive.names:
        if name in _KEYS or name.startswith(VAPID):
            faults += _take_keys(archive, name, keys)
    faults += _owner(archive.manifest, keys)
    if faults:
        raise CommandError(*(f"{archive.path}: {fault}" for fault in faults))
    attachments = [name for name in archive.names if name.startswith(ATTACHMENTS)]
    there = {name.rpartition("/")[2] for name in attachments}
    missing = [file_id for file_id in snapshot.attachment_ids(database) if file_id not in there]
    return Checked(archive.manifest, database, keys, attachments, missing)


def _members(archive: Archive, database: Path) -> list[str]:
    listed, there = archive.manifest.members, archive.names
    faults = [f"{name} is missing" for name in listed if name not in there]
    faults += [f"{name} is not in the manifest" for name in there if name not in listed]
    faults += [
        f"{name} is missing"
        for name in (DATABASE, SERVER_KEY, SERVER_SECRET)
        if name not in there and name not in listed
    ]
    with steps_bar("checking the archive") as bar:
        done = 0

        def moved(more: int) -> None:
            nonlocal done
            done += more
            bar(done, archive.size)

        for name in there:
            found = archive.look(name, moved, database if name == DATABASE else None)
            if name in listed and found != listed[name]:
                faults.append(f"{name} is not what it was when the backup was taken")
    return faults


def _revision(manifest: Manifest) -> list[str]:
    if manifest.revision <= newest():
        return []
    return [f"its tables are at revision {manifest.revision}, this program knows {newest()}; use a newer one"]


def _database(archive: Archive, database: Path) -> list[str]:
    faults = [f"{DATABASE}: {fault}" for fault in snapshot.faults(database)]
    if faults:
        return faults
    try:
        with rows_bar(rows_in(archive.manifest)) as report:
            found = snapshot.examine(database, report)
    except DatabaseError as error:
        return [f"{DATABASE}: {error}"]
    if found.revision != archive.manifest.revision:
        faults.append(f"{DATABASE} is at revision {found.revision}, not {archive.manifest.revision}")
    tables = {name: Table(one.rows, one.sum) for name, one in found.tables.items()}
    expected = archive.manifest.tables
    return faults + [
        f"{DATABASE}: {name} does not hold what it did when the backup was taken"
        for name in sorted(tables.keys() | expected.keys())
        if tables.get(name) != expected.get(name)
    ]


def rows_in(manifest: Manifest) -> int:
    return sum(table.rows for table in manifest.tables.values())


def _take_keys(archive: Archive, name: str, keys: dict[str, list[Key]]) -> list[str]:
    try:
        keys[name] = parse(Path(name), archive.read(name).decode())
    except (KeyFileError, UnicodeDecodeError):
        return [f"{name} holds no keys that can be read"]
    if name.startswith(VAPID) and not all(isinstance(key, VapidKey) for key in keys[name]):
        return [f"{name} holds no VAPID key"]
    return []


def _owner(manifest: Manifest, keys: dict[str, list[Key]]) -> list[str]:
    faults = []
    if SERVER_KEY in keys:
        ids = [key.public.id for key in keys[SERVER_KEY] if isinstance(key, IdentityKey)]
        if ids != [manifest.server]:
            faults.append(f"{SERVER_KEY} is not the key of the server {manifest.server}")
    if SERVER_SECRET in keys and not any(isinstance(key, ServerSecret) for key in keys[SERVER_SECRET]):
        faults.append(f"{SERVER_SECRET} holds no server's secret")
    return faults
