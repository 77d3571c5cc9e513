"""What commands should do, in plain Python: people, devices, messages, deliveries and tasks, without SQL or locks.

It knows what the documents say and is told only the ids that were given. What it holds is compared with the tables, row for row,
after every command (`tests/server/commands/test_state_machine.py`). Where the documents leave an order open (what became due at
the same moment), it takes the one that it is shown if that is one of those allowed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from server.commands.spread import AHEAD, HELD
from server.domain.delivery import LEASE, Event, Settlement
from server.domain.turns import BULK, SPREAD
from tests.harness.model_rows import NO_DEVICE, Delivery, Device, Key, Message, Task

DAY = 86_400_000
WEEK = 7 * DAY
KEPT = 30 * DAY
WINDOW = 28 * DAY
ENDS = {
    Event.ACCEPT: "accepted",
    Event.DEAD_HANDLE: "gone",
    Event.REJECT: "failed",
    Event.EXPIRE: "expired",
    Event.CANCEL: "cancelled",
}
PUSHED = 1
RETRACT = 2
READ = 3


class Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Model:
    def __init__(self, page: int, users: Iterable[str], buckets: Mapping[str, str], now: int) -> None:
        self.page = page
        self.users = list(users)
        self.members = {
            bucket: {owner: {"READ", "WRITE", "DELETE", "ADMIN"}} for bucket, owner in buckets.items()
        }
        self.devices: dict[str, Device] = {}
        self.messages: dict[str, Message] = {}
        self.inbox: dict[tuple[str, str], int | None] = {}
        self.deliveries: dict[Key, Delivery] = {}
        self.tasks = [Task(kind, None, now) for kind in ("prune", "compact", "retain")]
        self.keys: dict[str, tuple[int, str, int]] = {}
        self.ahead: dict[str, int] = {}
        self.pruned: Counter[str] = Counter()
        self.leases: dict[str, int] = {}

    # Sending

    def find_repeat(self, name: str | None, asked: int, now: int) -> str | None:
        """Return the message that an idempotency key has made."""
        if name is None or name not in self.keys or self.keys[name][2] <= now:
            return None
        fingerprint, message, _ = self.keys[name]
        if fingerprint != asked:
            raise Refused("idempotency_key_reused")
        if self.messages[message].retracted is not None:
            raise Refused("message_retracted")
        return message

    def check_sender(self, user: str, bucket: str) -> None:
        if user not in self.members[bucket]:
            raise Refused("bucket_not_found")
        if not self.members[bucket][user] & {"WRITE", "ADMIN"}:
            raise Refused("bucket_forbidden")

    def turn_of(self, user: str, now: int) -> int:
        return max(now, min(self.ahead.get(user, 0), now + SPREAD))

    def send(self, message: Message, name: str | None, asked: int, now: int) -> None:
        turn = self.turn_of(message.sender, now)
        self.messages[message.id] = message
        if name is not None:
            self.keys[name] = (asked, message.id, now + DAY)
        written = 0
        if message.scheduled is not None:
            self.tasks.append(Task("send", message.id, message.scheduled))
        else:
            written = self.begin(message, turn, now)
        self.ahead[message.sender] = turn + written

    def begin(self, message: Message, turn: int, now: int) -> int:
        message.sent = now
        everybody = self.reached(message, ("", ""))
        message.notifications = len({user for user, _ in everybody})
        page = everybody[: self.page]
        written = self.write(message, page, ("", ""), turn, now)
        if len(page) == self.page:
            self.tasks.append(Task("fanout", message.id, now, page[-1], gate([], written), now))
        return len(written)

    def reached(self, message: Message, after: tuple[str, str]) -> list[tuple[str, str]]:
        """Return the readers of a bucket with their devices, in order, after a place; "" is the device of who has none."""
        places = []
        for user, permissions in self.members[message.bucket].items():
            if permissions & {"READ", "ADMIN"} and (message.only is None or user in message.only):
                own = [d.id for d in self.devices.values() if d.user == user and message.kind != "NO_PUSH"]
                places += [(user, device) for device in own or [""]]
        return sorted(place for place in places if place > after)

    def write(
        self, message: Message, page: Sequence[tuple[str, str]], after: tuple[str, str], turn: int, now: int
    ) -> list[Delivery]:
        if message.kind == "CRITICAL":  # of a flood of them the first pages stand back
            turn = (turn if after == ("", "") else now) - SPREAD
        written = []
        for user in dict.fromkeys(user for user, _ in page):
            if user != after[0]:
                assert (message.id, user) not in self.inbox
                self.inbox[message.id, user] = None
                written.append(self.add((PUSHED, user, "", message.id), turn, message.expires, now))
                if (user, "") in page and message.kind != "NO_PUSH":
                    key = (PUSHED, user, NO_DEVICE, message.id)
                    written.append(self.add(key, turn, message.expires, now))
        for user, device in page:
            if device:
                written.append(self.add((PUSHED, user, device, message.id), turn, message.expires, now))
        return written

    def add(self, key: Key, turn: int, expires: int, now: int) -> Delivery:
        kind, user, device, what = key
        assert key not in self.deliveries
        made = Delivery(
            key, user, device, what if kind == PUSHED else None, "queued", now, now, turn, expires
        )
        if not device:
            made.state, made.settled = "accepted", now
        elif device == NO_DEVICE:
            made.state, made.settled, made.reason = "suppressed", now, "no_channel"
        elif kind == PUSHED:
            self.devices[device].head += 1
            made.sequence = self.devices[device].head
        self.deliveries[key] = made
        return made

    def notify(self, kind: int, told: Mapping[str, list[str]], now: int) -> None:
        for device, ids in told.items():
            if not self.devices[device].web:
                self.add((kind, self.devices[device].user, device, tuple(sorted(ids))), now, now + WEEK, now)

    # Messages that are there

    def sees(self, user: str, message: Message) -> bool:
        return (
            user == message.sender or (message.id, user) in self.inbox or self.oversees(user, message.bucket)
        )

    def oversees(self, user: str, bucket: str) -> bool:
        return bool(self.members[bucket].get(user, set()) & {"DELETE", "ADMIN"})

    def listed(self, user: str) -> list[str]:
        seen = [m.id for m in self.messages.values() if m.retracted is None and self.sees(user, m)]
        return sorted(seen, reverse=True)

    def retract(self, user: str, id_: str, now: int) -> None:
        message = self.messages[id_]
        if not self.sees(user, message):
            raise Refused("message_not_found")
        if user != message.sender and not self.oversees(user, message.bucket):
            raise Refused("forbidden")
        self.take_back(message, now)

    def take_back(self, message: Message, now: int) -> None:
        id_ = message.id
        self.tasks = [task for task in self.tasks if task.message != id_]
        if message.retracted is not None:
            return
        message.retracted = now
        told = {}
        for one in self.of_message(id_):
            reported = one.receipts.keys() & {"received", "shown"}
            if one.state == "queued":
                one.state, one.settled = "cancelled", now
            if one.attempts or one.relayed or reported or one.state in ("leased", "accepted"):
                told[one.device] = [id_]
        self.notify(RETRACT, told, now)
        if message.sent is None and message.only is not None:
            self.note_cancelled(message, now)

    def note_cancelled(self, message: Message, now: int) -> None:
        """Write for each who was named what will not come."""
        for user in {user for user, _ in self.reached(message, ("", ""))}:
            for device in ("",) if message.kind == "NO_PUSH" else ("", NO_DEVICE):
                one = self.add((PUSHED, user, device, message.id), now, message.expires, now)
                one.state, one.settled, one.reason = "cancelled", now, None

    def of_message(self, id_: str) -> list[Delivery]:
        return [one for one in self.deliveries.values() if one.message == id_ and one.device]

    # Devices

    def of_device(self, device: str) -> list[Delivery]:
        return [one for one in self.deliveries.values() if one.device == device]

    def numbers(self, device: str) -> list[int]:
        """Return the numbers that a device was given, those of what was pruned too."""
        given = [one.sequence for one in self.of_device(device) if one.sequence is not None]
        return sorted([*given, *self.devices[device].forgotten])

    def unpair(self, device: str) -> None:
        for one in self.of_device(device):
            self.pruned["cancelled" if one.state in ("queued", "leased") else one.state] += 1
            del self.deliveries[one.key]
        del self.devices[device]

    def renew(self, device: str, handle: str, now: int) -> None:
        self.devices[device].handle, self.devices[device].fault = handle, None
        for one in self.of_device(device):
            if one.state == "queued" or (one.state == "gone" and one.expires > now):
                one.state, one.reason, one.settled = "queued", None, None
                one.due = one.turn = now

    def fetched(self, device: str, after: int, now: int) -> list[tuple[int, str, str | None]]:
        """Return number, message and state of what a device is told after a number; None is the content."""
        numbered = [one for one in self.of_device(device) if (one.sequence or 0) > after]
        return [
            (one.sequence or 0, one.message or "", self.dead(one, now))
            for one in sorted(numbered, key=lambda one: one.sequence or 0)
        ]

    def dead(self, one: Delivery, now: int) -> str | None:
        if one.state == "cancelled" or self.messages[one.message or ""].retracted is not None:
            return "cancelled"
        return "expired" if one.state == "expired" or one.expires <= now else None

    def news(self, device: str, now: int) -> tuple[list[str], list[str]]:
        """Return what was retracted and read in the window, of what a device was given."""
        given = sorted((o for o in self.of_device(device) if o.sequence), key=lambda o: o.sequence or 0)
        user, since = self.devices[device].user, now - WINDOW
        retracted = [
            o.message or "" for o in given if (self.messages[o.message or ""].retracted or 0) >= since
        ]
        read = [o.message or "" for o in given if (self.inbox.get((o.message or "", user)) or 0) >= since]
        return retracted, read

    def report(self, device: str, told: Sequence[tuple[str | None, str, str | None, int]], now: int) -> None:
        """Take receipts: message, event, reason and time."""
        who = self.devices[device]
        read = set()
        for message, event, reason, at in told:
            one = self.deliveries.get((PUSHED, who.user, device, message))
            if one is not None and event not in one.receipts:
                one.receipts[event] = at
                one.trouble = reason if event == "failed" else one.trouble
            if one is not None and event == "read":
                read.add(message or "")
        failed = [(at, reason) for _, event, reason, at in told if event == "failed"]
        if failed:
            newest = max(failed, key=lambda fault: fault[0])
            if who.last_fault_at is None or who.last_fault_at <= newest[0]:
                who.last_fault_at, who.last_fault = newest
        there = {m for m in read if self.messages[m].retracted is None}  # what is retracted is in no inbox
        fresh = {m for m in there if self.inbox.get((m, who.user), 0) is None}
        self.inbox.update({(message, who.user): now for message in fresh})
        others: dict[str, list[str]] = {}
        for one in self.deliveries.values():
            waits = one.state in ("queued", "leased", "accepted", "gone")
            if one.user == who.user and one.device not in ("", device) and one.message in fresh and waits:
                others.setdefault(one.device, []).append(one.message or "")
        self.notify(READ, others, now)

    # The queue

    def claim(self, lease: str, claimed: Sequence[Key], limit: int, ahead: int, now: int) -> None:
        """Check that what was claimed is what was to be, and take it: what is due, lowest turn first, no busy device."""
        busy = {one.device for one in self.deliveries.values() if one.state == "leased"}
        due = [
            o
            for o in self.deliveries.values()
            if o.state == "queued" and o.due <= now and o.turn <= now + ahead
        ]
        free = sorted((one for one in due if one.device not in busy), key=lambda one: one.place)
        taken, left = [o for o in free if o.key in claimed], [o for o in free if o.key not in claimed]
        assert len(taken) == len(claimed) == min(limit, len(free))
        assert not taken or not left or taken[-1].place <= left[0].place
        for one in taken:
            one.state, one.lease, one.due = "leased", lease, now + LEASE
            one.attempts += 1
        self.leases[lease] = now + LEASE

    def held(self, lease: str) -> list[Delivery]:
        return [one for one in self.deliveries.values() if one.lease == lease]

    def requeue(self, which: Iterable[Delivery], now: int) -> None:
        """Take it back from whoever held it: it keeps its turn."""
        for one in which:
            one.state, one.lease, one.due = "queued", None, now
            one.turn = now if one.turn > now + SPREAD else one.turn

    def put_back(self, now: int) -> None:
        """The clock was put back: only what is planned for a time waits for one."""
        for one in self.deliveries.values():
            if one.state == "queued" and one.due > now:
                one.due = one.turn = now
        for task in self.tasks:
            task.due = task.due if task.kind == "send" else min(task.due, now)

    def overdue(self, now: int) -> list[Delivery]:
        leased = [one for one in self.deliveries.values() if one.state == "leased"]
        return [one for one in leased if one.due <= now or one.due > now + 2 * LEASE]

    def settle(self, one: Delivery, outcome: Settlement, now: int) -> tuple[Event, str | None]:
        """Write an outcome and return it as it was written. `retire` comes after all of a batch."""
        event, reason, due = outcome.event, outcome.reason, outcome.due_at
        waits = event is Event.RETRY and (outcome.handle is not None or reason == "no_handle")
        if waits or event is Event.DEAD_HANDLE:
            current = self.devices[one.device].handle
            if current not in (None, outcome.handle):
                event, reason, due = Event.RETRY, "handle_replaced", now
        again = event is Event.RETRY
        one.state, one.reason, one.lease = ENDS.get(event, "queued"), reason, None
        one.due, one.settled = (due, None) if again else (now, now)
        one.turn = one.turn if outcome.keeps_turn else one.due
        one.attempts -= not outcome.counts
        one.relayed = now if outcome.relayed else one.relayed
        if outcome.woken:
            self.devices[one.device].woken = now
        return event, reason

    def retire(self, device: str, handle: str | None, reason: str | None) -> None:
        if handle is not None and self.devices[device].handle == handle:
            self.devices[device].handle, self.devices[device].fault = None, reason

    def revive(self, one: Delivery, now: int) -> str | None:
        """Queue a dead delivery again, or return why it stays dead."""
        if one.state not in ("gone", "failed"):
            return one.state
        if one.expires <= now:
            return "expired"
        if one.message is not None and self.messages[one.message].retracted is not None:
            return "retracted"
        if self.devices[one.device].handle is None:
            return "no_handle"
        one.state, one.reason, one.settled = "queued", None, None
        one.due = one.turn = now
        return None

    # What is due

    def run(self, kind: str, message: str | None, now: int) -> None:
        """Do a task, which must be one of those that are next: what is no planned message stands back for those."""
        due = [task for task in self.tasks if task.due <= now]
        first = min(map(place, due))
        [task] = [t for t in due if (t.kind, t.message) == (kind, message)]
        assert place(task) == first
        if task.kind == "prune":
            self.prune(now)
            task.due = now + 600_000
        elif task.kind == "compact":
            task.due = now + 10_000
        elif task.kind == "retain":
            task.due = now + 3_600_000  # these buckets keep everything
        elif task.kind == "send":
            self.tasks.remove(task)
            self.release(self.messages[message or ""], now)
        else:
            self.go_on(task, self.messages[message or ""], now)

    def release(self, message: Message, now: int) -> None:
        """Send a scheduled message, unless its sender may not any more."""
        try:
            self.check_sender(message.sender, message.bucket)
        except Refused:
            self.take_back(message, now)
        else:
            self.begin(message, now, now)

    def go_on(self, task: Task, message: Message, now: int) -> None:
        gate_row = self.deliveries.get(task.gates[0]) if len(task.gates) == AHEAD else None
        untried = gate_row is not None and gate_row.state == "queued" and not gate_row.attempts
        if untried and 0 <= now - task.since < HELD:
            task.due = now + 50
            return
        page = self.reached(message, task.after)[: self.page]
        written = self.write(message, page, task.after, now + BULK, now)
        if len(page) < self.page:
            self.tasks.remove(task)
            return
        task.due = task.since = now
        task.after, task.gates = page[-1], gate(task.gates, written)

    def prune(self, now: int) -> None:
        for one in list(self.deliveries.values()):
            born = one.created if one.message is None else self.messages[one.message].created
            if one.settled is not None and max(one.settled, born) < now - KEPT:
                self.pruned[one.state] += 1
                if one.sequence is not None:
                    self.devices[one.device].forgotten.add(one.sequence)
                del self.deliveries[one.key]
        self.keys = {name: kept for name, kept in self.keys.items() if kept[2] > now}


def place(task: Task) -> int:
    """Return when a task is in line; these models plan nothing but messages."""
    return task.due if task.kind == "send" else task.due + BULK


def gate(gates: list[Key], written: Sequence[Delivery]) -> list[Key]:
    return [*gates, *[one.key for one in written if one.device not in ("", NO_DEVICE)][-1:]][-AHEAD:]
