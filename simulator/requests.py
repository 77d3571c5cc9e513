"""A request as it came, and what a provider makes of it, whichever HTTP carried it.

A provider is asked once for each request and gives a `Reply`, or `Told` where a script meets a request that is in
order: then the connection does what the script says, because most faults are faults of a connection.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from simulator.faults import Fault

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """`headers` as they came, pseudo-headers included; `connection` numbers the connections of one simulator."""

    headers: Pairs = field(repr=False)
    body: bytes = field(repr=False)
    connection: int = 0

    def header(self, name: str) -> str | None:
        """Find the first header of a name in small letters: HTTP/2 has no others, HTTP/1.1's are made so."""
        return self._first.get(name)

    @cached_property
    def _first(self) -> dict[str, str]:
        return dict(reversed(self.headers))


@dataclass(frozen=True)
class Reply:
    """Header names in small letters."""

    status: int
    headers: Pairs
    body: bytes = b""


@dataclass(frozen=True)
class Told:
    """`accept` delivers the push and gives the answer; `refusal` is the answer that the script asks for, if any."""

    fault: Fault
    accept: Callable[[], Reply]
    refusal: Reply | None

    def reply(self) -> Reply:
        return self.refusal or self.accept()


Outcome = Reply | Told


def fill(body: bytes, size: int) -> bytes:
    """Make a JSON text as long as a script wants it; the spaces after it change nothing in it."""
    return bytes(body).ljust(size)
