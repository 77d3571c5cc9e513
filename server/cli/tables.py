"""Brings the database's tables up to date before anything uses them. Once for all processes of a server."""

from pathlib import Path

from server.cli.keyfiles import make_private_folder
from server.cli.terminal import USAGE, CommandError
from server.config import Settings, database_url
from server.domain.ports import DatabaseError
from server.store.migrations import migrate


def migrated(settings: Settings) -> None:
    """Create or update the tables. Blocks: before there is a loop."""
    try:
        make_private_folder(Path(settings.server.data_dir))
        migrate(database_url(settings))
    except DatabaseError as error:
        raise CommandError(f"database.url: {error}", code=USAGE) from None
    except OSError as error:
        raise CommandError(
            f"server.data_dir: {settings.server.data_dir} cannot be made ({error.strerror})", code=USAGE
        ) from None
