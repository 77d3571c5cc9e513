"""Attachments: whose file is which, which messages name it, and which files nobody needs any more.

The bytes are in `server/store/files.py`: a row is written after its file is there, and deleted before the file goes.
"""

from collections.abc import Sequence

from server.domain.file import StoredFile
from server.domain.ids import LAST_ID
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes
from server.store.messages import VISIBLE

_NAMED = "EXISTS (SELECT 1 FROM message_attachments n WHERE n.attachment_id = a.id)"


async def add_attachment(tx: Transaction, file: StoredFile) -> None:
    await tx.run(
        "INSERT INTO attachments (id, owner_id, name, content_type, size, sha256, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        file.id,
        file.owner_id,
        file.name,
        file.content_type,
        file.size,
        file.sha256,
        file.created_at,
    )


async def bytes_of(tx: Transaction, owner_id: str) -> int:
    """Return how many bytes somebody's files have; who adds one afterwards in this transaction is alone in doing so."""
    await tx.all("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
    row = await tx.one(
        "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes FROM attachments WHERE owner_id = $1",
        owner_id,
    )
    return 0 if row is None else int(row["bytes"])


async def list_own(tx: Transaction, owner_id: str, *, before: str | None, limit: int) -> list[StoredFile]:
    """Return somebody's files, the newest first, from the one before `before` on."""
    rows = await tx.all(
        "SELECT * FROM attachments WHERE owner_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        owner_id,
        before or LAST_ID,
        limit,
    )
    return [_file_of(row) for row in rows]


async def find_visible(tx: Transaction, user_id: str, ids: Sequence[str]) -> dict[str, StoredFile]:
    """Return by id those files that are a user's own, or named by a message that the user may see."""
    found = {}
    for chunk in chunks(ids):
        rows = await tx.all(
            f"SELECT a.* FROM attachments a WHERE a.id IN ({holes(len(chunk), after=1)}) AND (a.owner_id = $1"
            " OR EXISTS (SELECT 1 FROM message_attachments n JOIN messages m ON m.id = n.message_id"
            f" WHERE n.attachment_id = a.id AND m.content IS NOT NULL AND {VISIBLE}))",
            user_id,
            *chunk,
        )
        found.update({row["id"]: _file_of(row) for row in rows})
    return found


async def load_files(tx: Transaction, ids: Sequence[str]) -> dict[str, StoredFile]:
    """Return files by id for the server's own work, whoever may see them."""
    found = {}
    for chunk in chunks(ids):
        rows = await tx.all(f"SELECT * FROM attachments WHERE id IN ({holes(len(chunk))})", *chunk)
        found.update({row["id"]: _file_of(row) for row in rows})
    return found


async def link(tx: Transaction, message_id: str, attachment_id: str) -> None:
    """Note that a message names a file; doing so again does nothing."""
    await tx.run(
        "INSERT INTO message_attachments (message_id, attachment_id) VALUES ($1, $2)"
        " ON CONFLICT (message_id, attachment_id) DO NOTHING",
        message_id,
        attachment_id,
    )


async def drop_unnamed(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Delete those of some rows that no message names; their ids, whose files are to go after the commit.

    The lock comes first, so that a message which is just being written counts as one that names them.
    """
    gone = []
    for chunk in chunks(sorted(ids)):
        some = holes(len(chunk))
        await tx.all(f"SELECT id FROM attachments WHERE id IN ({some}) ORDER BY id FOR UPDATE", *chunk)
        rows = await tx.all(
            f"DELETE FROM attachments AS a WHERE a.id IN ({some}) AND NOT {_NAMED} RETURNING id", *chunk
        )
        gone += [row["id"] for row in rows]
    return gone


async def unlink_messages(tx: Transaction, message_ids: Sequence[str]) -> list[str]:
    """Take from messages what they name, and from devices what they could claim of it; the ids of the files."""
    named: set[str] = set()
    for chunk in chunks(sorted(message_ids)):
        some = holes(len(chunk))
        await tx.run(f"DELETE FROM attachment_claims WHERE message_id IN ({some})", *chunk)
        rows = await tx.all(
            f"DELETE FROM message_attachments WHERE message_id IN ({some}) RETURNING attachment_id", *chunk
        )
        named.update(row["attachment_id"] for row in rows)
    return sorted(named)


async def list_unnamed(tx: Transaction, before: int, limit: int) -> list[str]:
    """Return the ids of files from before a time that no message names."""
    rows = await tx.all(
        f"SELECT a.id FROM attachments a WHERE a.created_at < $1 AND NOT {_NAMED} ORDER BY a.id LIMIT $2",
        before,
        limit,
    )
    return [row["id"] for row in rows]


def _file_of(row: Row) -> StoredFile:
    return StoredFile(
        id=row["id"],
        owner_id=row["owner_id"],
        name=row["name"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=bytes(row["sha256"]),
        created_at=row["created_at"],
    )
