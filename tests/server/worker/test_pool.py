"""Sealing in processes: what becomes of it when the system takes one of them away."""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from crypto.keys import DeviceKey, IdentityKey, Suite
from server.commands.sealing import Sealer, seal_parcels
from server.domain.delivery import Address, Kind, Parcel, State
from server.domain.errors import Unavailable
from server.domain.ids import new_id
from server.domain.ports import Database
from server.worker.pool import SealingPool, sealing_pool
from tests.harness.files import NO_FILES

IDENTITY = IdentityKey.from_seed(bytes([3]) * 32)


@pytest.fixture
def log() -> LogCapture:
    return LogCapture()


@pytest.fixture
def pool(log: LogCapture) -> Iterator[SealingPool]:
    made = sealing_pool(IDENTITY, 1, structlog.wrap_logger(None, processors=[log]))
    yield made
    made.shutdown(cancel_futures=True)


DEVICE = new_id(1, secrets.token_bytes)
KEY = DeviceKey.from_seed(Suite.X25519, bytes([9]) * 32).public
ADDRESSES = {DEVICE: Address(DEVICE, "ios", int(KEY.suite), KEY.raw, "handle", None)}


def parcel(name: str) -> Parcel:
    frame = new_id(2, secrets.token_bytes)
    return Parcel(
        name, frame, DEVICE, Kind.MESSAGE, frame, 1, State.LEASED, 1, 1, 9, "NORMAL", None, "{}", None
    )


def sealer(pool: Executor) -> Sealer:
    return Sealer(IDENTITY, pool, lambda: 5, secrets.token_bytes, NO_FILES, structlog.get_logger())


class Doomed(Executor):
    """Whose processes are killed as soon as they have something to do."""

    def submit(self, *_work: Any, **_more: Any) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(BrokenExecutor())
        return failed


async def test_sealing_goes_on_after_one_of_its_processes_was_killed(
    database: Database, pool: SealingPool, log: LogCapture
) -> None:
    process = await asyncio.wrap_future(pool.submit(os.getpid))
    os.kill(process, signal.SIGKILL)
    sealed = await seal_parcels(database, [parcel("p")], ADDRESSES, sealer(pool))
    assert list(sealed.envelopes) == ["p"]
    assert await asyncio.wrap_future(pool.submit(os.getpid)) != process
    assert [entry["log_level"] for entry in log.entries] == ["error"]


async def test_a_batch_that_was_shared_out_is_whole_after_a_kill(
    database: Database, pool: SealingPool
) -> None:
    parcels = [parcel(str(number)) for number in range(300)]
    process = await asyncio.wrap_future(pool.submit(os.getpid))
    sealing = asyncio.create_task(seal_parcels(database, parcels, ADDRESSES, sealer(pool)))
    await asyncio.sleep(0)
    os.kill(process, signal.SIGKILL)
    assert list((await sealing).envelopes) == [one.id for one in parcels]


async def test_where_every_process_is_killed_it_is_said_when_to_come_back(database: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        await seal_parcels(database, [parcel("p")], ADDRESSES, sealer(Doomed()))
    assert refused.value.retry_after > 0
