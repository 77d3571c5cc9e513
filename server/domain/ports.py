"""What the rooms are given: the database, the clock and the randomness, as the pieces that use them see them.

SQL is written once, in PostgreSQL's dialect with `$1` parameters. A job is one transaction: inside it nothing is
awaited but the transaction itself (on SQLite a thread drives the job and refuses one that suspends), and the first
statement that fails ends it, on both engines. Hashing, signing and sealing stand before or after it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Clock = Callable[[], int]  # milliseconds since the Unix epoch, UTC
Random = Callable[[int], bytes]  # secrets.token_bytes in production


class Row(Protocol):
    def __getitem__(self, name: str, /) -> Any: ...
    def keys(self) -> Iterable[str]: ...


class Transaction(Protocol):
    """Statements of one job. Numbers come back as `int`: cast a SUM to BIGINT, PostgreSQL makes it a decimal."""

    async def all(self, sql: str, *args: object) -> Sequence[Row]: ...

    async def one(self, sql: str, *args: object) -> Row | None:
        """Return the first row, or None."""
        ...

    async def run(self, sql: str, *args: object) -> int:
        """Return how many rows were written; not for statements with RETURNING."""
        ...

    async def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of arguments, in one go."""
        ...


class Database(Protocol):
    @property
    def exclusive(self) -> bool:
        """Whether no other process can be using it: what looks taken at the start is left over from before."""
        ...

    @property
    def credentials_version(self) -> int | None:
        """A number that rises with each commit that changed or deleted users, sessions or access tokens.

        It does so before anybody is told of that commit. None where other processes may change them too.
        """
        ...

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run the job and return its value once it is committed durably; if it raises, nothing of it is kept.

        A job may run again (on PostgreSQL after a deadlock, on SQLite where another of its group is rolled back), so it
        must have no effect outside its transaction.
        """
        ...

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run the job on one snapshot of the database; it cannot write."""
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of files and connections."""
        ...


class DatabaseError(Exception):
    """A statement or a commit failed. Its text names tables and columns, never a value."""


class NotUnique(DatabaseError):
    """A row with this key is already there; `constraint` names it as `table.column, …` or by its own name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"already taken: {constraint}")
        self.constraint = constraint


class ReferenceMissing(DatabaseError):
    """A row that this one refers to is not there (any more)."""


class DatabaseUnavailable(DatabaseError):
    """It cannot be reached, is full, or is closing: the same request may work later."""
