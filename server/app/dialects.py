"""The other APIs, which stand on the pieces of the native one."""

from collections.abc import Mapping

from server.api.answers import Face
from server.api.gate import Route
from server.api.routes import Resources
from server.app.accounts import mint_of
from server.app.pieces import ServerPieces
from server.commands.derive import PUSH_TOKENS, derive
from server.commands.push_devices import PushDevices
from server.commands.resolving import PURPOSE, Endpoints
from server.commands.vault import vault_of
from server.config import Settings, push_apps
from server.dialects.aptly.table import Aptly, aptly_routes
from server.dialects.aptly.table import faces as aptly_faces
from server.dialects.socayo.session import InboxSessions, InboxSocket
from server.dialects.socayo.table import FACES as SOCAYO
from server.dialects.socayo.table import Socayo, socayo_routes
from server.dialects.velt.table import FACES as VELT
from server.dialects.velt.table import Velt, velt_routes
from server.domain.ports import Clock


def faces_of(clock: Clock) -> Mapping[str, Face]:
    """Return in which form what is refused is shown, by path."""
    return {**SOCAYO, **VELT, **aptly_faces(clock)}


def dialects_of(settings: Settings, pieces: ServerPieces, to: Resources) -> list[Route]:
    """Return the routes of the other APIs, which stand on the same pieces."""
    return [
        *socayo_routes(_socayo(settings, pieces, to)),
        *velt_routes(_velt(pieces, to)),
        *aptly_routes(_aptly(pieces, to)),
    ]


def _socayo(settings: Settings, pieces: ServerPieces, to: Resources) -> Socayo:
    live = to.live
    return Socayo(
        pieces.db,
        pieces.clock,
        pieces.random,
        pieces.wake,
        to.messages.sender,
        pieces.resolver,
        _push_devices(settings, pieces),
        InboxSessions(mint_of(pieces), settings.server.public_url.rstrip("/")),
        InboxSocket(
            pieces.db,
            pieces.clock,
            live.gate.callers,
            live.hub,
            live.metrics,
            live.origins,
            live.gate.limits.proxies,
        ),
    )


def _velt(pieces: ServerPieces, to: Resources) -> Velt:
    callers, sender = to.live.gate.callers, to.messages.sender
    return Velt(
        pieces.db,
        pieces.clock,
        pieces.random,
        pieces.wake,
        callers,
        sender,
        pieces.resolver,
        Endpoints(pieces.db, vault_of(pieces.secret, PURPOSE, pieces.random)),
    )


def _aptly(pieces: ServerPieces, to: Resources) -> Aptly:
    callers, sender = to.live.gate.callers, to.messages.sender
    return Aptly(pieces.db, pieces.clock, pieces.random, pieces.wake, callers, sender, pieces.resolver)


def _push_devices(settings: Settings, pieces: ServerPieces) -> PushDevices:
    key = derive(pieces.secret, PUSH_TOKENS)
    apps = push_apps(settings.apps)
    return PushDevices(pieces.db, pieces.random, key, apps, pieces.ask_handle, pieces.wake)
