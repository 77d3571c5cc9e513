"""What can be checked on this machine alone: address, key files, data directory, database."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from server.cli.database import shown
from server.cli.doctor_findings import Finding, bad, good, unknown
from server.cli.files import relay_key_path, server_key_path, server_secret_path
from server.cli.keyfiles import MAKE_RELAY, KeyFileError, read_identity, read_keys_of, read_secret
from server.config import Settings, database_url
from server.domain.host import is_loopback
from server.domain.ports import DatabaseError
from server.domain.tally import Audit
from server.store.checkup import CheckUp, check_up
from server.store.migrations import newest
from server.store.sqlite_file import SCHEME as SQLITE

_FULL = 100 * 1024**2  # bytes: below, the next backlog fills it
_LOW = 1024**3
_AS_SERVER = "run this as the user that the server runs as, or give it what it needs"


def look_at_address(settings: Settings) -> Finding:
    url = urlsplit(settings.server.public_url)
    if url.scheme == "https" or is_loopback(url.hostname or ""):
        return good("address", f"phones reach the server at {settings.server.public_url}")
    return bad(
        "address",
        f"server.public_url is {settings.server.public_url}, and phones take only https",
        "put a proxy with TLS in front, and set server.public_url to its https address",
    )


def look_at_keys(settings: Settings) -> Iterator[Finding]:
    """Look at each key file that the server, or the relay in the same process, starts with."""
    relay = relay_key_path(settings)
    checks: list[tuple[Path, Callable[[Path], object]]] = [
        (server_key_path(settings), read_identity),
        (server_secret_path(settings), read_secret),
    ]
    if relay.exists():
        checks.append((relay, lambda path: read_keys_of(path, hint=MAKE_RELAY)))
    for path, read in checks:
        try:
            read(path)
        except KeyFileError as error:
            found, _, fix = str(error).partition("; ")
            unreadable = "cannot be read" in found
            yield bad("keys", found, fix or (_AS_SERVER if unreadable else "take the file from a backup"))
        else:
            yield good("keys", f"{path} is whole, and only its owner may read it")


def look_at_data(settings: Settings) -> Finding:
    folder = Path(settings.server.data_dir)
    if not folder.is_dir():
        return unknown("data", f"{folder} is not there yet", "the server makes it at its first start")
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad(
            "data",
            f"{folder} cannot be written to by this user",
            _AS_SERVER,
        )
    free = shutil.disk_usage(folder).free
    said = f"{folder} can be written to, {free / 1024**3:.1f} GiB are free"
    if free < _FULL:
        return bad("data", said, "make room: a full disk means that no message is accepted")
    if free < _LOW:
        return unknown("data", said, "make room soon: a full disk means that no message is accepted")
    return good("data", said)


async def look_at_database(settings: Settings, relay_url: str) -> tuple[list[Finding], CheckUp | None]:
    """Look at the database; what was found, and what it says of the relay."""
    url = database_url(settings)
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():  # noqa: ASYNC240 - nothing else runs
        return [
            unknown(
                "database",
                f"{shown(url)} is not there yet",
                "the server makes it at its first start, or `hushpost db migrate` does",
            )
        ], None
    try:
        found = await check_up(url, relay_url)
    except DatabaseError as error:
        fix = "check database.url, that the database runs, and that this user may use it"
        return [bad("database", f"{shown(url)}: {error}", fix)], None
    return list(_database(url, found)), found


def _database(url: str, found: CheckUp) -> Iterator[Finding]:
    if found.faults:
        fix = "stop the server, keep a copy of the file, and restore a backup: hushpost restore FILE"
        if not url.startswith(SQLITE):
            fix = "set it to on, in the database's configuration"
        for fault in found.faults:
            yield bad("database", f"{found.engine}: {fault}", fix)
    if found.revision != newest():
        yield _revision(found.revision)
    elif not found.faults:
        yield good(
            "database", f"{found.engine} at {shown(url)}, revision {found.revision}, nothing wrong in it"
        )
    if found.rows is not None:
        yield _conservation(found.rows.audit)


def _revision(revision: str | None) -> Finding:
    if revision is None:
        return unknown("database", "it has no tables yet", "start the server, or run: hushpost db migrate")
    if revision > newest():
        return bad(
            "database",
            f"its tables are at revision {revision}, this program knows {newest()}",
            "use the version of Hushpost that wrote it, or a newer one",
        )
    return unknown(
        "database",
        f"its tables are at revision {revision}, this program's at {newest()}",
        "start the server, or run: hushpost db migrate",
    )


def _conservation(audit: Audit) -> Finding:
    if audit.holds:
        book = audit.book
        return good(
            "deliveries",
            f"{book.created} were created and all are accounted for, {book.waiting} of them wait",
        )
    differences = ", ".join(f"{state} {number:+}" for state, number in audit.differences.items())
    return bad(
        "deliveries",
        f"the book and the rows differ ({differences or f'{audit.book.lost} lost'})",
        "somebody wrote to the tables past the server, or this is a fault of Hushpost's: keep a backup and report it",
    )
