"""The book of deliveries (`domain/tally.py`): differences are added, sums are read.

Each transaction appends a row, so that no two wait for each other; from time to time the rows are replaced by their sum. What is
deleted is noted in a second book by the state that it was in, so that the rows that are there can be held against the first.
"""

from collections import Counter
from operator import attrgetter

from server.domain.delivery import State
from server.domain.ports import Row, Transaction
from server.domain.tally import COLUMNS, Audit, Tally, total, written

_AT_ONCE = 2_000  # rows that are added up in one transaction: a day without a scheduler leaves very many
_LIVE = "live"
_PRUNED = "pruned"
_NAMES = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO delivery_tallies (book, {_NAMES}) VALUES ({', '.join(f'${i}' for i in range(1, len(COLUMNS) + 2))})"
_numbers = attrgetter(*COLUMNS)
_SUMS = ", ".join(f"CAST(COALESCE(SUM({name}), 0) AS BIGINT) AS {name}" for name in COLUMNS)


async def note(tx: Transaction, entry: Tally) -> None:
    """Add an entry to the book."""
    if entry != Tally():
        await _add(tx, _LIVE, entry)


async def note_pruned(tx: Transaction, entry: Tally) -> None:
    """Note what was deleted, by the states that it was in."""
    if entry != Tally():
        await _add(tx, _PRUNED, entry)


async def count(tx: Transaction) -> Tally:
    """Return how many deliveries there ever were, and in which states they are or ended."""
    return await _sum(tx, _LIVE)


async def compact(tx: Transaction) -> bool:
    """Replace some rows by their sums, one for each book; say whether there may be more that were not looked at."""
    rows = await tx.all(
        "DELETE FROM delivery_tallies WHERE ctid IN"
        f" (SELECT ctid FROM delivery_tallies LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING book, {_NAMES}",
        _AT_ONCE,
    )
    for book in sorted({row["book"] for row in rows}):
        await _add(tx, book, total(_tally_of(row) for row in rows if row["book"] == book))
    return len(rows) >= _AT_ONCE


async def audit(tx: Transaction) -> Audit:
    """Hold the book against the rows; reads the whole table of deliveries."""
    rows = await tx.all("SELECT state, COUNT(*) AS n FROM deliveries GROUP BY state")
    states: Counter[State] = Counter({State(row["state"]): int(row["n"]) for row in rows})
    return Audit(await _sum(tx, _LIVE), written(states), await _sum(tx, _PRUNED))


async def _add(tx: Transaction, book: str, entry: Tally) -> None:
    await tx.run(_INSERT, book, *_numbers(entry))


async def _sum(tx: Transaction, book: str) -> Tally:
    row = await tx.one(f"SELECT {_SUMS} FROM delivery_tallies WHERE book = $1", book)
    return Tally() if row is None else _tally_of(row)


def _tally_of(row: Row) -> Tally:
    return Tally(*(int(row[name]) for name in COLUMNS))
