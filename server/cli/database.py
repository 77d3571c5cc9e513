"""`hushpost db`: bring the tables up to date, and move everything to another database."""

import asyncio
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import typer

from server.cli.files import settings_of
from server.cli.keyfiles import make_private_folder
from server.cli.processes import DataOption
from server.cli.terminal import USAGE, CommandError, ConfigOption, result, say
from server.config import DATABASE_URLS, database_url, is_misread
from server.domain.ports import DatabaseError

T = TypeVar("T")

_PASSWORD = re.compile(r"([?&](?:ssl)?password=)[^&#]*", re.IGNORECASE)  # PostgreSQL takes them there too

commands = typer.Typer(no_args_is_help=True, help="Update the database's tables, or move it to another one.")

ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="URL",
        help="An empty database, such as postgresql://user@host/name. The password may come from PGPASSWORD or ~/.pgpass.",
    ),
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="URL", help="What to copy; else the database of the settings.")
]

# The store is imported where it is needed: it brings SQLAlchemy.


@commands.command()
def migrate(config: ConfigOption = None, data: DataOption = None) -> None:
    """Bring the tables up to date now; the server does it at its start by itself."""
    from server.store.copy import revision_of  # noqa: PLC0415 - see above
    from server.store.migrations import newest  # noqa: PLC0415

    settings = settings_of(config, data)
    url = database_url(settings)
    before = asked(revision_of(url))
    make_private_folder(Path(settings.server.data_dir))
    brought_up_to_date(url, "database.url")
    place = shown(url)
    if before == newest():
        result(f"{place}: nothing to do, its tables are at revision {before}")
    else:
        result(f"{place}: migrated from {'nothing' if before is None else before} to revision {newest()}")


@commands.command()
def copy(
    to: ToOption, from_: FromOption = None, config: ConfigOption = None, data: DataOption = None
) -> None:
    """Copy everything into another, empty database, check it there row by row, and say how to go on.

    The server must be stopped. What is copied from stays as it is; what is copied to gets all or nothing.
    """
    origin = from_ or database_url(settings_of(config, data))
    for name, url in (("--from", origin), ("--to", to)):
        if is_misread(url):
            fix = "percent-encode what of a password is no letter or digit"
            raise CommandError(f"{name}: is not of the right form; write {DATABASE_URLS}; {fix}", code=USAGE)
    if origin == to:
        raise CommandError("--to: is the database that is copied from; name another one", code=USAGE)
    tables = copied(origin, to)
    for table, rows in tables.items():
        result(f"{table}: {rows} rows, the same on both sides")
    say(f"""
Everything is in {shown(to)}. Before the server starts again, tell it so:
  [database]
  url = "{shown(to)}"{"    # with the password" if shown(to) != to else ""}
or HUSHPOST_DATABASE_URL, or HUSHPOST_DATABASE_URL_FILE for a file that holds it. Keep {shown(origin)} until you have seen it work.""")


def copied(origin: str, to: str) -> dict[str, int]:
    """Copy all tables; how many rows each has."""
    from server.cli.progress import rows_bar  # noqa: PLC0415 - see above
    from server.store import copy as copying  # noqa: PLC0415

    async def work() -> dict[str, int]:
        async with copying.source(origin, unused=True) as source:
            await copying.require_newest(source)
            rows = await copying.rows_of(source)
            await asyncio.to_thread(brought_up_to_date, to, "--to")
            async with copying.target(to) as target:
                with rows_bar(2 * sum(rows.values())) as report:
                    await copying.copy(source, target, report)
        return rows

    return asked(work())


def brought_up_to_date(url: str, setting: str) -> None:
    """Migrate the database that a setting names. Runs a loop of its own: call it where there is none."""
    from server.store import migrations  # noqa: PLC0415 - see above

    try:
        migrations.migrate(url)
    except DatabaseError as error:
        raise CommandError(f"{setting}: {error}") from None
    except OSError as error:
        raise CommandError(f"{setting}: {shown(url)} cannot be made ({error.strerror})") from None


def asked(work: Coroutine[Any, Any, T]) -> T:
    """Run what asks a database; what it refuses ends the command."""
    try:
        return asyncio.run(work)
    except DatabaseError as error:
        raise CommandError(f"the database: {error}") from None


def shown(url: str) -> str:
    """A database's URL without its password."""
    url = _PASSWORD.sub(r"\1***", url)
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***{at}{host}"))
