"""The database's file belongs to its owner, and to one process at a time.

The lock is an flock on a side file: the kernel lets go of it with the process, however that ends, so nothing stale is
ever left. It is on a side file because SQLite's own locks on the database are dropped when any descriptor of it closes.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from server.domain.ports import DatabaseUnavailable

SCHEME = "sqlite:///"


class SqliteFile:
    """An existing file (made here if need be) that no other process uses as long as this is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _private(path.with_name(path.name + ".lock"))
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise DatabaseUnavailable(
                f"{path} is in use by another process; stop that one, or give this one a database of its own"
            ) from None
        os.close(_private(path))  # SQLite gives its -wal and -shm files the mode of this one

    def release(self) -> None:
        with suppress(OSError):
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def sqlite_path(url: str) -> Path:
    """Read `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    return Path(url.removeprefix(SCHEME))


def _private(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    return file
