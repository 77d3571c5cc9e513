"""What a process that was started by a supervisor has of it: its standard streams.

Its standard input is its orders, one line of JSON, then what it is told later, a line each, and all the while its lifeline:
it ends with the supervisor, however that ends. Its standard output tells the supervisor that it serves. Settings come that
way and not from the file, so that all processes have the same, and neither arguments nor environment show what is secret.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

READY = b"."
FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
_END_WITHIN = 60.0  # seconds that it may take to end when there is no supervisor left to kill it
_CHUNK = 65_536


class Lifeline:
    """Takes the standard streams: processes that this one starts inherit what stands there instead."""

    def __init__(self) -> None:
        self._lines = _lines(_taken(0, os.open(os.devnull, os.O_RDONLY)))
        self._ready = _taken(1, 2)

    def orders(self) -> bytes | None:
        """The first line; None where the supervisor has ended before it said anything."""
        return next(self._lines, None)

    def follow(self, heard: Callable[[bytes], object]) -> None:
        """Give each further line to `heard`, in a thread; end this process when there is no supervisor any more."""
        threading.Thread(target=self._follow, args=(heard,), daemon=True).start()

    def ready(self) -> None:
        os.write(self._ready, READY)

    def _follow(self, heard: Callable[[bytes], object]) -> None:
        for line in self._lines:
            heard(line)
        os.kill(os.getpid(), signal.SIGTERM)
        shutil.rmtree(Path(os.environ[FOLDER]), ignore_errors=True)  # that was the supervisor's to do
        time.sleep(_END_WITHIN)
        os._exit(1)


def _taken(descriptor: int, instead: int) -> int:
    ours = os.dup(descriptor)
    os.dup2(instead, descriptor)
    return ours


def _lines(descriptor: int) -> Iterator[bytes]:
    """Whole lines, without their ends; a buffered file would be locked by the thread that waits when the process ends."""
    held = b""
    while chunk := os.read(descriptor, _CHUNK):
        *whole, held = (held + chunk).split(b"\n")
        yield from whole
