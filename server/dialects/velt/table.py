"""The calls: their paths, who may make them, and what answers. A contents page."""

from collections.abc import Callable
from dataclasses import dataclass

from server.api.gate import Route
from server.commands.callers import Callers
from server.commands.send import Sender
from server.dialects.velt.adding import Adding
from server.dialects.velt.errors import show_error
from server.dialects.velt.rpc import ROOT, Rpc, Rpcs
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Resolver
from server.domain.scopes import Need


@dataclass(frozen=True)
class Velt:
    """What the calls need. `wake` has workers and streams look for what is new."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    callers: Callers
    sender: Sender
    resolver: Resolver


def rpcs(to: Velt) -> list[Rpc]:
    """Return every call there is."""
    return [
        # notifications
        Rpc("notifications/add", Need.MANAGE, Adding(to.sender).add),
        # organizations and their users
        # documents and who has access
        # where texts are asked for
    ]


def velt_routes(to: Velt) -> list[Route]:
    return [*Rpcs(to.callers, to.clock).routes(rpcs(to))]


FACES = {ROOT: show_error}
"""Whatever is refused below these paths is refused in this API's form."""
