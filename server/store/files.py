"""Files: the bytes of attachments in a folder of the data directory. What has its name there is whole and on disk.

    <folder>/3f/<id>         by the last two digits of the id, which are random
    <folder>/incoming/<id>   what is being written
    <folder>/database        the id of the database that knows them

A row that names a file is committed after the file is there and deleted before the file goes. What a crash leaves in between is a
file that no row names; `list_older` finds it by the time in its id. Blocking work runs in threads.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, ParamSpec, TypeVar

from server.domain.errors import TooLarge, Unavailable
from server.domain.ids import id_time
from server.domain.rules import is_id

P = ParamSpec("P")
T = TypeVar("T")

_INCOMING = "incoming"
_OWNER = "database"
_AGAIN = 60  # seconds
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Written:
    """`size` in bytes."""

    size: int
    sha256: bytes


class Files:
    """The folder need not be there before the first file is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file_id: str) -> Path:
        """Return where a file lies, or would."""
        return self._folder / file_id[-2:] / file_id

    async def write(self, file_id: str, chunks: AsyncIterator[bytes], *, largest: int) -> Written:
        """Write a new file to its end and onto the disk; if anything fails, nothing is left of it.

        TooLarge after more than `largest` bytes; Unavailable where the disk takes no more. What `chunks` raises passes.
        """
        temporary = self._folder / _INCOMING / file_id
        try:
            written = await _write(temporary, chunks, largest)
            await _on_disk(_name, temporary, self.path(file_id))
        except BaseException:
            _unlink(temporary)
            raise
        return written

    async def remove(self, file_ids: Iterable[str]) -> None:
        """Delete files; those that are gone already are none."""
        paths = [self.path(file_id) for file_id in file_ids]
        if paths:
            await asyncio.to_thread(_unlink_all, paths)

    async def has(self, file_id: str, size: int) -> bool:
        """Say whether a file is there, of the size that it had."""
        return await asyncio.to_thread(_has, self.path(file_id), size)

    @property
    def owner_file(self) -> Path:
        """Where it is written whose files these are."""
        return self._folder / _OWNER

    async def claim(self, owner: str) -> str:
        """Write whose files these are, if nobody has, and return whose they are; OSError."""
        return await asyncio.to_thread(_claim, self.owner_file, owner)

    async def list_older(self, before: int) -> list[str]:
        """Return the ids of the files that were begun before a time (milliseconds)."""
        return await asyncio.to_thread(self._older, "??", before)

    async def remove_unfinished(self, before: int) -> int:
        """Delete what was begun before a time and never got its name; return how many."""
        old = await asyncio.to_thread(self._older, _INCOMING, before)
        await asyncio.to_thread(_unlink_all, [self._folder / _INCOMING / file_id for file_id in old])
        return len(old)

    def _older(self, folders: str, before: int) -> list[str]:
        names = (path.name for path in self._folder.glob(f"{folders}/*"))
        return [name for name in names if is_id(name) and id_time(name) < before]


def read_pieces(path: Path) -> Iterator[bytes]:
    """Read a file from its beginning to its end; OSError."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


async def _write(path: Path, chunks: AsyncIterator[bytes], largest: int) -> Written:
    file = await _on_disk(_create, path)
    try:
        size, digest = 0, sha256_of()
        async for chunk in chunks:
            size += len(chunk)
            if size > largest:
                raise TooLarge(f"the file is larger than {largest} bytes", code="attachment_too_large")
            digest.update(chunk)
            await _on_disk(file.write, chunk)
        await _on_disk(_sync, file)
        return Written(size, digest.digest())
    finally:
        with suppress(OSError):  # of a full disk, which was told already
            file.close()


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work in a thread; Unavailable where the disk does not take part."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Unavailable(
            f"the server cannot keep the file ({why})", retry_after=_AGAIN, code="storage_unavailable"
        ) from None


def _create(path: Path) -> BinaryIO:
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return open(path, "xb", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name, and make the name as lasting as the file."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claim(path: Path, owner: str) -> str:
    """Write an owner to a new file, whole or not at all; return the one that is written there."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = mkstemp(dir=path.parent)  # readable by its owner only
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{owner}\n".encode())
            _sync(file)
        Path(temporary).replace(path)
    return path.read_text().strip()


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _unlink_all(paths: Sequence[Path]) -> None:
    for path in paths:
        _unlink(path)


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
