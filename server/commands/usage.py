"""When tokens were last used and devices last seen: noted in memory, written now and then.

A write for every request would cost more than the request. What was noted since the last writing is lost with the
process, and that is all.
"""

from server.domain.ports import Database, Transaction
from server.store import devices, tokens


class Usage:
    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._devices: dict[str, int] = {}

    def note_token(self, token_id: str, now: int) -> None:
        self._tokens[token_id] = now

    def note_device(self, device_id: str, now: int) -> None:
        self._devices[device_id] = now

    async def write(self, db: Database) -> None:
        """Write what was noted since the last time; what cannot be written is kept for the next."""
        # In the order in which everybody locks several devices: two that write do not deadlock.
        used, seen = sorted(self._tokens.items()), sorted(self._devices.items())
        if not used and not seen:
            return

        async def job(tx: Transaction) -> None:
            await tokens.note_use(tx, used)
            await devices.note_seen(tx, seen)

        await db.write(job)
        self._drop(self._tokens, dict(used))
        self._drop(self._devices, dict(seen))

    @staticmethod
    def _drop(noted: dict[str, int], written: dict[str, int]) -> None:
        for name, at in written.items():
            if noted.get(name) == at:
                del noted[name]
