"""The push gateway as the outbox sees it: the relay over HTTP, or whatever stands in its place."""

from collections.abc import Sequence
from typing import Protocol

from relay.wire import Outcome, Push


class GatewayFault(Exception):
    """Nothing is known of any push of the request: all of them are tried again.

    `reason` is a word of ours in snake case; `retry_after` seconds, where the other side said so; `anew` where the same
    pushes may well pass at once under a fresh signature; `general` where any other pushes would have met with the same.
    """

    def __init__(
        self, reason: str, *, retry_after: int | None = None, anew: bool = False, general: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.anew = anew
        self.general = general


class PushGateway(Protocol):
    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Return one outcome for each push, in order, or raise GatewayFault. Answers within 15 s."""
        ...


class NoRelay:
    """Stands in where no relay is configured: deliveries wait."""

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:  # noqa: ARG002 - the protocol's
        raise GatewayFault("no_relay", general=True)
