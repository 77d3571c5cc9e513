"""Files of attachments: whole and on disk under their names, or not there at all."""

import asyncio
import errno
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from server.domain.errors import TooLarge, Unavailable
from server.domain.ids import new_id
from server.domain.ports import Random
from server.store.files import Files, read_pieces
from tests.harness.clock import SettableClock

LARGEST = 1000
HOUR = 3_600_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "attachments"


@pytest.fixture
def files(folder: Path) -> Files:
    return Files(folder)


@pytest.fixture
def file_id(clock: SettableClock, random: Random) -> str:
    return new_id(clock(), random)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def everything(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]


def modes_of_folders(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, LARGEST])
async def test_what_was_written_is_there_whole_for_its_owner_only(
    files: Files, folder: Path, file_id: str, size: int
) -> None:
    content = os.urandom(size)
    written = await files.write(file_id, stream(content[: size // 2], content[size // 2 :]), largest=LARGEST)
    assert (written.size, written.sha256) == (size, sha256(content).digest())
    path = files.path(file_id)
    assert b"".join(read_pieces(path)) == content
    assert everything(folder) == [f"{file_id[-2:]}/{file_id}"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert modes_of_folders(folder) == {0o700}
    assert await files.has(file_id, size)
    assert not await files.has(file_id, size + 1)


async def test_one_byte_too_many_is_refused_and_leaves_nothing(
    files: Files, folder: Path, file_id: str
) -> None:
    with pytest.raises(TooLarge) as refused:
        await files.write(file_id, stream(bytes(LARGEST), b"x"), largest=LARGEST)
    assert refused.value.reason == "attachment_too_large"
    assert everything(folder) == []


async def test_what_is_cut_off_leaves_nothing_and_says_what_the_sender_said(
    files: Files, folder: Path, file_id: str
) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield b"the first half"
        raise ConnectionResetError("the other end went away")

    with pytest.raises(ConnectionResetError):
        await files.write(file_id, cut_off(), largest=LARGEST)
    assert everything(folder) == []


async def test_who_is_cancelled_while_waiting_leaves_nothing(
    files: Files, folder: Path, file_id: str
) -> None:
    waits = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        waits.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(files.write(file_id, endless(), largest=LARGEST))
    await waits.wait()
    assert everything(folder) == [f"incoming/{file_id}"]
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert everything(folder) == []


async def test_a_full_disk_is_said_and_keeps_nothing(files: Files, folder: Path, file_id: str) -> None:
    with no_file_larger_than(100), pytest.raises(Unavailable) as refused:
        await files.write(file_id, stream(bytes(60), bytes(60)), largest=LARGEST)
    assert refused.value.reason == "storage_unavailable"
    assert os.strerror(errno.EFBIG) in refused.value.detail
    assert everything(folder) == []


async def test_a_folder_that_cannot_be_is_said(file_id: str) -> None:
    with pytest.raises(Unavailable):
        await Files(Path(__file__) / "attachments").write(file_id, stream(b"x"), largest=LARGEST)


async def test_what_was_left_behind_is_found_by_its_age(
    files: Files, folder: Path, clock: SettableClock, random: Random
) -> None:
    old, young = new_id(clock(), random), new_id(clock() + 1, random)
    for file_id in (old, young):
        await files.write(file_id, stream(b"x"), largest=LARGEST)
        (folder / "incoming" / file_id).write_bytes(b"half of i")
    (folder / "incoming" / "notes.txt").write_text("not ours")
    assert await files.list_older(clock() + 1) == [old]
    assert await files.remove_unfinished(clock() + 1) == 1
    assert everything(folder) == sorted(
        [f"{old[-2:]}/{old}", f"{young[-2:]}/{young}", f"incoming/{young}", "incoming/notes.txt"]
    )


async def test_removing_twice_is_removing(files: Files, folder: Path, file_id: str) -> None:
    await files.write(file_id, stream(b"x"), largest=LARGEST)
    await files.remove([file_id])
    await files.remove([file_id])
    assert everything(folder) == []


async def test_before_the_first_file_there_is_nothing(files: Files, clock: SettableClock) -> None:
    assert await files.list_older(clock()) == []
    assert await files.remove_unfinished(clock()) == 0
