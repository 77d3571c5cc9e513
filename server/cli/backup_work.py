"""A folder for what a backup or a restore has under way: its owner's alone, and gone when the command ends.

Where a command was killed, its folder stays behind, with keys in it; the next command in the same place removes it. The lock on
the folder says whether its command still runs.
"""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from server.cli.terminal import CommandError

_PREFIX = ".hushpost-work-"


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder, and remove it at the end, also where a signal ends the command."""
    _remove_left_behind(parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise CommandError(f"{parent}: nothing can be written there ({error.strerror})") from None
    held = _lock(folder)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield folder
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _remove_left_behind(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        if (held := _lock(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _lock(folder: Path) -> int | None:
    """Lock a folder; None where another process has it, or it cannot be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    return None
