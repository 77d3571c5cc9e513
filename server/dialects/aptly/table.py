"""The operations: their paths, who may, and what answers. A contents page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from server.api.answers import Face
from server.api.gate import Route
from server.commands.callers import Callers
from server.commands.entries import Reading
from server.commands.inbox import Marking
from server.commands.send import Sender
from server.dialects.aptly.errors import face
from server.dialects.aptly.notifications import AptlyNotifications
from server.dialects.aptly.rest import ID, ROOTS, Operation, Operations
from server.dialects.aptly.templates import AptlyTemplates
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Resolver
from server.domain.scopes import Need


@dataclass(frozen=True)
class Aptly:
    """What the operations need. `wake` has workers and streams look for what is new."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    callers: Callers
    sender: Sender
    resolver: Resolver


def operations(to: Aptly) -> list[Operation]:
    """Return every operation there is."""
    marking = Marking(to.db, to.clock, to.random, to.wake)
    notifications = AptlyNotifications(to.sender, marking, Reading(to.db, to.resolver))
    templates = AptlyTemplates(to.db, to.random)
    one, template = f"notifications/{ID}", f"templates/{ID}"
    return [
        # notifications
        Operation("POST", "notifications", Need.MANAGE, notifications.create),
        Operation("GET", "notifications", Need.INBOX, notifications.list),
        Operation("GET", "notifications/count", Need.INBOX, notifications.count),
        Operation("PATCH", "notifications/mark-all", Need.INBOX, notifications.mark_all),
        Operation("GET", one, Need.INBOX, notifications.get),
        Operation("PATCH", f"{one}/toggle-status", Need.INBOX, notifications.toggle),
        Operation("DELETE", one, Need.INBOX, notifications.delete),
        # templates
        Operation("POST", "templates", Need.MANAGE, templates.create),
        Operation("GET", "templates", Need.MANAGE, templates.list),
        Operation("GET", template, Need.MANAGE, templates.get),
        Operation("PATCH", template, Need.MANAGE, templates.change),
        Operation("DELETE", template, Need.MANAGE, templates.delete),
    ]


def aptly_routes(to: Aptly) -> list[Route]:
    return [*Operations(to.callers, to.clock).routes(operations(to))]


def faces(clock: Clock) -> Mapping[str, Face]:
    """Return what shows refusals in this API's form, whatever is refused below its paths."""
    return dict.fromkeys(ROOTS, face(clock))
