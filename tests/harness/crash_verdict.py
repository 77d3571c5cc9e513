"""What became of what was answered: counted on the phones, checked against conservation, with evidence where it is wrong."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.store.database import open_database
from simulator.mail import Inbox
from simulator.phone import Phone
from tests.harness.conservation import Books
from tests.harness.crash_senders import Ledger
from tests.harness.stack import Stack

STUCK_SECONDS = 75
"""What is owed is waited for as long as phones go on showing something: longer than any lease and any pause between tries."""

LOOK_SECONDS = 0.2
EVIDENCE = "evidence.jsonl"


@dataclass(frozen=True)
class Verdict:
    """Of one phone. `early`: shown before its time; `replays`: pushes of what the phone had already, not shown."""

    phone: str
    shown: int
    replays: int
    lost: frozenset[str]
    twice: frozenset[str]
    unknown: frozenset[str]
    early: frozenset[str]

    @property
    def wrong(self) -> frozenset[str]:
        return self.lost | self.twice | self.unknown | self.early


@dataclass(frozen=True)
class Judgement:
    verdicts: Sequence[Verdict]
    books: Books
    faults: Sequence[str]
    errors: Mapping[str, int]

    @property
    def clean(self) -> bool:
        settled = self.books.balanced and not self.books.waiting and not self.books.given_up
        return settled and not self.faults and not any(verdict.wrong for verdict in self.verdicts)


def shown(inbox: Inbox) -> Counter[str]:
    """How often each text came up as something new: a preview that is completed is not."""
    return Counter(one.text for one in inbox.log if one.replaces is None)


async def wait_for_all(phones: Mapping[str, Phone], ledger: Ledger) -> None:
    """Wait until the phones have shown what they are owed, or show nothing more."""
    for phone in phones.values():
        while not ledger.answered.keys() <= shown(phone.inbox).keys():
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await phone.until(_shows_more_than(len(phone.inbox.log)))
            except TimeoutError:
                return  # what is missing is counted as lost


def _shows_more_than(count: int) -> Callable[[Inbox], bool]:
    return lambda inbox: len(inbox.log) > count


async def wait_for_books(stack: Stack) -> Books:
    """What the server says once nothing waits any more; or what it says when that takes too long."""
    books = await stack.books()
    for _ in range(int(STUCK_SECONDS / LOOK_SECONDS)):
        if not books.waiting:
            break
        await asyncio.sleep(LOOK_SECONDS)
        books = await stack.books()
    return books


def errors_logged(directory: Path) -> Counter[str]:
    """What the processes logged as errors, which an operator would look into."""
    counts: Counter[str] = Counter()
    for log in directory.glob("*.log"):
        for line in log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("level") == "error":
                    counts[f"{entry.get('event')} ({log.stem.partition('-')[0]})"] += 1
    return counts


def judge(name: str, phone: Phone, ledger: Ledger, replays: int) -> Verdict:
    counts = shown(phone.inbox)
    return Verdict(
        phone=name,
        shown=len(counts),
        replays=replays,
        lost=frozenset(ledger.answered.keys() - counts.keys()),
        twice=frozenset(text for text, count in counts.items() if count > 1),
        unknown=frozenset(counts.keys() - ledger.answered.keys() - ledger.cut_off),
        early=frozenset(one.text for one in phone.inbox.log if one.shown_at < ledger.due.get(one.text, 0)),
    )


async def keep_evidence(
    directory: Path, database_url: str, judgement: Judgement, ledger: Ledger
) -> list[dict[str, Any]]:
    """Write down the rows behind everything that is wrong, and return what was written; no server may be running."""
    found: list[dict[str, Any]] = []
    database = await open_database(database_url)
    try:
        for verdict in judgement.verdicts:
            for text in sorted(verdict.wrong):
                message_id = ledger.answered.get(text, "")

                async def rows(tx: Any, message_id: str = message_id) -> list[dict[str, Any]]:
                    return [
                        dict(row)
                        for row in await tx.all("SELECT * FROM deliveries WHERE message_id = $1", message_id)
                    ]

                deliveries = await database.read(rows)
                found.append(
                    {"phone": verdict.phone, "text": text, "message": message_id, "deliveries": deliveries}
                )

        async def unsettled(tx: Any) -> list[dict[str, Any]]:
            states = "('queued', 'leased', 'gone', 'expired', 'failed')"
            return [dict(row) for row in await tx.all(f"SELECT * FROM deliveries WHERE state IN {states}")]  # noqa: S608 - ours

        found.append({"not accepted": await database.read(unsettled)})
    finally:
        await database.close()
    with (directory / EVIDENCE).open("w") as file:
        file.writelines(json.dumps(one) + "\n" for one in found)
    return found
