"""Activity of any length, written straight into the tables: sending a million messages would take longer than reading of them.

A message goes to all of a tenant's users, in the proportions that an app's would: most into the inbox and to devices, most of them
transactional, a few by channels for which there is no provider. All that one message causes is of one moment, as it is when it is sent.
"""

import json
from dataclasses import dataclass, field
from random import Random as PseudoRandom

from server.domain.delivery import Channel, State, Suppressed
from server.domain.ids import new_id, new_push_id
from server.domain.message import Category
from server.domain.ports import Database, Transaction

MESSAGES_AT_ONCE = 10
BETWEEN = 1_000  # milliseconds, from one message to the next
_CHANNELS = (*8 * [(Channel.IN_APP, Channel.PUSH)], (Channel.EMAIL,), (Channel.SMS, Channel.CHAT))
_CATEGORIES = (
    *10 * [Category.TRANSACTIONAL],
    *6 * [Category.PRODUCT],
    *3 * [Category.PROMOTIONAL],
    Category.SYSTEM,
)
_USER = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at) VALUES ($1, $2, $3, 'user', '{}', 0)"
_BUCKET = "INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ($1, $2, $3, $3, 0)"
_MESSAGE = (
    "INSERT INTO messages (id, tenant_id, bucket_id, delivery_type, category, content, notifications, created_at, sent_at,"
    " expires_at) VALUES ($1, $2, $3, 'NORMAL', $4, $5, $6, $7, $7, $7)"
)
_ITEM = (
    "INSERT INTO inbox_items (id, message_id, user_id, bucket_id, created_at, changed_at)"
    " VALUES ($1, $2, $3, $4, $5, $5)"
)
_DELIVERY = (
    "INSERT INTO deliveries (id, message_id, user_id, channel, kind, frame_id, state, reason, attempts, created_at, due_at,"
    " turn, expires_at, settled_at, tenant_id, category)"
    " VALUES ($1, $2, $3, $4, 1, $2, $5, $6, 1, $7, $7, $7, $7, $7, $8, $9)"
)
_Rows = list[tuple[object, ...]]


@dataclass
class Past:
    """The activity of one tenant, which goes on where it was left; `rows` are its deliveries so far, `now` its end."""

    db: Database
    tenant_id: str
    now: int
    readers: int
    rows: int = 0
    _users: list[str] = field(default_factory=list)
    _bucket: str = ""

    def __post_init__(self) -> None:
        self._chance = PseudoRandom(self.tenant_id)  # noqa: S311 - it must repeat

    async def grow(self, rows: int) -> None:
        """Add messages until there are so many deliveries, and a few more."""
        if not self._bucket:
            await self.db.write(self._begin)
        while self.rows < rows:
            await self.db.write(self._messages)

    async def _begin(self, tx: Transaction) -> None:
        self._bucket = new_id(self.now, self._chance.randbytes)
        await tx.run(_BUCKET, self._bucket, self.tenant_id, f"past of {self.tenant_id}")
        self._users = [new_id(self.now, self._chance.randbytes) for _ in range(self.readers)]
        names = [f"{self.tenant_id}-{number}" for number in range(self.readers)]
        await tx.many(
            _USER, [(id_, self.tenant_id, name) for id_, name in zip(self._users, names, strict=True)]
        )

    async def _messages(self, tx: Transaction) -> None:
        messages: _Rows = []
        items: _Rows = []
        deliveries: _Rows = []
        for _ in range(MESSAGES_AT_ONCE):
            self._message(messages, items, deliveries)
        for sql, values in ((_MESSAGE, messages), (_ITEM, items), (_DELIVERY, deliveries)):
            await tx.many(sql, values)

    def _message(self, messages: _Rows, items: _Rows, deliveries: _Rows) -> None:
        self.now += BETWEEN
        message = new_id(self.now, self._chance.randbytes)
        channels, category = self._chance.choice(_CHANNELS), self._chance.choice(_CATEGORIES).value
        content = json.dumps({"title": f"message {self.now}", "body": "x" * 200})
        messages.append((message, self.tenant_id, self._bucket, category, content, self.readers, self.now))
        for user in self._users:
            if Channel.IN_APP in channels:
                item = new_id(self.now, self._chance.randbytes)
                items.append((item, message, user, self._bucket, self.now))
            for channel in channels:
                state, reason = _outcome(channel)
                id_ = new_push_id(self._chance.randbytes)
                deliveries.append(
                    (id_, message, user, channel.value, state, reason, self.now, self.tenant_id, category)
                )
        self.rows += self.readers * len(channels)


def _outcome(channel: Channel) -> tuple[str, str | None]:
    if channel in (Channel.IN_APP, Channel.PUSH):
        return State.ACCEPTED.value, None
    return State.SUPPRESSED.value, Suppressed.NO_CHANNEL.value
