"""Commands against a model: whatever is done in whatever order, both engines hold what plain Python says.

Every step is a command on a database and on the model (`tests/harness/model.py`); after it all tables and the book are compared. In `./dev check`
the examples are few and always the same. For a long search with new ones each time:

    HUSHPOST_TEST_EXAMPLES=5000 .venv/bin/python -m pytest tests/server/commands/test_state_machine.py
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from server.commands.deliveries import retry
from server.commands.due import put_back, run_due
from server.commands.messages import ListMessages, get_message, list_messages
from server.domain.delivery import LEASE, Event, Settlement
from server.domain.ports import Database
from server.domain.tally import COLUMNS
from server.domain.turns import SPREAD
from server.store import leases, tallies
from server.store.database import open_database
from server.store.leases import Times
from tests.harness import databases
from tests.harness.model_rows import Delivery
from tests.harness.model_steps import AFTER, DAY, SECOND, STEPS, WHICH, PeopleSteps, pick, step
from tests.harness.model_world import Silence, told

_EXAMPLES = int(os.environ.get("HUSHPOST_TEST_EXAMPLES", "0"))
DAYS = st.sampled_from([DAY, 8 * DAY, 27 * DAY, 31 * DAY])
LIMIT = st.sampled_from([1, 2, 500])
SETTLED = st.sampled_from(
    [Event.ACCEPT, Event.DEAD_HANDLE, Event.RETRY, Event.REJECT, Event.EXPIRE, Event.CANCEL]
)
OUTCOME = st.tuples(SETTLED, st.sampled_from(["used", "old", "none"]), st.sampled_from([0, 7 * SECOND]))
OUTCOMES = st.lists(OUTCOME, min_size=1, max_size=4)


class Commands(PeopleSteps):
    """The whole machine: people, devices, a worker, a scheduler and the time."""

    @step(limit=LIMIT, ahead=st.sampled_from([0, SPREAD]))
    def claim(self, limit: int, ahead: int) -> None:
        lease, until = f"lease {self.steps} {len(self.leases)}", self.now + LEASE
        number = self.write(
            lambda tx: leases.claim(tx, lease, now=self.now, until=until, limit=limit, ahead=ahead)
        )
        claimed = self.do(self.world.under(lease))
        assert len(claimed) == number
        self.model.claim(lease, claimed, limit, ahead, self.now)
        if claimed:
            self.leases.append((lease, {d.id: d.handle for d in self.model.devices.values()}))
            self.check_batch(lease)

    @step(limit=LIMIT, outcomes=OUTCOMES, woken=st.booleans())
    def deliver(self, limit: int, outcomes: list[tuple[Event, str, int]], *, woken: bool) -> None:
        self.claim(limit, SPREAD)
        self.settle(-1, outcomes, woken=woken)

    @step(which=WHICH, outcomes=OUTCOMES, woken=st.booleans())
    def settle(self, which: int, outcomes: list[tuple[Event, str, int]], *, woken: bool) -> None:
        if not self.leases:
            return
        lease, handles = pick(self.leases[-3:], which)
        batch = self.do(self.world.db.read(lambda tx: leases.read_batch(tx, lease)))
        held = [self.model.deliveries[self.world.ids[parcel.id]] for parcel in batch.parcels]
        given = [
            (one, self.outcome(parcel.id, one, handles, *pick(outcomes, index), woken=woken))
            for index, (one, parcel) in enumerate(zip(held, batch.parcels, strict=True))
        ]
        settlements = [settlement for _, settlement in given]
        written = self.write(
            lambda tx: leases.settle(tx, lease, settlements, self.now, Times(self.now, self.now))
        )
        expected = [(s.id, *self.model.settle(one, s, self.now)) for one, s in given]
        for s in {s.device_id: s for s in settlements if s.event is Event.DEAD_HANDLE}.values():
            self.model.retire(s.device_id, s.handle, s.reason)
        assert [(s.id, s.event, s.reason) for s in written] == expected

    def outcome(
        self,
        id_: str,
        one: Delivery,
        handles: dict[str, str | None],
        event: Event,
        used: str,
        wait: int,
        *,
        woken: bool,
    ) -> Settlement:
        reasons = {Event.DEAD_HANDLE: "unregistered", Event.RETRY: "limited", Event.REJECT: "malformed"}
        return Settlement(
            id_,
            one.device,
            event,
            reasons.get(event),
            self.now + wait,
            handle={"used": handles.get(one.device), "old": "an old one", "none": None}[used],
            woken=woken and event is Event.ACCEPT,
            relayed=used != "none" or event is Event.RETRY,
            counts=used != "none" or event is not Event.RETRY,
            keeps_turn=used == "none" and event is Event.RETRY and wait > 0,
        )

    @step(which=WHICH, how=st.sampled_from(["extend", "give back", "recover", "start again"]))
    def change_leases(self, which: int, how: str) -> None:
        """Leases are extended, given back, taken back when they have ended, and all of them by a process that starts."""
        leased = [one for one in self.model.deliveries.values() if one.state == "leased"]
        if how == "recover":
            self.recover()
        elif how == "start again":
            assert self.write(lambda tx: leases.release(tx, self.now)) == len(leased)
            self.model.requeue(leased, self.now)
        elif self.leases:
            lease, _ = pick(self.leases[-3:], which)
            (self.extend if how == "extend" else self.give_back)(lease, self.model.held(lease))

    def recover(self) -> None:
        overdue = self.model.overdue(self.now)
        assert self.do(self.world.db.read(lambda tx: leases.any_overdue(tx, self.now))) == bool(overdue)
        assert self.write(lambda tx: leases.recover(tx, self.now)) == len(overdue)
        self.model.requeue(overdue, self.now)

    def extend(self, lease: str, held: list[Delivery]) -> None:
        assert self.write(lambda tx: leases.extend(tx, lease, self.now + LEASE)) == len(held)
        for one in held:
            one.due = self.now + LEASE

    def give_back(self, lease: str, held: list[Delivery]) -> None:
        assert self.write(lambda tx: leases.give_back(tx, lease, self.now)) == len(held)
        self.model.requeue(held, self.now)

    @step(which=st.lists(WHICH, min_size=1, max_size=3))
    def revive(self, which: list[int]) -> None:
        """An admin has deliveries tried again, mostly dead ones."""
        there = list(self.model.deliveries.values())
        dead = [one for one in there if one.state in ("gone", "failed", "expired")]
        chosen = {pick(dead or there, index).key for index in which} if there else set()
        ids = [id_ for id_, key in self.world.ids.items() if key in chosen and key in self.model.deliveries]
        retried = self.do(retry(self.world.db, ids, now=self.now, wake=_nobody))
        refused = {
            id_: self.model.revive(self.model.deliveries[self.world.ids[id_]], self.now) for id_ in ids
        }
        assert retried.refused == {id_: reason for id_, reason in refused.items() if reason is not None}
        assert retried.queued == sum(reason is None for reason in refused.values())

    @step(most=st.sampled_from([1, 3, 12]))
    def run_tasks(self, most: int) -> None:
        for _ in range(most):
            world = self.world
            done = self.do(run_due(world.db, now=self.now, random=world.random, log=Silence()))
            if done is None:
                assert all(task.due > self.now for task in self.model.tasks)
                return
            self.model.run(done.kind.value, done.message_id, self.now)

    @step(milliseconds=AFTER | DAYS)
    def wait(self, milliseconds: int) -> None:
        self.world.clock.advance(milliseconds)

    @step(milliseconds=AFTER)
    def put_clock_back(self, milliseconds: int) -> None:
        self.world.clock.advance(-milliseconds)
        self.write(lambda tx: leases.advance(tx, self.now))
        self.do(put_back(self.world.db, self.now))
        self.model.put_back(self.now)

    @rule(chosen=st.deferred(lambda: st.one_of(*STEPS.values())))
    def do_one(self, chosen: tuple[str, dict[str, Any]]) -> None:
        name, arguments = chosen
        getattr(self, name)(**arguments)

    # What always holds

    @invariant()
    def tables_hold_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        model, there = self.model, self.do(self.world.tables())
        assert there["deliveries"] == {key: told(one) for key, one in model.deliveries.items()}
        assert there["devices"] == {
            d.id: (d.user, d.handle, d.fault, d.head, d.woken, d.last_fault, d.last_fault_at)
            for d in model.devices.values()
        }
        assert there["messages"] == {
            m.id: (
                m.created,
                m.scheduled,
                m.sent,
                m.expires,
                m.notifications,
                m.retracted,
                m.retracted is not None,
            )
            for m in model.messages.values()
        }
        assert there["inbox"] == model.inbox
        assert there["tasks"] == sorted((t.kind, t.message or "", t.due, list(t.after)) for t in model.tasks)
        assert there["keys"] == sorted((message, until) for _, message, until in model.keys.values())

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        """From 1 to the head of each device."""
        for device in self.model.devices.values() if hasattr(self, "model") else ():
            assert self.model.numbers(device.id) == list(range(1, device.head + 1))

    @invariant()
    def book_holds(self) -> None:
        if not hasattr(self, "model"):
            return
        audit = self.do(self.world.db.read(tallies.audit))
        assert audit.holds
        states = Counter(one.state for one in self.model.deliveries.values())
        states.update(self.model.pruned)
        expected = dict.fromkeys(COLUMNS, 0) | {"created": states.total()}
        for state, number in states.items():
            expected["waiting" if state in ("queued", "leased") else state] += number
        assert {name: getattr(audit.book, name) for name in COLUMNS} == expected

    @invariant()
    def people_see_what_they_may(self) -> None:
        if not hasattr(self, "model") or not self.model.messages:
            return
        self.steps += 1
        user = pick(self.world.users, self.steps)
        page = self.do(list_messages(self.world.db, user, ListMessages(None, None, 100)))
        assert [message.id for message in page.messages] == self.model.listed(user.id)
        message = pick(list(self.model.messages.values()), self.steps)
        seen = self.model.sees(user.id, message)
        code = "message_not_found" if not seen else None if message.retracted is None else "message_retracted"
        _, refused = self.attempt(get_message(self.world.db, user, message.id))
        assert refused == code

    def check_batch(self, lease: str) -> None:
        """What a worker reads of its lease: in the order of the numbers, without what was retracted."""
        batch = self.do(self.world.db.read(lambda tx: leases.read_batch(tx, lease)))
        held = {one.key: one for one in self.model.held(lease)}
        assert {self.world.ids[parcel.id] for parcel in batch.parcels} == held.keys()
        for parcel in batch.parcels:
            one = held[self.world.ids[parcel.id]]
            retracted = one.message is not None and self.model.messages[one.message].retracted is not None
            assert (parcel.body is None) == retracted
            assert batch.addresses[one.device].handle == self.model.devices[one.device].handle
        numbers = [(parcel.device_id, parcel.sequence) for parcel in batch.parcels if parcel.kind.numbered]
        assert numbers == sorted(numbers)


def _nobody() -> None:
    """Nobody is to be woken: the machine itself is the worker."""


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_commands_do_on_sqlite_what_the_model_says(
    sqlite_template: Path, tmp_path: Path, runner: asyncio.Runner, pool: Executor
) -> None:
    async def fresh() -> Database:
        url = databases.copy_sqlite(sqlite_template, tmp_path)  # over the last one, which is closed
        return await open_database(url)

    search(lambda: Commands(runner, fresh, pool), examples=40, steps=50)


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL")
def test_commands_do_on_postgresql_what_the_model_says(
    request: pytest.FixtureRequest, runner: asyncio.Runner, pool: Executor
) -> None:
    url = request.getfixturevalue("postgres_session_url")

    async def fresh() -> Database:
        databases.empty_postgres(url)
        return await open_database(url)

    search(lambda: Commands(runner, fresh, pool), examples=15, steps=40)


def search(machine: Callable[[], Commands], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # it says class, and calls it
        settings=settings(
            max_examples=_EXAMPLES or examples,
            stateful_step_count=steps,
            derandomize=not _EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
