"""Processes that seal, since HPKE holds the interpreter's lock.

They are spawned: a fork after threads have used the library would hang. This module is what each of them loads, so it imports
nothing but what they need: the rest of a server takes seconds to load and a hundred megabytes to hold.
"""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait

from crypto.keys import IdentityKey
from server.commands.sealing import seal_letters


def sealing_pool(identity: IdentityKey, processes: int) -> ProcessPoolExecutor:
    """Return a pool whose processes are starting already, so that the first message does not wait for them."""
    pool = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
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
