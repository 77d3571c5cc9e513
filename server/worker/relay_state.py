"""Asks the relay, on behalf of an admin, what it has to say to this server: whether it admits it, and what is left of its limits."""

from dataclasses import dataclass

from crypto.httpsig import SignatureFault
from crypto.keys import IdentityKey
from server.domain.relay import ADMITTED, RelayApp, RelayLimit, RelayState
from server.worker.gateway import GatewayFault
from server.worker.relay_keys import RelayKeys
from server.worker.relay_look import Refused, RelayLook


@dataclass(frozen=True)
class RelayStates:
    look: RelayLook
    identity: IdentityKey
    keys: RelayKeys

    async def ask(self) -> RelayState:
        """The signed status, or a word for why there is none."""
        try:
            status = await self.look.status(self.identity, await self.keys.trusted())
        except Refused as refused:
            return RelayState(self.look.url, refused.code)
        except SignatureFault:
            return RelayState(self.look.url, "answer_not_verified")
        except (GatewayFault, TimeoutError):
            return RelayState(self.look.url, "unreachable")
        return RelayState(
            self.look.url,
            ADMITTED,
            [RelayLimit(one.name, one.limit, one.remaining, one.resetsAt) for one in status.limits],
            [RelayApp(one.provider, one.app, one.environment) for one in status.apps],
        )
