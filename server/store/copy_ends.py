"""What copying needs of a database: rows of a table in batches, and a place to write them to."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

Batch = Sequence[tuple[object, ...]]
Batches = AsyncIterator[Batch]

BATCH = 250  # rows: the largest hold a claim of 256 KiB


class Source(Protocol):
    """One snapshot of a database."""

    async def revision(self) -> str | None:
        """Return the revision that its tables are at, None where it has none."""
        ...

    async def count(self, table: str) -> int: ...

    def batches(self, table: str, columns: Sequence[str]) -> Batches: ...


class Target(Source, Protocol):
    """One transaction in a database that nobody else can write to meanwhile."""

    async def write(self, table: str, columns: Sequence[str], batches: Batches) -> None: ...

    async def run(self, sql: str) -> None: ...

    async def holds(self, table: str, condition: str) -> bool:
        """Say whether a table has a row of which the condition is true."""
        ...

    async def finish(self) -> None:
        """Do what the engine wants after many rows were written."""
        ...
