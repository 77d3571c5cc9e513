"""A large installation as revision 0002 left it, written straight into its tables: what an update of years of messages costs.

Each message went to one user, into the inbox and to a device; most were read, some came to nothing, a few still wait, and some were
taken back. What the book says is what is there.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random as PseudoRandom

from server.domain.delivery import State
from server.domain.ids import new_id, new_push_id
from server.domain.ports import Database, Transaction
from server.store.database import open_database

AT_ONCE = 10_000
BETWEEN = 60_000  # milliseconds, from one message to the next
TENANT = "default"
_STATES = (*90 * [State.ACCEPTED], *4 * [State.FAILED], *3 * [State.EXPIRED], *2 * [State.GONE], State.QUEUED)
_TYPES = (*16 * ["NORMAL"], "CRITICAL", "SILENT", *2 * ["NO_PUSH"])
_USER = "INSERT INTO users (id, tenant_id, username, role, profile, created_at) VALUES ($1, $2, $1, 'user', '{}', 0)"
_BUCKET = "INSERT INTO buckets (id, tenant_id, owner_id, name, created_at) VALUES ($1, $2, $3, 'default', 0)"
_MEMBER = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 0)"
_DEVICE = (
    "INSERT INTO devices (id, user_id, name, platform, token_hash, head, created_at)"
    " VALUES ($1, $2, 'phone', 'ios', $3, 0, 0)"
)
_MESSAGE = (
    "INSERT INTO messages (id, tenant_id, bucket_id, sender_id, delivery_type, content, notifications, created_at, sent_at,"
    " expires_at, retracted_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $8, $9)"
)
_ITEM = "INSERT INTO inbox_items (id, message_id, user_id, created_at, read_at) VALUES ($1, $2, $3, $4, $5)"
_DELIVERY = (
    "INSERT INTO deliveries (id, message_id, user_id, device_id, channel, kind, frame_id, sequence, state, attempts,"
    " created_at, due_at, turn, expires_at, settled_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10, $10, $11, $12)"
)
_BOOK = (
    "INSERT INTO delivery_tallies (book, created, waiting, accepted, gone, expired, failed, cancelled, suppressed)"
    " VALUES ('live', $1, $2, $3, $4, $5, $6, 0, 0)"
)
_CONTENT = '{"title": "message", "body": "' + 200 * "x" + '"}'
_DAY = 86_400_000
_Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Old:
    """How much of everything; a delivery in ten is of what followed a message, the others are two for each."""

    users: int = 5_000
    messages: int = 200_000

    @property
    def deliveries(self) -> int:
        return 2 * self.messages


async def fill_old(url: str, now: int, old: Old) -> None:
    """Write it into the tables of revision 0002, which are there and empty; the newest message is of `now`."""
    filling = _Filling(old, now - old.messages * BETWEEN)
    database = await open_database(url)
    try:
        await database.write(filling.begin)
        for start in range(0, old.messages, AT_ONCE):
            await filling.write(database, min(AT_ONCE, old.messages - start))
        await database.write(filling.end)
    finally:
        await database.close()


class _Filling:
    def __init__(self, old: Old, start: int) -> None:
        self._chance = PseudoRandom(0)  # noqa: S311 - it must repeat
        self._now = start
        self._tenant, self._bucket = self._id(), self._id()
        self._users = [self._id() for _ in range(old.users)]
        self._devices = [self._id() for _ in range(old.users)]
        self._states: Counter[State] = Counter()
        self._sequence = 0

    def _id(self) -> str:
        return new_id(self._now, self._chance.randbytes)

    async def begin(self, tx: Transaction) -> None:
        await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, 0)", self._tenant, TENANT)
        await tx.many(_USER, [(user, self._tenant) for user in self._users])
        await tx.run(_BUCKET, self._bucket, self._tenant, self._users[0])
        await tx.many(_MEMBER, [(self._bucket, user) for user in self._users])
        hashed = [self._chance.randbytes(32) for _ in self._devices]
        await tx.many(_DEVICE, list(zip(self._devices, self._users, hashed, strict=True)))

    async def write(self, database: Database, count: int) -> None:
        messages: _Rows = []
        items: _Rows = []
        deliveries: _Rows = []
        for _ in range(count):
            self._message(messages, items, deliveries)

        async def job(tx: Transaction) -> None:
            for sql, rows in ((_MESSAGE, messages), (_ITEM, items), (_DELIVERY, deliveries)):
                await tx.many(sql, rows)

        await database.write(job)

    async def end(self, tx: Transaction) -> None:
        states = (State.QUEUED, State.ACCEPTED, State.GONE, State.EXPIRED, State.FAILED)
        await tx.run(_BOOK, self._states.total(), *(self._states[state] for state in states))

    def _message(self, messages: _Rows, items: _Rows, deliveries: _Rows) -> None:
        self._now += BETWEEN
        chance = self._chance.random
        which = self._chance.randrange(len(self._users))
        user, device, message = self._users[which], self._devices[which], self._id()
        retracted = self._now + 1000 if chance() < 0.02 else None
        kind = self._chance.choice(_TYPES)
        content = None if retracted else _CONTENT
        expires = self._now + 30 * _DAY
        messages.append(
            (
                message,
                self._tenant,
                self._bucket,
                self._users[0],
                kind,
                content,
                self._now,
                expires,
                retracted,
            )
        )
        read = self._now + 5000 if chance() < 0.7 else None
        items.append((self._id(), message, user, self._now, read))
        self._delivery(deliveries, message, user, None, message, State.ACCEPTED)
        follows = chance() < 0.2
        frame = self._id() if follows else message
        self._delivery(deliveries, message, user, device, frame, self._chance.choice(_STATES))

    def _delivery(
        self, deliveries: _Rows, message: str, user: str, device: str | None, frame: str, state: State
    ) -> None:
        self._states[state] += 1
        self._sequence += 1
        first = frame == message
        deliveries.append((
            new_push_id(self._chance.randbytes),
            message if first else None,
            user,
            device,
            "IN_APP" if device is None else "PUSH",
            1 if first else 3,
            frame,
            self._sequence if device and first else None,
            state.value,
            self._now,
            self._now + 30 * _DAY,
            None if state is State.QUEUED else self._now,
        ))  # fmt: skip
