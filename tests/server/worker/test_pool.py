"""Sealing in processes: what becomes of it when the system takes one of them away."""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from crypto.keys import DeviceKey, IdentityKey, Suite
from server.commands.sealing import Sealer, seal_parcels
from server.domain.delivery import Address, Kind, Parcel, State
from server.domain.ids import new_id
from server.domain.ports import Database
from server.worker.pool import SealingPool, sealing_pool

IDENTITY = IdentityKey.from_seed(bytes([3]) * 32)


@pytest.fixture
def log() -> LogCapture:
    return LogCapture()


@pytest.fixture
def pool(log: LogCapture) -> Iterator[SealingPool]:
    made = sealing_pool(IDENTITY, 1, structlog.wrap_logger(None, processors=[log]))
    yield made
    made.shutdown(cancel_futures=True)


async def test_sealing_goes_on_after_one_of_its_processes_was_killed(
    database: Database, pool: SealingPool, log: LogCapture
) -> None:
    device, frame = new_id(1, secrets.token_bytes), new_id(2, secrets.token_bytes)
    key = DeviceKey.from_seed(Suite.X25519, bytes([9]) * 32).public
    address = Address(device, "ios", int(key.suite), key.raw, "handle", None)
    parcel = Parcel("p", frame, device, Kind.MESSAGE, frame, 1, State.LEASED, 1, 1, 9, "NORMAL", None, "{}")
    sealer = Sealer(IDENTITY, pool, lambda: 5, secrets.token_bytes)
    process = await asyncio.wrap_future(pool.submit(os.getpid))
    os.kill(process, signal.SIGKILL)
    sealed = await seal_parcels(database, [parcel], {device: address}, sealer)
    assert list(sealed.envelopes) == ["p"]
    assert await asyncio.wrap_future(pool.submit(os.getpid)) != process
    assert [entry["log_level"] for entry in log.entries] == ["error"]
