"""What people and their devices do, as steps of a state machine: each on a database and on the model, which must agree on the answer.

The worker's steps, and what must hold after each, are in `tests/server/commands/test_state_machine.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from crypto.envelope import open_envelope
from crypto.keys import DeviceKey, Suite
from server.commands import devices
from server.commands.fetch import Fetch, fetch
from server.commands.messages import retract
from server.commands.receipts import report
from server.commands.repeats import key_of_send
from server.commands.send import send
from server.domain.account import User
from server.domain.bucket import Permission
from server.domain.delivery import Channel, Receipt, ReceiptEvent
from server.domain.errors import Refusal
from server.domain.message import LONGEST_TTL, DeliveryType
from server.domain.ports import Database, Transaction
from server.store.buckets import add_member
from tests.harness.calendar import PLAIN
from tests.harness.model import Model, Refused
from tests.harness.model_rows import Device, Message
from tests.harness.model_world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

SECOND, DAY = 1000, 86_400_000
WHICH = st.sampled_from(range(24))  # of what is there, the rest of a division
AFTER = st.sampled_from([1, 20, 50, 400, SECOND, 6 * SECOND, 31 * SECOND, 61 * SECOND, 3600 * SECOND])
PERMISSIONS = st.sets(st.sampled_from(Permission), min_size=1)
RIGHTS = (  # of the members of the first bucket, beside its owner
    {Permission.READ, Permission.WRITE},
    {Permission.READ},
    {Permission.READ, Permission.DELETE},
)


STEPS: dict[str, st.SearchStrategy[tuple[str, dict[str, Any]]]] = {}


def step(**arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Make a method one of the machine's steps.

    As rules of their own, half of them would be switched off in most examples: here little happens where one of sending, claiming,
    settling and waiting is missing.
    """

    def register(method: F) -> F:
        STEPS[method.__name__] = st.tuples(st.just(method.__name__), st.fixed_dictionaries(arguments))
        return method

    return register


class PeopleSteps(RuleBasedStateMachine):
    """A server, its people and their devices; time passes only where a step says so."""

    def __init__(
        self, runner: asyncio.Runner, fresh: Callable[[], Awaitable[Database]], pool: Executor
    ) -> None:
        super().__init__()
        self.runner, self.fresh, self.pool = runner, fresh, pool
        self.leases: list[tuple[str, dict[str, str | None]]] = []  # with the handles that were there
        self.steps = 0

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return self.do(self.world.db.write(job))

    def attempt(self, work: Awaitable[T]) -> tuple[T | None, str | None]:
        """Do it and return the answer, or the code of the refusal."""
        try:
            return self.do(work), None
        except Refusal as refusal:
            return None, refusal.reason

    def verdict(self, call: Callable[[], T]) -> tuple[T | None, str | None]:
        """Have the model do it and return the same."""
        try:
            return call(), None
        except Refused as refused:
            return None, refused.code

    @property
    def now(self) -> int:
        return self.world.clock()

    @initialize(
        page=st.sampled_from([1, 1, 2, 3, 500]),
        phones=st.lists(st.tuples(WHICH, st.booleans()), min_size=3, max_size=7),
    )
    def begin(self, page: int, phones: list[tuple[int, bool]]) -> None:
        self.world = self.do(World.make(self.do(self.fresh()), page, self.pool))
        self.model = Model(page, [user.id for user in self.world.users], self.world.buckets, self.now)
        for who, rights in enumerate(RIGHTS, start=1):
            self.join(0, who, rights)
        for owner, web in phones:
            self.pair(owner, web=web and owner % 2 == 0)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.do(self.world.db.close())

    # Steps

    @step(kind=st.sampled_from([DeliveryType.NORMAL, DeliveryType.CRITICAL]))
    def send_to_all(self, kind: DeliveryType) -> None:
        self.send_as(self.world.users[0], next(iter(self.world.buckets)), kind, None, None, None, 0)

    @step(
        who=WHICH,
        where=WHICH,
        kind=st.sampled_from(DeliveryType),
        named=st.none() | st.lists(WHICH, min_size=1, max_size=3),
        delay=st.none() | AFTER,
        key=st.none() | st.integers(0, 2),
    )
    def send(
        self,
        who: int,
        where: int,
        kind: DeliveryType,
        named: list[int] | None,
        delay: int | None,
        key: int | None,
    ) -> None:
        """Mostly somebody who may; what is asked for with a key is one of two requests."""
        bucket = pick(list(self.world.buckets), where)
        writers = [
            u for u in self.world.users if not self.verdict(partial(self.model.check_sender, u.id, bucket))[1]
        ]
        user = pick(writers if writers and who % 4 else self.world.users, who)
        people = None if named is None else [pick(self.world.users, index) for index in named]
        self.send_as(user, bucket, kind, people, delay, key, who % 2)

    def send_as(
        self,
        user: User,
        bucket: str,
        kind: DeliveryType,
        people: list[User] | None,
        delay: int | None,
        key: int | None,
        asked: int,
    ) -> None:
        self.steps += 1
        name = None if key is None else f"{user.username} {key}"
        title = f"message {self.steps}"
        command = replace(
            PLAIN,
            bucket=bucket,
            title=title,
            delivery_type=kind,
            user_ids=None
            if people is None
            else tuple(p.id if p.id > user.id else p.username or "" for p in people),
            channels=(Channel.IN_APP,) if kind is DeliveryType.NO_PUSH else (Channel.IN_APP, Channel.PUSH),
            send_at=None if delay is None else self.now + delay,
            ttl=LONGEST_TTL if self.steps % 3 else 10 * SECOND,
        )
        key_of = (
            None if name is None else key_of_send(self.world.caller(user), "POST", name, str(asked).encode())
        )
        work = send(self.world.sender, self.world.caller(user), command, key=key_of, now=self.now)
        sent, refused = self.attempt(work)
        repeat, expected = self.verdict(lambda: self.model.find_repeat(name, asked, self.now))
        if expected is None and repeat is None:
            _, expected = self.verdict(lambda: self.model.check_sender(user.id, bucket))
        assert refused == expected
        if sent is None:
            return
        assert sent.repeated == (repeat is not None)
        if repeat is not None:
            assert sent.message.id == repeat
            self.model.ahead[user.id] = self.model.turn_of(user.id, self.now)
            return
        message = Message(
            sent.message.id,
            bucket,
            user.id,
            kind.value,
            None if people is None else [person.id for person in people],
            title,
            self.now,
            command.send_at,
            None,
            (command.send_at or self.now) + command.ttl,
        )
        self.model.send(message, name, asked, self.now)

    @step(who=WHICH, which=WHICH)
    def retract(self, who: int, which: int) -> None:
        """Mostly its sender, and one of the latest."""
        if not self.model.messages:
            return
        message = pick(list(self.model.messages.values())[-4:], which)
        senders = [user for user in self.world.users if user.id == message.sender]
        user = pick(senders if who % 3 else self.world.users, who)
        world = self.world
        work = retract(world.db, user, message.id, clock=lambda: self.now, random=world.random, wake=_nobody)
        _, refused = self.attempt(work)
        _, expected = self.verdict(lambda: self.model.retract(user.id, message.id, self.now))
        assert refused == expected

    @step(which=WHICH, how=st.sampled_from(["pair", "pair web", "unpair", "renew", "renew", "key"]))
    def change_device(self, which: int, how: str) -> None:
        if how.startswith("pair"):
            self.pair(which, web=how == "pair web")
        elif device := self.some_device(which):
            {"unpair": self.unpair, "renew": self.renew_handle, "key": self.replace_key}[how](device)

    def pair(self, who: int, *, web: bool) -> None:
        user = pick(self.world.users, who)
        id_, handle = self.do(self.world.pair(user, web=web))
        self.model.devices[id_] = Device(id_, user.id, web, handle)

    def unpair(self, device: Device) -> None:
        self.do(devices.unpair(self.world.db, device.user, device.id))
        self.model.unpair(device.id)

    def renew_handle(self, device: Device) -> None:
        handle = self.world.handle()
        self.do(devices.renew_handle(self.world.db, device.id, handle, now=self.now, wake=_nobody))
        self.model.renew(device.id, handle, self.now)

    def replace_key(self, device: Device) -> None:
        key = DeviceKey.generate(Suite.X25519, self.world.random)
        work = devices.replace_key(self.world.db, device.id, int(key.suite), key.public.raw, now=self.now)
        self.do(work)
        self.world.phones[device.id] = key

    @step(where=WHICH, who=WHICH, permissions=st.none() | PERMISSIONS)
    def change_member(self, where: int, who: int, permissions: set[Permission] | None) -> None:
        bucket, user = pick(list(self.world.buckets), where), pick(self.world.users, who)
        if permissions is None and self.world.buckets[bucket] != user.id:
            self.leave(bucket, user)
        elif permissions is not None:
            self.join(where, who, permissions)

    def join(self, where: int, who: int, permissions: set[Permission]) -> None:
        bucket, user = pick(list(self.world.buckets), where), pick(self.world.users, who)
        if user.id not in self.model.members[bucket]:
            self.write(lambda tx: add_member(tx, bucket, user.id, permissions, self.now))
            self.model.members[bucket][user.id] = {permission.value for permission in permissions}

    def leave(self, bucket: str, user: User) -> None:
        sql = "DELETE FROM bucket_members WHERE bucket_id = $1 AND user_id = $2"
        self.write(lambda tx: tx.run(sql, bucket, user.id))
        self.model.members[bucket].pop(user.id, None)

    @step(which=WHICH, after=st.integers(0, 4), limit=st.integers(1, 4))
    def fetch(self, which: int, after: int, limit: int) -> None:
        if not (device := self.some_device(which)):
            return
        world, calling = self.world, self.world.calling(device.id, device.user)
        command = Fetch(after, limit)
        got = self.do(
            fetch(world.db, calling, command, sealer=world.sealer, resolver=world.resolver, now=self.now)
        )
        expected = self.model.fetched(device.id, after, self.now)
        assert [(n.sequence, n.message_id, n.state) for n in got.messages] == expected[:limit]
        assert (got.head, got.more) == (device.head, len(expected) > limit)
        assert (got.retracted, got.read) == self.model.news(device.id, self.now)
        server = world.sealer.identity.public
        for named in got.messages:
            assert (named.envelope is None) == (named.state is not None)
            if named.envelope is not None:
                keys, id_ = [world.phones[device.id]], UUID(device.id)
                frame = open_envelope(named.envelope, keys=keys, device_id=id_, server=server)
                assert (str(frame.message_id), frame.sequence) == (named.message_id, named.sequence)
                assert f'"{self.model.messages[named.message_id].title}"'.encode() in frame.body

    @step(
        which=WHICH, events=st.lists(st.tuples(WHICH, st.sampled_from(ReceiptEvent)), min_size=1, max_size=4)
    )
    def report(self, which: int, events: list[tuple[int, ReceiptEvent]]) -> None:
        if not (device := self.some_device(which)):
            return
        given = [one.message for one in self.model.of_device(device.id) if one.message is not None]
        frames = [*(given or self.model.messages), None, *list(self.model.messages)[-1:]]
        receipts = [
            Receipt(
                pick(frames, index),
                event,
                "altered" if event is ReceiptEvent.FAILED else None,
                self.now - index,
            )
            for index, event in events
        ]
        world, calling = self.world, self.world.calling(device.id, device.user)
        self.do(report(world.db, calling, receipts, now=self.now, random=world.random, wake=_nobody))
        self.model.report(
            device.id, [(r.frame_id, r.event.value, r.reason, r.at) for r in receipts], self.now
        )

    def some_device(self, which: int) -> Device | None:
        found = sorted(self.model.devices.values(), key=lambda device: device.id)
        return pick(found, which) if found else None


def pick(items: Any, which: int) -> Any:
    return items[which % len(items)]


def _nobody() -> None:
    """Nobody is to be woken: the machine itself is the worker."""
