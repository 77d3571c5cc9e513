"""Texts that are not kept here: who has them is asked when a message is read, and before it is pushed."""

from collections.abc import Sequence
from typing import Protocol

from server.domain.message import Message


class Resolver(Protocol):
    """Asks the servers of tenants for the texts of their messages."""

    async def fill(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages with the texts that they were sent without; one whose texts are not to be had now stays without, and says so."""
        ...
