"""How a backup is made: a snapshot of the database in a work folder, then the archive, then its name.

The archive gets its name when it is whole and on disk, so whatever stops the command leaves no half of one under it.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from server.cli import backup_archive as archive
from server.cli.backup_archive import Content, Manifest, Table
from server.cli.backup_work import work_folder
from server.cli.files import (
    pass_key_path,
    relay_key_path,
    server_key_path,
    server_secret_path,
    vapid_key_paths,
)
from server.cli.keyfiles import MAKE_RELAY, MAKE_SERVER, read_identity, read_private
from server.cli.progress import rows_bar, steps_bar
from server.cli.terminal import CommandError
from server.config import Settings, database_url, keys_dir
from server.domain.ports import DatabaseError
from server.store import snapshot
from server.store.sqlite_file import SCHEME as SQLITE


def make(settings: Settings, out: Path, now: datetime) -> Manifest:
    """Write a backup to a name that is free. Servers may be running."""
    if out.exists():
        raise CommandError(f"{out}: is there already; name another file")
    keys = dict(_keys(settings))
    owner = read_identity(server_key_path(settings)).public.id
    try:
        with work_folder(out.parent) as work:
            manifest = _make(settings, work, keys, owner, now)
            _name(work / "archive", out)
            _sync(out.parent)
    except OSError as error:
        raise CommandError(f"{out}: cannot be written ({error.strerror}); nothing was kept of it") from None
    return manifest


def left_out(settings: Settings) -> list[Path]:
    """The files of the relay's that the settings name and that no backup holds: they do not lie beside the server's keys."""
    relay = settings.relay
    providers = [one.key_file for one in relay.apns] + [one.service_account_file for one in relay.fcm]
    named = [relay_key_path(settings), *vapid_key_paths(settings)]
    elsewhere = [path for path in named if path.exists() and not _lies_beside(settings, path)]
    return elsewhere + [Path(name) for name in providers if name is not None]


def _make(settings: Settings, work: Path, keys: dict[str, Content], owner: str, now: datetime) -> Manifest:
    database = work / archive.DATABASE
    held = _snapshot(settings, database)
    described = Manifest(
        format=archive.FORMAT,
        program=metadata.version("hushpost"),
        taken_at=now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        engine=database_url(settings).partition(":")[0],
        revision=held.revision or "",
        server=owner,
        tables={name: Table(one.rows, one.sum) for name, one in held.tables.items()},
        members={},
    )
    contents = {archive.DATABASE: database, **keys, **dict(_attachments(settings))}
    with steps_bar("writing the archive") as moved:
        return archive.write(work / "archive", contents, described, moved)


def _snapshot(settings: Settings, database: Path) -> snapshot.Contents:
    url = database_url(settings)
    with ExitStack() as bars:  # one after the other: a terminal has room for one
        try:
            if url.startswith(SQLITE):
                snapshot.take_pages(url, database, bars.enter_context(steps_bar("copying the database")))
            else:
                asyncio.run(
                    snapshot.take_rows(url, database, lambda total: bars.enter_context(rows_bar(total)))
                )
            bars.close()
            held = snapshot.examine(database, bars.enter_context(rows_bar(snapshot.count_rows(database))))
        except DatabaseError as error:
            raise CommandError(
                f"the database cannot be copied to {database.parent.parent}: {error}"
            ) from None
    if held.revision is None:
        raise CommandError("the database has none of Hushpost's tables: there is nothing to back up")
    return held


def _keys(settings: Settings) -> Iterator[tuple[str, Content]]:
    yield archive.SERVER_KEY, read_private(server_key_path(settings), hint=MAKE_SERVER).encode()
    yield archive.SERVER_SECRET, read_private(server_secret_path(settings), hint=MAKE_SERVER).encode()
    for name, path in (
        (archive.RELAY_KEYS, relay_key_path(settings)),
        (archive.RELAY_PASS, pass_key_path(settings)),
        *((archive.VAPID + path.name, path) for path in vapid_key_paths(settings)),
    ):
        if _lies_beside(settings, path) and path.exists():
            yield name, read_private(path, hint=MAKE_RELAY).encode()


def _lies_beside(settings: Settings, path: Path) -> bool:
    return path.parent.resolve() == keys_dir(settings).resolve()


def _attachments(settings: Settings) -> Iterator[tuple[str, Content]]:
    """What lies there after the snapshot was taken: each file that it knows of, unless it was deleted since.

    What is still being written is no file yet: it is in a folder with a longer name.
    """
    folder = Path(settings.server.data_dir) / archive.ATTACHMENTS
    for path in sorted(folder.glob("??/*")):
        if path.is_file() and not path.is_symlink():
            yield archive.ATTACHMENTS + path.relative_to(folder).as_posix(), path


def _name(whole: Path, out: Path) -> None:
    """Give the archive its name; never in the place of a file that has come since the backup began."""
    try:
        os.link(whole, out)  # a renaming would replace what is there
    except FileExistsError:
        raise CommandError(f"{out}: is there by now; name another file") from None
    except OSError:  # a file system that has no links
        whole.rename(out)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
