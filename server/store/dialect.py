"""SQL is written for PostgreSQL and changed here for SQLite: that is all the two differ in."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

_CHUNK = 500
_HOLE = re.compile(r"\$(\d+)")
_PLACE = re.compile(r"\bctid\b")  # where a row lies: good for one statement, and for a table without a key
_ROW_LOCK = re.compile(r"\s+FOR (?:NO KEY |KEY )?(?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?\b")


@lru_cache(maxsize=2048)
def for_sqlite(sql: str) -> str:
    """Turn `$1` into `?1`, `ctid` into `rowid`, and drop row locks: there is one writer, and it locks the whole file."""
    return _HOLE.sub(r"?\1", _PLACE.sub("rowid", _ROW_LOCK.sub("", sql)))


def holes(count: int, *, after: int = 0) -> str:
    """Return `$1, $2, …` for an IN list, numbered from after the `after` parameters that stand before it."""
    return ", ".join(f"${after + i}" for i in range(1, count + 1))


def changed_now(hole: int) -> str:
    """Return the new `changed_at` of an inbox item for the time in a hole: it rises with every change, whatever the clocks say."""
    return f"CASE WHEN changed_at < ${hole} THEN ${hole} ELSE changed_at + 1 END"


def chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a long list for IN; few different lengths keep the statement cache small."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
