"""What became of a message, for its tenant's own servers: in one word, and delivery by delivery."""

from collections import Counter
from dataclasses import dataclass

from server.domain.delivery import Channel
from server.domain.errors import NotFound
from server.domain.message import Message
from server.domain.pages import MOST_COUNTED, Numbered
from server.domain.ports import Database, Transaction
from server.domain.result import Fate, Result, Standing, overall, telling_channel
from server.store import messages, tasks, timeline


@dataclass(frozen=True)
class Status:
    """`delivered` is one of the deliveries that got through on `channel`, where the result is that."""

    message: Message
    result: Result
    channel: Channel
    delivered: Fate | None
    page: Numbered[Fate]


async def find_status(db: Database, tenant_id: str, message_id: str, *, offset: int, limit: int) -> Status:
    """Return what became of a tenant's message, with a page of its deliveries; NotFound."""

    async def look(tx: Transaction) -> Status:
        message = await messages.load_message(tx, message_id)
        if message is None or message.tenant_id != tenant_id:
            raise NotFound("nothing of this transactionId was sent", code="message_not_found")
        total = await timeline.count_first(tx, message_id, MOST_COUNTED + 1)
        counts = await _counts(tx, message_id, total)
        result = overall(_of_all(counts), await _standing(tx, message, counts))
        channel = telling_channel(message.channels, counts, result)
        got_through = result is Result.DELIVERED
        delivered = await timeline.find_delivered(tx, message_id, channel) if got_through else None
        fates = await timeline.list_fates(tx, message_id, offset=offset, limit=limit + 1)
        page = Numbered(fates[:limit], len(fates) > limit, total)
        return Status(message, result, channel, delivered, page)

    return await db.read(look)


async def _counts(tx: Transaction, message_id: str, total: int) -> Counter[tuple[Channel, Result]]:
    """Return how many deliveries came to what; of very many one that got through says enough, and they are not counted."""
    if total > MOST_COUNTED:
        delivered = await timeline.find_delivered(tx, message_id, None)
        if delivered is not None:
            return Counter({(delivered.channel, Result.DELIVERED): 1})
    return await timeline.count_results(tx, message_id)


async def _standing(tx: Transaction, message: Message, counts: Counter[tuple[Channel, Result]]) -> Standing:
    waits = message.sent_at is None or await tasks.is_spreading(tx, message.id)
    kept = not counts and await timeline.was_in_an_inbox(tx, message.id)
    return Standing(waits, message.retracted_at is not None, message.notifications, kept)


def _of_all(counts: Counter[tuple[Channel, Result]]) -> Counter[Result]:
    whole: Counter[Result] = Counter()
    for (_, result), number in counts.items():
        whole[result] += number
    return whole
