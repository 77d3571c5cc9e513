"""What answers: every resource of the native API."""

from relay.shared import Shared
from server.api.actions import Actions
from server.api.activity import Activity
from server.api.attachments import Attachments
from server.api.buckets import Buckets
from server.api.deliveries import Deliveries
from server.api.device import Device
from server.api.devices import Devices
from server.api.gate import Gate
from server.api.health import Health, Pulse
from server.api.invitations import Invitations
from server.api.keys import Keys
from server.api.live import Live
from server.api.members import Members
from server.api.message_changes import MessageChanges
from server.api.messages import Messages
from server.api.metrics import DeviceMetrics, LiveMetrics
from server.api.notifications import Notifications
from server.api.preferences import Preferences
from server.api.reference import Reference
from server.api.relay import Relay
from server.api.routes import Resources
from server.api.subscribers import Subscribers
from server.api.tokens import Tokens
from server.api.topics import Topics
from server.api.users import Users
from server.api.webhooks import Webhooks
from server.app.accounts import auth_of
from server.app.pieces import ServerPieces
from server.app.running import Running
from server.commands.actions import Acting
from server.commands.attachments import Storage
from server.commands.devices import ServerAddress
from server.commands.inbox import Marking
from server.commands.mint import Mint
from server.commands.passwords import Passwords
from server.commands.repeats import Repeats
from server.commands.send import Sender
from server.commands.signing import Signer
from server.commands.spread import PAGE
from server.commands.webhooks import WebhookSecrets
from server.config import (
    Settings,
    attachments_dir,
    page_origins,
)
from server.domain.turns import Turns
from server.live.hub import Hub
from server.store.files import Files


def resources_of(
    settings: Settings,
    pieces: ServerPieces,
    mint: Mint,
    passwords: Passwords,
    running: Running,
    shared: Shared | None,
    gate: Gate,
    hub: Hub,
) -> Resources:
    db, clock, random, wake = pieces.db, pieces.clock, pieces.random, pieces.wake
    address = _address(settings, pieces)
    signer = Signer(pieces.identity)
    auth = auth_of(settings, pieces, mint, passwords, shared)
    return Resources(
        auth=auth,
        users=Users(db, clock, passwords, auth.sign_ins, auth.proxies),
        tokens=Tokens(db, clock, random),
        buckets=Buckets(db, clock, random, wake),
        members=Members(db, clock),
        invitations=Invitations(db, clock, random),
        topics=Topics(db, clock, random, wake),
        subscribers=Subscribers(db, clock, random, wake),
        messages=Messages(
            db,
            clock,
            random,
            wake,
            Sender(db, Turns(), Repeats(), random, wake, PAGE),
            _storage(settings),
            pieces.resolver,
        ),
        attachments=Attachments(db, clock, random, _storage(settings)),
        notifications=Notifications(Marking(db, clock, random, wake), pieces.resolver),
        preferences=Preferences(db, clock, random),
        actions=Actions(Acting(db, random, wake), clock),
        webhooks=Webhooks(WebhookSecrets(db, pieces.secret)),
        live=Live(gate, hub, clock, LiveMetrics(pieces.counted), page_origins(settings.server)),
        changes=MessageChanges(db, clock, random, wake),
        deliveries=Deliveries(db, clock, wake),
        activity=Activity(db),
        devices=Devices(db, clock, random, wake, address, signer),
        device=Device(db, clock, random, wake, pieces.sealer, pieces.resolver, DeviceMetrics(pieces.counted)),
        keys=Keys(address, signer, clock),
        relay=Relay(pieces.ask_relay, pieces.monotonic),
        health=health_of(pieces, running),
        reference=Reference(),
    )


def _storage(settings: Settings) -> Storage:
    limits = settings.attachments
    return Storage(Files(attachments_dir(settings)), limits.max_bytes, limits.user_bytes)


def _address(settings: Settings, pieces: ServerPieces) -> ServerAddress:
    return ServerAddress(
        public_url=settings.server.public_url.rstrip("/"),
        relay_url=settings.server.relay_url.rstrip("/"),
        server_key=pieces.identity.public,
    )


def health_of(pieces: ServerPieces, running: Running) -> Health:
    pulse = Pulse(pieces.db, pieces.monotonic)
    return Health(pieces.db, pulse, pieces.clock, pieces.shown, running.working)
