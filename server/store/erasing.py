"""What is left of a user who is deleted, and how it goes: all that is theirs alone.

The row itself stays, without a name: deliveries, and the messages of others' buckets, refer to it. Deliveries to devices go through the
book (`pruning.py`) before the devices; what was settled without a device is pruned by its age.
"""

from collections.abc import Sequence

from server.domain.ports import Transaction
from server.store.devices import delete_device
from server.store.dialect import holes
from server.store.pruning import drop_deliveries

_OWN = ("sessions", "access_tokens", "pairing_codes", "bucket_members", "document_access")


async def bury(tx: Transaction, user_id: str, now: int) -> None:
    """Take every name, the profile and the password from a user: nobody finds or is them any more."""
    await tx.run(
        "UPDATE users SET external_id = NULL, username = NULL, username_key = NULL, email = NULL, email_key = NULL,"
        " password_hash = NULL, profile = '{}', deleted_at = $2 WHERE id = $1",
        user_id,
        now,
    )


async def drop_devices(tx: Transaction, user_id: str) -> int:
    """Delete a user's devices with what waited for them; return how many there were."""
    rows = await tx.all("SELECT id FROM devices WHERE user_id = $1 ORDER BY id", user_id)
    for row in rows:
        await drop_deliveries(tx, row["id"])
        await delete_device(tx, row["id"], user_id)
    return len(rows)


async def drop_preferences(tx: Transaction, user_id: str) -> int:
    """Delete what a user has said not to want; return how much that was."""
    return await tx.run("DELETE FROM opt_outs WHERE user_id = $1", user_id)


async def drop_own(tx: Transaction, user_id: str) -> None:
    """End a user's sessions, access tokens, pairing codes, memberships, access to documents and the invitations that they made."""
    for table in _OWN:
        await tx.run(f"DELETE FROM {table} WHERE user_id = $1", user_id)
    await tx.run("DELETE FROM invitations WHERE created_by = $1", user_id)


async def lock_own_buckets(tx: Transaction, user_id: str) -> list[str]:
    """Return the ids of the buckets that a user owns, which nobody else changes until the end of the transaction.

    One that was deleted is being emptied already: its name is its id.
    """
    rows = await tx.all(
        "SELECT id FROM buckets WHERE owner_id = $1 AND name <> id ORDER BY id FOR NO KEY UPDATE", user_id
    )
    return [row["id"] for row in rows]


async def count_items(tx: Transaction, user_id: str) -> int:
    """Return how many messages there are in a user's inbox."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL", user_id
    )
    return 0 if row is None else int(row["n"])


async def list_received(tx: Transaction, user_id: str, limit: int) -> list[str]:
    """Return at most so many ids of messages that are in a user's inbox, in the order in which messages are taken back."""
    rows = await tx.all(
        "SELECT message_id FROM inbox_items WHERE user_id = $1 ORDER BY message_id LIMIT $2", user_id, limit
    )
    return [row["message_id"] for row in rows]


async def drop_items(tx: Transaction, user_id: str, message_ids: Sequence[str]) -> None:
    """Delete a user's items of messages, in the order in which messages are taken back."""
    await tx.run(
        "DELETE FROM inbox_items WHERE id IN (SELECT id FROM inbox_items WHERE user_id = $1"
        f" AND message_id IN ({holes(len(message_ids), after=1)}) ORDER BY message_id FOR UPDATE)",
        user_id,
        *message_ids,
    )


async def disown_messages(tx: Transaction, user_id: str, limit: int) -> list[str]:
    """Have at most so many messages of a user's be nobody's, in the order in which they are taken back; return their ids."""
    rows = await tx.all(
        "UPDATE messages SET sender_id = NULL WHERE id IN"
        " (SELECT id FROM messages WHERE sender_id = $1 ORDER BY id LIMIT $2 FOR NO KEY UPDATE) RETURNING id",
        user_id,
        limit,
    )
    return [row["id"] for row in rows]
