"""Messages after they were sent: seen by who may see them, retracted by who may delete them."""

from collections.abc import Callable
from dataclasses import dataclass

from server.commands.buckets import id_of
from server.commands.takeback import take_back
from server.domain.account import User
from server.domain.bucket import Permission
from server.domain.errors import Forbidden, Gone, NotFound
from server.domain.message import Message
from server.domain.ports import Database, Random, Transaction
from server.store import messages
from server.store.buckets import find_bucket


@dataclass(frozen=True)
class ListMessages:
    """Newest first, from the one before `before` on; `bucket` is an id or a name."""

    before: str | None
    bucket: str | None
    limit: int


@dataclass(frozen=True)
class MessagePage:
    messages: list[Message]
    more: bool


async def list_messages(db: Database, user: User, command: ListMessages) -> MessagePage:
    """Return what this user sent, received or oversees; retracted messages are not listed. NotFound, Conflict for the bucket's name."""

    async def job(tx: Transaction) -> list[Message]:
        bucket_id = await id_of(tx, user.id, command.bucket)
        return await messages.list_messages(
            tx, user.id, before=command.before, bucket_id=bucket_id, limit=command.limit + 1
        )

    found = await db.read(job)
    return MessagePage(found[: command.limit], len(found) > command.limit)


async def get_message(db: Database, user: User, message_id: str) -> Message:
    """Return a message; NotFound, or Gone where it was retracted."""
    message = await db.read(lambda tx: messages.find_message(tx, user.id, message_id))
    if message is None:
        raise NotFound("no such message", code="message_not_found")
    if message.retracted_at is not None:
        raise Gone("the message was retracted", code="message_retracted")
    return message


async def retract(
    db: Database, user: User, message_id: str, *, now: int, random: Random, wake: Callable[[], None]
) -> None:
    """Take a message back from the store and from every device; doing so again does nothing.

    Its sender may, and who has DELETE in its bucket; NotFound where the caller may not even see it, else Forbidden.
    """

    async def job(tx: Transaction) -> None:
        message = await messages.find_message(tx, user.id, message_id)
        if message is None:
            raise NotFound("no such message", code="message_not_found")
        if not await _may_retract(tx, user, message):
            raise Forbidden("only its sender, or who may delete in its bucket, may retract a message")
        await take_back(tx, message_id, now=now, random=random)

    await db.write(job)
    wake()


async def _may_retract(tx: Transaction, user: User, message: Message) -> bool:
    if message.sender_id == user.id:
        return True
    bucket = await find_bucket(tx, user.id, message.bucket_id)
    return bucket is not None and bucket.lets(Permission.DELETE)
