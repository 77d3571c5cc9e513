"""Messages over time: people with phones, a worker and a scheduler that are at once, and a clock that a test sets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from server.commands.due import run_due
from server.commands.receipts import report
from server.commands.send import send
from server.domain.account import User
from server.domain.bucket import Permission
from server.domain.delivery import LEASE, Channel, Event, Parcel, Receipt, ReceiptEvent, Settlement
from server.domain.ids import new_id
from server.domain.message import DAY, NO_OPTIONS, Category, DeliveryType, Message, Options, SendMessage
from server.domain.ports import Database, Row, Transaction
from server.domain.task import Kind
from server.store import leases, tallies
from server.store.buckets import add_member
from server.store.leases import Times
from tests.harness.clock import at
from tests.harness.model_world import World

PLAIN = SendMessage(
    bucket=None,
    title="Water the plants",
    subtitle=None,
    body=None,
    delivery_type=DeliveryType.NORMAL,
    user_ids=None,
    topic=None,
    makes_users=False,
    everyone=False,
    exclude=(),
    within=None,
    subject=None,
    channels=(Channel.IN_APP, Channel.PUSH),
    category=Category.TRANSACTIONAL,
    data=None,
    deep_link=None,
    collapse_id=None,
    group_id=None,
    sound=None,
    locale=None,
    attachments=(),
    actions=(),
    tap_action=None,
    snoozes=(),
    postpones=(),
    tags=(),
    options=NO_OPTIONS,
    send_at=None,
    ttl=28 * DAY,
)
EPHEMERAL = Options(ephemeral=True, remind_every=None, max_reminders=0)


def reminding(every: int, most: int = 10, *, ephemeral: bool = False) -> Options:
    """Return options with a reminder every so many minutes."""
    return Options(ephemeral=ephemeral, remind_every=every, max_reminders=most)


@dataclass
class Calendar:
    """Ann's bucket, which Ben and Cleo read. `phones` are device ids by name."""

    world: World
    bucket: str
    phones: dict[str, str]

    @classmethod
    async def make(cls, world: World) -> "Calendar":
        """Take Ann's bucket, have Ben and Cleo read it, and pair two phones for Ben and one for Cleo."""
        ann, ben, cleo, _ = world.users
        bucket = next(one for one, owner in world.buckets.items() if owner == ann.id)
        made = cls(world, bucket, {})
        for user in (ben, cleo):
            await made.join(user)
        for name, user in (("ben", ben), ("ben's tablet", ben), ("cleo", cleo)):
            made.phones[name], _ = await world.pair(user, web=False)
        await world.db.write(lambda tx: tx.run("DELETE FROM tasks"))
        await world.db.write(
            lambda tx: tx.run(
                "UPDATE bucket_members SET permissions = '[\"WRITE\"]' WHERE user_id = $1", ann.id
            )
        )
        return made

    @property
    def db(self) -> Database:
        return self.world.db

    @property
    def now(self) -> int:
        return self.world.clock()

    @property
    def ann(self) -> User:
        return self.world.users[0]

    @property
    def ben(self) -> User:
        return self.world.users[1]

    @property
    def cleo(self) -> User:
        return self.world.users[2]

    async def join(self, user: User) -> None:
        await self.db.write(lambda tx: add_member(tx, self.bucket, user.id, (Permission.READ,), self.now))

    def set_clock(self, text: str) -> None:
        """Set the clock to an instant, RFC 3339."""
        self.world.clock.now = at(text)

    async def send(self, **changed: Any) -> Message:
        """Send a message from Ann, who does not read it, to her bucket."""
        command = replace(PLAIN, bucket=self.bucket, **changed)
        caller = self.world.caller(self.ann)
        return (await send(self.world.sender, caller, command, key=None, now=self.now)).message

    async def run(self) -> list[Kind]:
        """Do what is due, as a scheduler does, and return what that was."""
        done = []
        while task := await run_due(
            self.db, now=self.now, random=self.world.random, log=structlog.get_logger()
        ):
            done.append(task.kind)
        return done

    async def wait(self, minutes: int) -> list[Kind]:
        """Let minutes pass one by one, and what comes due happen."""
        done = []
        for _ in range(minutes):
            self.world.clock.advance(60_000)
            done += await self.run()
        return done

    async def lease(self) -> list[Parcel]:
        """Take what waits, as a worker does, and return it; it stays under way."""
        now, lease = self.now, new_id(self.now, self.world.random)
        await self.db.write(lambda tx: leases.claim(tx, lease, now=now, until=now + LEASE, limit=500))
        batch = await self.db.read(lambda tx: leases.read_batch(tx, lease))
        return list(batch.parcels)

    async def deliver(self) -> list[Parcel]:
        """Take all that waits to the phones, and return what they got; what is withdrawn they do not get."""
        got: list[Parcel] = []
        while True:
            parcels = await self.lease()
            if not parcels:
                return got
            await self.settle(parcels)
            got += [parcel for parcel in parcels if not parcel.is_withdrawn]

    async def settle(self, parcels: Sequence[Parcel]) -> None:
        """Have the provider take what a worker holds."""
        now = self.now
        rows = await self.rows("deliveries", state="leased")
        lease_of = {row["id"]: str(row["lease"]) for row in rows}
        for lease in set(lease_of.values()):
            outcomes = [
                Settlement(
                    parcel.id,
                    parcel.device_id,
                    Event.CANCEL if parcel.is_withdrawn else Event.ACCEPT,
                    None,
                    now,
                )
                for parcel in parcels
                if lease_of.get(parcel.id) == lease  # its device may have been deleted meanwhile
            ]

            async def job(tx: Transaction, lease: str = lease, outcomes: list[Settlement] = outcomes) -> None:
                await leases.settle(tx, lease, outcomes, now, Times(now, now))

            await self.db.write(job)

    async def read_on(self, phone: str, *frames: str) -> None:
        """Have a phone report that frames were read on it."""
        user = self.cleo if phone == "cleo" else self.ben
        receipts = [Receipt(frame, ReceiptEvent.READ, None, self.now) for frame in frames]
        calling = self.world.calling(self.phones[phone], user.id)
        await report(self.db, calling, receipts, now=self.now, random=self.world.random, wake=lambda: None)

    def names(self, parcels: Sequence[Parcel]) -> list[tuple[str, int]]:
        """Return the phones that got something, and its kind."""
        by_id = {id_: name for name, id_ in self.phones.items()}
        return sorted((by_id[parcel.device_id], int(parcel.kind)) for parcel in parcels)

    async def rows(self, table: str, **having: object) -> list[dict[str, Any]]:
        """Return the rows of a table that have these values."""
        rows: Sequence[Row] = await self.db.read(lambda tx: tx.all(f"SELECT * FROM {table}"))  # noqa: S608 - our names
        return [row for row in map(dict, rows) if having.items() <= row.items()]

    async def item(self, user: User, message: Message) -> dict[str, Any]:
        """Return a user's item of a message."""
        [item] = await self.rows("inbox_items", user_id=user.id, message_id=message.id)
        return item

    async def check(self) -> None:
        """Nothing is lost."""
        assert (await self.db.read(tallies.audit)).holds
