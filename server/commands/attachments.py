"""Attachments: files that people upload or that come with a message, who may have them, and their end.

A file is received before any transaction: `receive` has it on disk, whole, when it returns. In the transaction of what it came
for, `keep` writes its row and `attach` has a message name it; a request that is refused discards it. It lives as long as a message
names it, and a day without one. What was left behind by a crash is swept.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.domain.account import User
from server.domain.errors import Allowance, Conflict, Limited, NotFound, TooLarge
from server.domain.file import ORPHAN_AFTER, UNNAMED_FOR, ReceivedFile, StoredFile, clean_name, clean_type
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.store import accounts, attachments
from server.store.files import Files

MOST_AT_ONCE = 4
"""How many requests with files a user may have under way: what they bring lies on the disk before it is counted."""

_AGAIN = 1  # seconds
_SWEPT_AT_ONCE = 1000


@dataclass(frozen=True)
class Storage:
    """Where files lie, and how much there may be: bytes of one file, and of all of one user's."""

    files: Files
    largest: int
    per_user: int
    _under_way: Counter[str] = field(default_factory=Counter, repr=False, compare=False)  # by user

    @contextmanager
    def receiving(self, user_id: str) -> Iterator[None]:
        """Take a place for a request with files; Limited where a user has too many."""
        if self._under_way[user_id] >= MOST_AT_ONCE:
            raise Limited(
                f"you have {MOST_AT_ONCE} uploads under way; wait for one of them",
                Allowance("uploads", MOST_AT_ONCE, _AGAIN, 0, _AGAIN),
            )
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]


@dataclass(frozen=True)
class FilePage:
    files: list[StoredFile]
    more: bool


@dataclass(frozen=True)
class Swept:
    """How many were deleted: files that no message named for a day, files without a row, and what was never whole."""

    unnamed: int
    orphans: int
    unfinished: int


class WrongDatabase(Exception):
    """The folder holds the files of another database."""


async def receive(
    files: Files,
    chunks: AsyncIterator[bytes],
    *,
    name: str | None,
    content_type: str | None,
    largest: int,
    now: int,
    random: Random,
) -> ReceivedFile:
    """Put a file onto the disk; TooLarge, Unavailable, or what `chunks` raises: then nothing is left of it.

    `name` and `content_type` are as the sender gave them, and are cleaned here.
    """
    file_id = new_id(now, random)
    written = await files.write(file_id, chunks, largest=largest)
    return ReceivedFile(file_id, clean_name(name), clean_type(content_type), written.size, written.sha256)


async def discard(files: Files, received: Iterable[ReceivedFile]) -> None:
    """Delete files whose rows are not written."""
    await files.remove([file.id for file in received])


async def keep(
    tx: Transaction, owner_id: str, received: ReceivedFile, now: int, *, per_user: int
) -> StoredFile:
    """Write a file's row; TooLarge where its owner would have more than `per_user` bytes."""
    if await attachments.bytes_of(tx, owner_id) + received.size > per_user:
        raise TooLarge(
            f"your attachments would have more than {per_user} bytes; delete some", code="attachments_full"
        )
    file = StoredFile(
        received.id, owner_id, received.name, received.content_type, received.size, received.sha256, now
    )
    await attachments.add_attachment(tx, file)
    return file


async def keep_upload(
    db: Database, storage: Storage, owner_id: str, received: ReceivedFile, *, now: int
) -> StoredFile:
    """Write the row of a file that was uploaded by itself; TooLarge."""
    return await db.write(lambda tx: keep(tx, owner_id, received, now, per_user=storage.per_user))


async def list_files(db: Database, user: User, *, before: str | None, limit: int) -> FilePage:
    """Return a user's own files, the newest first."""
    found = await db.read(lambda tx: attachments.list_own(tx, user.id, before=before, limit=limit + 1))
    return FilePage(found[:limit], len(found) > limit)


async def find_file(db: Database, storage: Storage, user_id: str, file_id: str) -> StoredFile:
    """Return a file that this user uploaded, or that a message names which this user may see; NotFound."""
    found = await db.read(lambda tx: attachments.find_visible(tx, user_id, [file_id]))
    if file_id not in found:
        raise _no_such_file()
    file = found[file_id]
    if not await storage.files.has(file.id, file.size):
        raise NotFound("the file is not on the server's disk any more", code="attachment_lost")
    return file


async def delete_file(db: Database, storage: Storage, user: User, file_id: str) -> None:
    """Delete a file of this user's; NotFound, Conflict while a message names it."""

    async def job(tx: Transaction) -> None:
        found = await attachments.load_files(tx, [file_id])
        if file_id not in found or found[file_id].owner_id != user.id:
            raise _no_such_file()
        if not await attachments.drop_unnamed(tx, [file_id]):
            raise Conflict("a message names this file; take that back first", code="attachment_in_use")

    await db.write(job)
    await storage.files.remove([file_id])


async def attach(tx: Transaction, message_id: str, attachment_id: str) -> None:
    """Have a message name a file; both have rows already."""
    await attachments.link(tx, message_id, attachment_id)


async def drop_unused(tx: Transaction, message_ids: Sequence[str]) -> list[str]:
    """Take their attachments from messages that end, and delete the rows of those that no other message names.

    Return the ids of the files, which may be removed after the commit; the sweep removes them otherwise.
    """
    named = await attachments.unlink_messages(tx, message_ids)
    return await attachments.drop_unnamed(tx, named) if named else []


async def claim_folder(db: Database, files: Files) -> None:
    """Make the folder this database's; WrongDatabase where it is another's, whose files would look like nobody's here.

    A database is known by the id of its first tenant, which it keeps in backups and copies.
    """
    database = await db.read(accounts.default_tenant)
    if await files.claim(database) != database:
        raise WrongDatabase


async def sweep(db: Database, files: Files, *, now: int) -> Swept:
    """Delete what nobody needs any more: a part of it where there is much; WrongDatabase."""
    await claim_folder(db, files)

    async def unnamed(tx: Transaction) -> list[str]:
        old = await attachments.list_unnamed(tx, now - UNNAMED_FOR, _SWEPT_AT_ONCE)
        return await attachments.drop_unnamed(tx, old)

    dropped = await db.write(unnamed)
    await files.remove(dropped)
    there = await files.list_older(now - ORPHAN_AFTER)
    rows = await db.read(lambda tx: attachments.load_files(tx, there))
    orphans = [file_id for file_id in there if file_id not in rows]
    await files.remove(orphans)
    return Swept(len(dropped), len(orphans), await files.remove_unfinished(now - ORPHAN_AFTER))


def _no_such_file() -> NotFound:
    return NotFound("no such attachment", code="attachment_not_found")
