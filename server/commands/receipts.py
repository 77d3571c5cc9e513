"""What devices report: written down, and what was read on one is cleared on the others. Repeating it changes nothing."""

from collections.abc import Callable, Sequence

from server.domain.account import CallingDevice
from server.domain.delivery import Receipt
from server.domain.ports import Database, Random, Transaction
from server.store import inbox, outbox
from server.store.receipts import acknowledge


async def report(
    db: Database,
    device: CallingDevice,
    receipts: Sequence[Receipt],
    *,
    now: int,
    random: Random,
    wake: Callable[[], None],
) -> None:
    """Take a device's receipts; one for what it was never sent changes nothing."""

    async def job(tx: Transaction) -> bool:
        read = await acknowledge(tx, device.id, receipts)
        fresh = await inbox.mark_read(tx, device.user_id, read, now)
        if not fresh:
            return False
        told = await outbox.tell_read(tx, device.user_id, fresh, but=device.id, now=now, random=random)
        return bool(told)

    if await db.write(job):
        wake()
