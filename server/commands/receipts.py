"""What devices report: written down, and what was read on one is cleared on the others. Repeating it changes nothing."""

from collections.abc import Callable, Sequence

from server.commands.marks import mark_read
from server.domain.account import CallingDevice
from server.domain.delivery import Receipt
from server.domain.ports import Database, Random, Transaction
from server.store.receipts import acknowledge


async def report(
    db: Database,
    device: CallingDevice,
    receipts: Sequence[Receipt],
    *,
    now: int,
    random: Random,
    wake: Callable[[], None],
) -> list[int]:
    """Take a device's receipts; one for what it was never sent changes nothing.

    Returns how many milliseconds it took from a provider to the device, of each message that it has now.
    """

    async def job(tx: Transaction) -> tuple[list[int], bool]:
        done = await acknowledge(tx, device.id, receipts)
        is_work = await mark_read(tx, device.user_id, done.read, but_device=device.id, now=now, random=random)
        return done.took, is_work

    took, is_work = await db.write(job)
    if is_work:
        wake()
    return took
