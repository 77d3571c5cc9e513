"""How a backup becomes a server again: keys and attachments first, then the database in one transaction.

A restore that was stopped half-way is repaired by running it again: the files that it wrote are those of the backup, which
it then finds in place, and the database has all of it or is still empty. Nothing that is there is ever replaced.
"""

import asyncio
import hashlib
import os
from contextlib import ExitStack
from pathlib import Path

from server.cli.backup_archive import (
    ATTACHMENTS,
    RELAY_KEYS,
    RELAY_PASS,
    SERVER_KEY,
    SERVER_SECRET,
    VAPID,
    Archive,
)
from server.cli.backup_check import Checked
from server.cli.database import brought_up_to_date, shown
from server.cli.files import pass_key_path, relay_key_path, server_key_path, server_secret_path
from server.cli.keyfiles import Key, make_private_folder, read_keys_of, write_new
from server.cli.progress import rows_bar
from server.cli.terminal import CommandError
from server.config import Settings, database_url, keys_dir
from server.domain.ports import DatabaseError
from server.store import snapshot
from server.store.sqlite_file import SCHEME as SQLITE


def restore(settings: Settings, archive: Archive, checked: Checked, work: Path) -> list[Path]:
    """Restore a checked backup; the files that were written."""
    keys = _missing_keys(settings, checked)
    attachments = _missing_attachments(settings, checked)
    brought_up_to_date(f"{SQLITE}{checked.database}", "the backup")
    brought_up_to_date(database_url(settings), "database.url")
    try:
        asyncio.run(snapshot.require_free(database_url(settings)))
        for path, held in keys.items():
            write_new(path, held)
        _write_attachments(archive, attachments, work)
        _restore_rows(settings, checked.database)
    except DatabaseError as error:
        raise CommandError(f"{shown(database_url(settings))}: {error}") from None
    return [*keys, *attachments.values()]


def _restore_rows(settings: Settings, database: Path) -> None:
    with ExitStack() as bars:
        asyncio.run(
            snapshot.restore(
                database, database_url(settings), lambda total: bars.enter_context(rows_bar(total))
            )
        )


def _missing_keys(settings: Settings, checked: Checked) -> dict[Path, list[Key]]:
    """The key files that are to be written; `CommandError` where others are in their places."""
    named = {
        SERVER_KEY: server_key_path(settings),
        SERVER_SECRET: server_secret_path(settings),
        RELAY_KEYS: relay_key_path(settings),
        RELAY_PASS: pass_key_path(settings),
    }
    wanted = {
        named.get(name) or keys_dir(settings) / name.removeprefix(VAPID): keys
        for name, keys in checked.keys.items()
    }
    others = [path for path, keys in wanted.items() if path.exists() and _texts(path) != _lines(keys)]
    if others:
        raise CommandError(
            *(
                f"{path}: holds other keys than the backup; move it away if this machine is to be the server of the backup"
                for path in others
            )
        )
    return {path: keys for path, keys in wanted.items() if not path.exists()}


def _texts(path: Path) -> list[str]:
    return _lines(read_keys_of(path, hint="it was there a moment ago"))


def _lines(keys: list[Key]) -> list[str]:
    return [key.text for key in keys]


def _missing_attachments(settings: Settings, checked: Checked) -> dict[str, Path]:
    """The attachments that are to be written, by member; `CommandError` where other files are in their places."""
    folder = Path(settings.server.data_dir)
    wanted = {name: folder / name for name in checked.attachments}
    for name, path in wanted.items():
        if path.exists() and _sha256(path) != checked.manifest.members[name].sha256:
            raise CommandError(f"{path}: is there already, and not as in the backup; move {ATTACHMENTS} away")
    return {name: path for name, path in wanted.items() if not path.exists()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_attachments(archive: Archive, wanted: dict[str, Path], work: Path) -> None:
    for name, path in wanted.items():
        make_private_folder(path.parent)
        whole = work / "attachment"
        archive.look(name, lambda _more: None, whole)
        whole.rename(path)
    for folder in {path.parent for path in wanted.values()}:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
