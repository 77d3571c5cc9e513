"""Processes that seal, since HPKE holds the interpreter's lock.

They are spawned: a fork after threads have used the library would hang. This module is what each of them loads, so it imports
nothing but what they need: the rest of a server takes seconds to load and a hundred megabytes to hold.

One of them may be killed, such as when memory runs out. That breaks the library's pool for good: what it held fails, and it
takes nothing more. It is replaced with the next piece of work, so that sealing goes on without a restart of the server.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

from crypto.keys import IdentityKey
from server.commands.sealing import seal_letters

P = ParamSpec("P")
T = TypeVar("T")


class SealingPool(Executor):
    """Use it from one thread. `log` is a structlog logger."""

    def __init__(self, processes: int, log: Any) -> None:
        self._processes = processes
        self._log = log
        self._pool = self._new()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._log.error("a sealing process was killed; others take its place")
        self._pool.shutdown(wait=False)
        self._pool = self._new()
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
        )


def sealing_pool(identity: IdentityKey, processes: int, log: Any) -> SealingPool:
    """Return a pool whose processes are starting already, so that the first message does not wait for them."""
    pool = SealingPool(processes, log)
    for _ in range(processes):
        pool.submit(seal_letters, identity, [])
    return pool


def _end_with_parent() -> None:
    """Leave Ctrl-C to the server, and do not outlive one that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_exit, args=(parent.sentinel,), daemon=True).start()


def _wait_and_exit(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
