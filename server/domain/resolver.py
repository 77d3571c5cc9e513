"""Texts that are not kept here: who has them is asked when a message is read, and before it is pushed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.domain.message import Message


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant is asked. Its URL may hold a secret, so nothing shows it but who set it."""

    tenant_id: str
    url: str = field(repr=False)
    sealed_secret: bytes = field(repr=False)  # of a vault; requests are signed with what is in it
    set_at: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message whose texts are asked for: what its tenant is called, and the message, by those who are asked.

    `details` is what is stored of what it is about (`server.domain.subject`).
    """

    message_id: str
    tenant: str
    name: str
    details: Mapping[str, Any] = field(repr=False)
    endpoint: Endpoint


class Resolver(Protocol):
    """Asks the servers of tenants for the texts of their messages."""

    async def fill(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages with the texts that they were sent without; one whose texts are not to be had now stays without, and says so."""
        ...
