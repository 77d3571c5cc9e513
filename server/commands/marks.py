"""What people do with what is in their inbox: see it, read it, have it unread again, delete it; their devices follow.

Each function is a step of a transaction that somebody has begun, and says whether it has changed anything: workers and streams are
to be woken then. Doing it again changes nothing. Of an ephemeral message nothing is left to who has read it.
"""

from collections.abc import Sequence

from server.domain.inbox import Mark
from server.domain.message import Message
from server.domain.ports import Random, Transaction
from server.store import claims, inbox, notices, tasks


async def mark(
    tx: Transaction, user_id: str, message_ids: Sequence[str], how: Mark, *, now: int, random: Random
) -> bool:
    """Mark a user's items. Only what is read is cleared on their devices: who sees that something came still has to read it."""
    if how is Mark.READ:
        return await mark_read(tx, user_id, message_ids, but_device=None, now=now, random=random)
    if how is Mark.UNREAD:
        return await mark_unread(tx, user_id, message_ids, now=now)
    change = inbox.mark_seen if how is Mark.SEEN else inbox.mark_unseen
    return bool(await change(tx, user_id, message_ids, now))


async def mark_read(
    tx: Transaction,
    user_id: str,
    message_ids: Sequence[str],
    *,
    but_device: str | None,
    now: int,
    random: Random,
) -> bool:
    """Mark a user's items as read, here and on their devices (not on `but_device`, which knows)."""
    fresh = await inbox.mark_read(tx, user_id, message_ids, now)
    if not fresh:
        return False
    ephemeral = await tasks.forget_sooner(tx, fresh, now)
    others = [message_id for message_id in fresh if message_id not in ephemeral]
    await notices.tell_read(tx, user_id, others, but=but_device, now=now, random=random)
    await inbox.delete(tx, user_id, sorted(ephemeral), now)
    await _take_away(tx, user_id, sorted(ephemeral), but_device=but_device, now=now, random=random)
    return True


async def mark_read_by(
    tx: Transaction, message: Message, user_ids: Sequence[str], *, now: int, random: Random
) -> None:
    """Mark a message as read by users, here and on all of their devices; who does not have it is passed over."""
    if message.options.ephemeral:  # rare: it is taken away from each
        for user_id in sorted(set(user_ids)):
            await mark_read(tx, user_id, [message.id], but_device=None, now=now, random=random)
        return
    fresh = await inbox.mark_read_by(tx, message.id, user_ids, now)
    await notices.tell_readers(tx, message.id, fresh, now=now, random=random)


async def mark_unread(tx: Transaction, user_id: str, message_ids: Sequence[str], *, now: int) -> bool:
    """Mark a user's items as unread; what was postponed does not come again then. Devices keep what they show."""
    return bool(await inbox.mark_unread(tx, user_id, message_ids, now))


async def delete_items(
    tx: Transaction,
    user_id: str,
    message_ids: Sequence[str],
    *,
    but_device: str | None,
    now: int,
    random: Random,
) -> bool:
    """Delete a user's items: from the inbox, and from their devices (not from `but_device`, which knows)."""
    deleted = await inbox.delete(tx, user_id, message_ids, now)
    if not deleted:
        return False
    await tasks.forget_sooner(tx, deleted, now)
    await _take_away(tx, user_id, deleted, but_device=but_device, now=now, random=random)
    return True


async def _take_away(
    tx: Transaction,
    user_id: str,
    message_ids: Sequence[str],
    *,
    but_device: str | None,
    now: int,
    random: Random,
) -> None:
    """Take messages away from one user's devices."""
    await claims.drop_of_user(tx, user_id, message_ids)
    await notices.withdraw_from(tx, user_id, message_ids, but=but_device, now=now, random=random)
