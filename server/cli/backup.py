"""`hushpost backup` and `hushpost restore`: all that a server is in one file, and back."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.files import settings_of
from server.cli.processes import DataOption
from server.cli.terminal import CommandError, ConfigOption, result, say

if TYPE_CHECKING:
    from server.cli.backup_archive import Manifest

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where to; a name with the time in the working directory, or in the folder that is named.",
    ),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")]
VerifyOption = Annotated[bool, typer.Option("--verify", help="Only check the backup; nothing is written.")]

# What does the work is imported where it is needed: it brings the store with SQLAlchemy.


def backup(out: OutOption = None, config: ConfigOption = None, data: DataOption = None) -> None:
    """Write a backup while the server runs: database, keys and attachments in one file. It holds secrets."""
    from server.cli.backup_make import left_out, make  # noqa: PLC0415 - see above

    settings, now = settings_of(config, data), datetime.now(UTC)
    name = f"hushpost-{now:%Y%m%dT%H%M%SZ}.tar"
    file = Path(name) if out is None else out / name if out.is_dir() else out
    manifest = make(settings, file, now)
    result(str(file))
    say(f"{_described(manifest)}; check it with: hushpost restore --verify {file}")
    for path in left_out(settings):
        say(f"{path} is not in it: keep a copy of your own")
    say("whoever has this file can read all messages and speak as this server: keep it encrypted")


def restore(
    file: FileArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    *,
    verify: VerifyOption = False,
) -> None:
    """Check a backup and restore it into an empty database, with its keys; safe to run again if it was stopped."""
    from server.cli import backup_restore  # noqa: PLC0415 - see above
    from server.cli.backup_archive import opened  # noqa: PLC0415
    from server.cli.backup_check import check  # noqa: PLC0415
    from server.cli.backup_work import work_folder  # noqa: PLC0415
    from server.cli.keyfiles import make_private_folder  # noqa: PLC0415

    settings = settings_of(config, data)
    place = Path(tempfile.gettempdir()) if verify else Path(settings.server.data_dir)
    try:
        if not verify:
            make_private_folder(place)
        with opened(file) as archive, work_folder(place) as work:
            checked = check(archive, work)
            result(_described(checked.manifest))
            for file_id in checked.missing:
                say(
                    f"the attachment {file_id} is not in it: deleted while the backup was made, or lost before"
                )
            if verify:
                result(
                    "every file is what it was when the backup was taken; the database and its keys are whole"
                )
                return
            written = backup_restore.restore(settings, archive, checked, work)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{name}the backup cannot be restored ({error.strerror})") from None
    for path in written:
        result(f"wrote {path}")
    result("restored; phones notice by themselves and fetch what they have not seen")
    say(
        "start the server now, and make sure that the one which the backup was taken from does not run any more"
    )


def _described(manifest: "Manifest") -> str:
    rows = sum(table.rows for table in manifest.tables.values())
    return (
        f"backup of {manifest.taken_at} of the server {manifest.server}: {len(manifest.members)} files,"
        f" {len(manifest.tables)} tables with {rows} rows, revision {manifest.revision}"
    )
