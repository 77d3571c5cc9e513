"""Cancelling what a tenant's own servers, or anybody else in it, have sent: whatever stage it has come to."""

from collections.abc import Callable
from dataclasses import dataclass

from server.commands.takeback import settle_count, take_back
from server.domain.errors import NotFound
from server.domain.message import Message
from server.domain.ports import Clock, Database, Random, Transaction
from server.store import messages


@dataclass(frozen=True)
class Cancelled:
    """`whole`: it came to nobody, and never will. Else `retracted` deliveries had gone out, and are taken back from who has them."""

    whole: bool
    retracted: int


async def cancel(
    db: Database, tenant_id: str, message_id: str, *, clock: Clock, random: Random, wake: Callable[[], None]
) -> Cancelled:
    """Take a tenant's message back, and say how far it had come; doing so again says the same. NotFound."""

    async def job(tx: Transaction) -> None:
        await _find(tx, tenant_id, message_id)
        await take_back(tx, message_id, now=clock(), random=random)

    await db.write(job)
    wake()
    await settle_count(db, message_id, clock)
    return _said_of(await db.read(lambda tx: _find(tx, tenant_id, message_id)))


async def _find(tx: Transaction, tenant_id: str, message_id: str) -> Message:
    message = await messages.load_message(tx, message_id)
    if message is None or message.tenant_id != tenant_id:
        raise NotFound("nothing of this transactionId was sent", code="message_not_found")
    return message


def _said_of(message: Message) -> Cancelled:
    """Return how far a message had come when it was taken back; once it has expired nothing of it waits that could be cancelled."""
    retracted_at = message.retracted_at or message.expires_at
    in_time = message.handed_over == 0 and retracted_at < message.expires_at
    return Cancelled(in_time, message.handed_over or 0)
