"""What a bucket does not keep: messages that are too old for it, or too many.

One task sweeps all buckets that have a rule, a few messages in each transaction, and its payload is the place where it goes on. It is the
server's copy that ages: devices are told nothing, and keep what they show. What somebody still waits for stays, however old: what is to
be sent, delivered, repeated or read in its time. The sweep after the last page is the report of what went; the scheduler reads it out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import accumulate, takewhile

from server.commands.attachments import drop_unused
from server.domain.ports import Random, Transaction
from server.domain.task import RETAIN_EVERY, Task
from server.store import emptying, pruning, retention
from server.store.retention import Aged, Rule

_MESSAGES_AT_ONCE = 500
_USERS_AT_ONCE = 2500  # of these messages together, unless one alone went to more
_ROWS_AT_ONCE = 5000  # deliveries, or inbox items
_CLAIMS_AT_ONCE = 500  # some kilobytes each


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows a sweep has removed; files are attachments that no other message names."""

    messages: int = 0
    deliveries: int = 0
    files: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            self.messages + other.messages, self.deliveries + other.deliveries, self.files + other.files
        )


async def retain(tx: Transaction, task: Task, now: int, _random: Random) -> Task:
    """Remove the next messages; return the task as it goes on, at last with a report, and then an hour later.

    The payload: `done` is the last bucket that is finished, `removed` what went so far, `place` where the next one stands. A rule that was
    changed meanwhile begins anew.
    """
    if report_of(task) is not None:
        return task.at(now + RETAIN_EVERY, {})
    done, removed = task.payload.get("done", ""), Removed(**task.payload.get("removed", {}))
    rule = await retention.next_rule(tx, after=done)
    if rule is None:
        return (
            task.at(now, {"report": asdict(removed)}) if removed.messages else task.at(now + RETAIN_EVERY, {})
        )
    place = task.payload.get("place")
    if place is None or place["rule"] != list(astuple(rule)):
        place = {"rule": astuple(rule), "beyond": await retention.newest_beyond(tx, rule), "after": ""}
    page = _page(
        await retention.lock_aged(
            tx, rule, beyond=place["beyond"], after=place["after"], now=now, limit=_MESSAGES_AT_ONCE
        )
    )
    if not page:
        return task.at(now, {"done": rule.bucket_id, "removed": asdict(removed)})
    gone, whole = await _remove(tx, rule, page, now)
    after = page[-1] if whole else place["after"]
    return task.at(now, {"done": done, "removed": asdict(removed + gone), "place": {**place, "after": after}})


def report_of(task: Task) -> Mapping[str, int] | None:
    """Return what the sweep that ends with this run of its task has removed, by kind; None where it does not end, or nothing went."""
    report: Mapping[str, int] | None = task.payload.get("report")
    return report


def _page(aged: Sequence[Aged]) -> list[str]:
    """Return as many as are removed in one transaction, one at least."""
    sums = accumulate(message.users for message in aged)
    few = sum(1 for _ in takewhile(lambda users: users <= _USERS_AT_ONCE, sums))
    return [message.id for message in aged[: max(few, 1)]]


async def _remove(tx: Transaction, rule: Rule, page: Sequence[str], now: int) -> tuple[Removed, bool]:
    """Remove those of a page that nobody waits for; say whether that is all of it, or there were too many rows for one transaction.

    Of a message that went to very many people the deliveries go first, in parts. One that somebody marks as unread between two parts stays
    in the inboxes without them.
    """
    free = await retention.list_free(tx, page, now)
    if not free:
        return Removed(), True
    deliveries = await pruning.prune_of_messages(tx, free, _ROWS_AT_ONCE)
    so_far = Removed(deliveries=deliveries)
    if (
        deliveries == _ROWS_AT_ONCE
        or await retention.drop_items(tx, free, now, _ROWS_AT_ONCE) == _ROWS_AT_ONCE
    ):
        return so_far, False
    bare = await retention.list_bare(tx, free)
    if not bare:
        return so_far, True
    if await retention.drop_claims(tx, bare, _CLAIMS_AT_ONCE) == _CLAIMS_AT_ONCE:
        return so_far, False
    files = await drop_unused(tx, bare)  # the files themselves are swept
    await emptying.delete_messages(tx, bare)
    await retention.note_swept(tx, rule.bucket_id, len(bare), now)
    return so_far + Removed(messages=len(bare), files=len(files)), True
