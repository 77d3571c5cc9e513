"""Messages after they were sent: seen by who may see them, retracted by who may delete them."""

from collections.abc import Callable
from dataclasses import dataclass

from server.commands.buckets import id_of
from server.commands.takeback import settle_count, take_back
from server.domain.account import User
from server.domain.bucket import Permission
from server.domain.errors import Forbidden, Gone, NotFound
from server.domain.message import Message
from server.domain.ports import Clock, Database, Random, Transaction
from server.store import messages
from server.store.buckets import find_bucket, is_of_tenant


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


async def get_message(db: Database, user: User, message_id: str, *, manages: str | None = None) -> Message:
    """Return a message; NotFound, or Gone where it was retracted.

    `manages` is the id of the tenant that the caller manages: what its own servers have sent is theirs to see, and to retract.
    """
    message = await db.read(lambda tx: _find(tx, user, message_id, manages))
    if message is None:
        raise NotFound("no such message", code="message_not_found")
    if message.retracted_at is not None:
        raise Gone("the message was retracted", code="message_retracted")
    return message


async def retract(
    db: Database,
    user: User,
    message_id: str,
    *,
    manages: str | None = None,
    clock: Clock,
    random: Random,
    wake: Callable[[], None],
) -> None:
    """Take a message back from the store and from every device; doing so again does nothing.

    Its sender may, and who has DELETE in its bucket, and who `manages` its tenant where that has sent it; NotFound where the
    caller may not even see it, else Forbidden.
    """

    async def job(tx: Transaction) -> None:
        message = await _find(tx, user, message_id, manages)
        if message is None:
            raise NotFound("no such message", code="message_not_found")
        if not await _may_retract(tx, user, message, manages):
            raise Forbidden("only its sender, or who may delete in its bucket, may retract a message")
        await take_back(tx, message_id, now=clock(), random=random)

    await db.write(job)
    wake()
    await settle_count(db, message_id, clock)


async def _find(tx: Transaction, user: User, message_id: str, manages: str | None) -> Message | None:
    """Return a message that a user may see, or the managers of its tenant."""
    message = await messages.find_message(tx, user.id, message_id)
    if message is not None or manages is None:
        return message
    message = await messages.load_message(tx, message_id)
    return message if message is not None and await _is_managed(tx, message, manages) else None


async def _may_retract(tx: Transaction, user: User, message: Message, manages: str | None) -> bool:
    if message.sender_id == user.id or await _is_managed(tx, message, manages):
        return True
    bucket = await find_bucket(tx, user.id, message.bucket_id)
    return bucket is not None and bucket.lets(Permission.DELETE)


async def _is_managed(tx: Transaction, message: Message, manages: str | None) -> bool:
    """Say whether a message is of a tenant that is managed, and in a bucket of its own: a topic, or what it sends to users by name."""
    return message.tenant_id == manages and await is_of_tenant(tx, message.bucket_id)
