"""The sweep: what crashes and forgetful people leave on the disk goes, and nothing else does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from server.api.forms import UPLOAD_SECONDS
from server.commands.attachments import Swept, WrongDatabase, drop_unused, keep, receive
from server.domain.account import DEFAULT_TENANT
from server.domain.file import ORPHAN_AFTER, UNNAMED_FOR, ReceivedFile
from server.domain.ports import Database, Random, Transaction
from server.store.accounts import ensure_tenant
from server.store.attachments import link
from server.store.files import Files
from server.worker.metrics import SweepMetrics
from server.worker.sweeper import Sweeper
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded

NOTHING = Swept(0, 0, 0)


async def became(database: Database, name: str) -> None:
    """Make it the database of this name, as far as a folder can tell."""

    async def job(tx: Transaction) -> None:
        await tx.run("DELETE FROM tenants WHERE name = $1", DEFAULT_TENANT)
        await ensure_tenant(tx, name, DEFAULT_TENANT, 1)

    await database.write(job)


class Attic:
    """A database, a folder, and the worker that sweeps it."""

    def __init__(self, seeded: Seeded, clock: SettableClock, folder: Path) -> None:
        self.seeded = seeded
        self.clock = clock
        self.files = Files(folder)
        self.registry, self.log = CollectorRegistry(), LogCapture()
        logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[self.log])
        self.sweeper = Sweeper(
            seeded.db, self.files, metrics=SweepMetrics(self.registry), clock=clock, log=logger
        )

    async def received(self) -> ReceivedFile:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"content"

        return await receive(
            self.files,
            chunks(),
            name="a",
            content_type=None,
            largest=100,
            now=self.clock(),
            random=self.seeded.random,
        )

    async def kept(self) -> ReceivedFile:
        file, now = await self.received(), self.clock()
        await self.seeded.db.write(lambda tx: keep(tx, self.seeded.user_id, file, now, per_user=1000))
        return file

    async def named(self) -> tuple[ReceivedFile, str]:
        file = await self.kept()
        [delivery] = await self.seeded.message([await self.seeded.device()], title="x")
        message_id = delivery.message_id or ""
        await self.seeded.db.write(lambda tx: link(tx, message_id, file.id))
        return file, message_id

    async def is_there(self, file: ReceivedFile) -> bool:
        return await self.files.has(file.id, file.size)


@pytest.fixture
async def house(database: Database, clock: SettableClock, random: Random, tmp_path: Path) -> Attic:
    await became(database, "a")
    return Attic(await Seeded.make(database, clock, random), clock, tmp_path / "attachments")


async def test_a_file_whose_row_was_never_written_goes_after_twenty_minutes(house: Attic) -> None:
    file = await house.received()  # and here the process was killed
    house.clock.advance(ORPHAN_AFTER)
    assert await house.sweeper.sweep() == NOTHING
    house.clock.advance(1)
    assert await house.sweeper.sweep() == Swept(unnamed=0, orphans=1, unfinished=0)
    assert not await house.is_there(file)
    assert house.registry.get_sample_value("hushpost_attachments_swept_total", {"reason": "orphans"}) == 1
    assert [entry["orphans"] for entry in house.log.entries] == [1]


async def test_a_file_that_no_message_names_goes_after_a_day(house: Attic) -> None:
    file = await house.kept()
    house.clock.advance(UNNAMED_FOR)
    assert await house.sweeper.sweep() == NOTHING
    house.clock.advance(1)
    assert await house.sweeper.sweep() == Swept(unnamed=1, orphans=0, unfinished=0)
    assert not await house.is_there(file)
    assert await house.sweeper.sweep() == NOTHING


async def test_a_file_stays_as_long_as_a_message_names_it(house: Attic) -> None:
    file, message_id = await house.named()
    house.clock.advance(10 * UNNAMED_FOR)
    assert await house.sweeper.sweep() == NOTHING
    assert await house.is_there(file)
    assert await house.seeded.db.write(lambda tx: drop_unused(tx, [message_id])) == [file.id]
    assert await house.sweeper.sweep() == Swept(unnamed=0, orphans=1, unfinished=0)
    assert not await house.is_there(file)


async def test_a_file_that_another_message_names_is_not_dropped_with_the_first(house: Attic) -> None:
    file, first = await house.named()
    [delivery] = await house.seeded.message([await house.seeded.device()], title="y")
    await house.seeded.db.write(lambda tx: link(tx, delivery.message_id or "", file.id))
    assert await house.seeded.db.write(lambda tx: drop_unused(tx, [first])) == []
    house.clock.advance(10 * UNNAMED_FOR)
    assert await house.sweeper.sweep() == NOTHING


async def test_with_another_database_nothing_is_swept(house: Attic) -> None:
    """To that one all of the files are nobody's. It is said once, with what to do."""
    await house.sweeper.claim()
    file = await house.kept()
    await became(house.seeded.db, "b")
    await house.seeded.db.write(lambda tx: tx.run("DELETE FROM attachments"))
    house.clock.advance(10 * UNNAMED_FOR)
    for work in (house.sweeper.claim, house.sweeper.sweep, house.sweeper.sweep):
        await house.sweeper.attempt(work)
    assert await house.is_there(file)
    [told] = house.log.entries
    assert told["log_level"] == "error"
    assert "another database's" in told["event"]
    assert "delete the file that names it" in told["event"]
    assert told["file"] == str(house.files.owner_file)
    house.files.owner_file.unlink()
    assert await house.sweeper.sweep() == Swept(unnamed=0, orphans=1, unfinished=0)


async def test_the_database_that_a_folder_names_goes_on_sweeping(house: Attic, tmp_path: Path) -> None:
    """And makes a folder that is not there yet, for nobody else to read."""
    await house.sweeper.claim()
    named = tmp_path / "attachments" / "database"
    assert (named.read_text(), named.stat().st_mode & 0o777) == ("a\n", 0o600)
    await became(house.seeded.db, "b")
    with pytest.raises(WrongDatabase):
        await house.sweeper.sweep()
    await became(house.seeded.db, "a")
    assert await house.sweeper.sweep() == NOTHING
    assert [path.name for path in named.parent.iterdir()] == ["database"]


def test_no_upload_is_as_old_as_an_orphan() -> None:
    assert ORPHAN_AFTER >= 2 * UPLOAD_SECONDS * 1000
