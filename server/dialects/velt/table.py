"""The calls: their paths, who may make them, and what answers. A contents page."""

from collections.abc import Callable
from dataclasses import dataclass

from server.api.gate import Route
from server.commands.callers import Callers
from server.commands.inbox import Marking
from server.commands.resolving import Endpoints
from server.commands.send import Sender
from server.dialects.velt.access import AccessLists
from server.dialects.velt.adding import Adding
from server.dialects.velt.changing import Changing
from server.dialects.velt.deleting import Deleting
from server.dialects.velt.documents import Documents
from server.dialects.velt.errors import show_error
from server.dialects.velt.listing import Listing
from server.dialects.velt.organizations import Organizations
from server.dialects.velt.people import People
from server.dialects.velt.resolving import VeltResolving
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
    endpoints: Endpoints


def rpcs(to: Velt) -> list[Rpc]:
    """Return every call there is."""
    marking = Marking(to.db, to.clock, to.random, to.wake)
    organizations, people = (
        Organizations(to.db, to.random, to.wake),
        People(to.db, to.random, to.wake),
    )
    documents, access = Documents(to.db, to.random, to.wake), AccessLists(to.db, to.random)
    return [
        # notifications
        Rpc("notifications/add", Need.MANAGE, Adding(to.sender).add),
        Rpc("notifications/get", Need.INBOX, Listing(to.db, to.resolver).get),
        Rpc("notifications/update", Need.MANAGE, Changing(marking).update),
        Rpc("notifications/delete", Need.MANAGE, Deleting(marking).delete),
        # organizations and their users
        Rpc("organizations/add", Need.MANAGE, organizations.add),
        Rpc("organizations/get", Need.MANAGE, organizations.get),
        Rpc("organizations/update", Need.MANAGE, organizations.update),
        Rpc("organizations/delete", Need.MANAGE, organizations.delete),
        Rpc("organizations/users/add", Need.MANAGE, people.add),
        Rpc("organizations/users/remove", Need.MANAGE, people.remove),
        Rpc("organizations/users/get", Need.MANAGE, people.get),
        # documents and who has access
        Rpc("documents/add", Need.MANAGE, documents.add),
        Rpc("documents/get", Need.MANAGE, documents.get),
        Rpc("documents/update", Need.MANAGE, documents.update),
        Rpc("documents/delete", Need.MANAGE, documents.delete),
        Rpc("documents/access/add", Need.MANAGE, access.add),
        Rpc("documents/access/remove", Need.MANAGE, access.remove),
        Rpc("documents/access/get", Need.MANAGE, access.get),
        # where texts are asked for
        Rpc("organizations/resolver/set", Need.MANAGE, VeltResolving(to.endpoints).set),
        Rpc("organizations/resolver/get", Need.MANAGE, VeltResolving(to.endpoints).get),
    ]


def velt_routes(to: Velt) -> list[Route]:
    return [*Rpcs(to.callers, to.clock).routes(rpcs(to))]


FACES = {ROOT: show_error}
"""Whatever is refused below these paths is refused in this API's form."""
