"""The native API's table of contents: method, path, who may, and what answers.

`{id}` matches only UUIDs. `Open` is for anyone, `ForUser` for a person or an access token whose grant meets the need
(`server/domain/scopes.py`), `ForDevice` for a paired device with its own token.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from server.api.actions import Actions
from server.api.activity import Activity
from server.api.attachments import Attachments
from server.api.auth import Auth
from server.api.buckets import Buckets
from server.api.deliveries import Deliveries
from server.api.device import Device
from server.api.devices import Devices
from server.api.gate import GATE, TABLE, Answer, ForDevice, ForEither, ForUser, Gate, Open, Route
from server.api.health import Health
from server.api.invitations import Invitations
from server.api.keys import Keys
from server.api.live import Live
from server.api.members import Members
from server.api.message_changes import MessageChanges
from server.api.messages import Messages
from server.api.notifications import Notifications
from server.api.preferences import Preferences
from server.api.reference import Reference
from server.api.relay import Relay
from server.api.subscribers import Subscribers
from server.api.tokens import Tokens
from server.api.topics import Topics
from server.api.users import Users
from server.api.webhooks import Webhooks
from server.domain.scopes import Need

_BUCKET = "/api/v1/buckets/{bucket:[^/]+}"
_TOPIC = "/api/v1/topics/{key:[^/]+}"
_SUBSCRIBER = "/api/v1/subscribers/{user:[^/]+}"
_ID = "{id:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}}"
_ACTION = f"/api/v1/notifications/{_ID}/actions/{{action:[0-9]|tap}}"


@dataclass(frozen=True)
class Resources:
    """What answers, one for each resource, each with the pieces that it needs."""

    auth: Auth
    users: Users
    tokens: Tokens
    buckets: Buckets
    members: Members
    invitations: Invitations
    topics: Topics
    subscribers: Subscribers
    messages: Messages
    changes: MessageChanges
    attachments: Attachments
    notifications: Notifications
    preferences: Preferences
    actions: Actions
    webhooks: Webhooks
    live: Live
    deliveries: Deliveries
    activity: Activity
    devices: Devices
    device: Device
    keys: Keys
    relay: Relay
    health: Health
    reference: Reference


def routes(to: Resources) -> list[Route]:
    """Return every route there is."""
    return [
        # accounts
        Open("POST", "/api/v1/auth/register", to.auth.register),
        Open("POST", "/api/v1/auth/login", to.auth.login),
        Open("POST", "/api/v1/auth/refresh", to.auth.refresh),
        ForUser("POST", "/api/v1/auth/logout", Need.ACCOUNT, to.auth.logout),
        ForUser("GET", "/api/v1/users/me", Need.ACCOUNT, to.users.me),
        ForUser("PATCH", "/api/v1/users/me", Need.ACCOUNT, to.users.change),
        ForUser("POST", "/api/v1/users/me/password", Need.ACCOUNT, to.users.change_password),
        ForUser("GET", "/api/v1/users/me/sessions", Need.ACCOUNT, to.users.sessions),
        ForUser("DELETE", f"/api/v1/users/me/sessions/{_ID}", Need.ACCOUNT, to.users.end_session),
        ForUser("PATCH", f"/api/v1/users/{_ID}", Need.OPERATE, to.users.set),
        ForUser("POST", "/api/v1/access-tokens", Need.ACCOUNT, to.tokens.create),
        ForUser("GET", "/api/v1/access-tokens", Need.ACCOUNT, to.tokens.list),
        ForUser("GET", f"/api/v1/access-tokens/{_ID}", Need.ACCOUNT, to.tokens.get),
        ForUser("PATCH", f"/api/v1/access-tokens/{_ID}", Need.ACCOUNT, to.tokens.change),
        ForUser("DELETE", f"/api/v1/access-tokens/{_ID}", Need.ACCOUNT, to.tokens.delete),
        # buckets
        ForUser("POST", "/api/v1/buckets", Need.ACCOUNT, to.buckets.create),
        ForUser("GET", "/api/v1/buckets", Need.ACCOUNT, to.buckets.list),
        ForUser("GET", _BUCKET, Need.ACCOUNT, to.buckets.get),
        ForUser("PATCH", _BUCKET, Need.ACCOUNT, to.buckets.change),
        ForUser("DELETE", _BUCKET, Need.ACCOUNT, to.buckets.delete),
        ForUser("POST", f"{_BUCKET}/join", Need.ACCOUNT, to.buckets.join),
        ForUser("POST", f"{_BUCKET}/leave", Need.ACCOUNT, to.buckets.leave),
        ForUser("POST", f"{_BUCKET}/snooze", Need.ACCOUNT, to.buckets.snooze),
        ForUser("PUT", f"{_BUCKET}/quiet-times", Need.ACCOUNT, to.buckets.set_quiet_times),
        ForUser("GET", f"{_BUCKET}/members", Need.ACCOUNT, to.members.list),
        ForUser("POST", f"{_BUCKET}/members", Need.ACCOUNT, to.members.add),
        ForUser("PATCH", f"{_BUCKET}/members/{{user:[^/]+}}", Need.ACCOUNT, to.members.change),
        ForUser("DELETE", f"{_BUCKET}/members/{{user:[^/]+}}", Need.ACCOUNT, to.members.remove),
        ForUser("GET", f"{_BUCKET}/webhook-secret", Need.ACCOUNT, to.webhooks.show),
        ForUser("POST", f"{_BUCKET}/webhook-secret/rotate", Need.ACCOUNT, to.webhooks.rotate),
        # invitations
        ForUser("POST", "/api/v1/invitations", Need.ACCOUNT, to.invitations.create),
        ForUser("GET", "/api/v1/invitations", Need.ACCOUNT, to.invitations.list),
        ForUser("POST", "/api/v1/invitations/accept", Need.ACCOUNT, to.invitations.accept),
        ForUser("DELETE", f"/api/v1/invitations/{_ID}", Need.ACCOUNT, to.invitations.delete),
        # topics and subscribers of a tenant
        ForUser("POST", "/api/v1/topics", Need.MANAGE, to.topics.create, acts=True),
        ForUser("GET", "/api/v1/topics", Need.MANAGE, to.topics.list, acts=True),
        ForUser("GET", _TOPIC, Need.MANAGE, to.topics.get, acts=True),
        ForUser("DELETE", _TOPIC, Need.MANAGE, to.topics.delete, acts=True),
        ForUser("POST", f"{_TOPIC}/subscribers", Need.MANAGE, to.topics.subscribe, acts=True),
        ForUser("GET", f"{_TOPIC}/subscribers", Need.MANAGE, to.topics.subscribers, acts=True),
        ForUser(
            "DELETE",
            f"{_TOPIC}/subscribers/{{user:[^/]+}}",
            Need.MANAGE,
            to.topics.unsubscribe,
            acts=True,
        ),
        ForUser("POST", "/api/v1/subscribers", Need.MANAGE, to.subscribers.put, acts=True),
        ForUser("GET", "/api/v1/subscribers", Need.MANAGE, to.subscribers.list, acts=True),
        ForUser("GET", _SUBSCRIBER, Need.MANAGE, to.subscribers.get, acts=True),
        ForUser("PATCH", _SUBSCRIBER, Need.MANAGE, to.subscribers.change, acts=True),
        ForUser("DELETE", _SUBSCRIBER, Need.MANAGE, to.subscribers.delete, acts=True),
        # messages
        ForUser("POST", "/api/v1/messages", Need.SEND, to.messages.create, acts=True),
        ForUser("GET", "/api/v1/messages", Need.READ, to.messages.list, acts=True),
        ForUser("GET", "/api/v1/messages", Need.SEND, to.messages.create_by_get, when="title", acts=True),
        ForUser("GET", f"/api/v1/messages/{_ID}", Need.READ, to.messages.get, acts=True, managed=True),
        ForUser("PATCH", f"/api/v1/messages/{_ID}", Need.ACCOUNT, to.changes.change, acts=True),
        ForUser(
            "DELETE",
            f"/api/v1/messages/{_ID}",
            Need.ACCOUNT,
            to.messages.delete,
            acts=True,
            managed=True,
        ),
        ForUser("GET", f"/api/v1/messages/{_ID}/deliveries", Need.READ, to.deliveries.timeline, acts=True),
        # what a user has received
        ForUser("GET", "/api/v1/notifications", Need.READ, to.notifications.list, acts=True),
        ForUser("GET", "/api/v1/notifications/counts", Need.READ, to.notifications.counts, acts=True),
        ForUser("POST", "/api/v1/notifications/read-all", Need.ACCOUNT, to.notifications.read_all, acts=True),
        ForUser("GET", f"/api/v1/notifications/{_ID}", Need.READ, to.notifications.get, acts=True),
        ForUser("PATCH", f"/api/v1/notifications/{_ID}/read", Need.ACCOUNT, to.notifications.read, acts=True),
        ForUser(
            "PATCH", f"/api/v1/notifications/{_ID}/unread", Need.ACCOUNT, to.notifications.unread, acts=True
        ),
        ForUser("DELETE", f"/api/v1/notifications/{_ID}", Need.ACCOUNT, to.notifications.delete, acts=True),
        # what they want to receive
        ForUser("GET", "/api/v1/preferences", Need.ACT, to.preferences.list, acts=True),
        ForUser("PATCH", "/api/v1/preferences", Need.ACT, to.preferences.change, acts=True),
        # its buttons, in an app or on a device
        ForEither("GET", f"/api/v1/notifications/{_ID}/actions", Need.READ, to.actions.list),
        ForEither("POST", _ACTION, Need.ACCOUNT, to.actions.run),
        ForEither("POST", f"/api/v1/notifications/{_ID}/snooze", Need.ACCOUNT, to.actions.snooze),
        ForEither("POST", f"/api/v1/notifications/{_ID}/postpone", Need.ACCOUNT, to.actions.postpone),
        # what changes there, as it happens
        ForUser("GET", "/api/v1/live", Need.READ, to.live.socket),
        ForUser("GET", "/api/v1/messages/stream", Need.READ, to.live.stream),
        # files
        ForUser("POST", "/api/v1/attachments", Need.SEND, to.attachments.create),
        ForUser("GET", "/api/v1/attachments", Need.READ, to.attachments.list),
        ForEither("GET", f"/api/v1/attachments/{_ID}", Need.READ, to.attachments.get),
        ForUser("DELETE", f"/api/v1/attachments/{_ID}", Need.ACCOUNT, to.attachments.delete),
        # what was sent in a tenant
        ForUser("GET", "/api/v1/activity", Need.MANAGE, to.activity.list, acts=True),
        # what came to nothing
        ForUser("GET", "/api/v1/deliveries", Need.OPERATE, to.deliveries.dead),
        ForUser("POST", "/api/v1/deliveries/retry", Need.OPERATE, to.deliveries.retry),
        # the relay, as it shows itself to this server
        ForUser("GET", "/api/v1/relay", Need.OPERATE, to.relay.state),
        # a user's devices
        ForUser("POST", "/api/v1/devices/pairing-codes", Need.ACCOUNT, to.devices.create_code),
        ForUser("GET", "/api/v1/devices", Need.ACCOUNT, to.devices.list),
        ForUser("PATCH", f"/api/v1/devices/{_ID}", Need.ACCOUNT, to.devices.change),
        ForUser("DELETE", f"/api/v1/devices/{_ID}", Need.ACCOUNT, to.devices.delete),
        ForUser("POST", f"/api/v1/devices/{_ID}/test", Need.ACCOUNT, to.devices.test),
        # a device that pairs, and then asks for itself
        Open("GET", "/api/v1/identity", to.keys.identity),
        Open("POST", "/api/v1/devices/pair", to.devices.pair),
        ForDevice("GET", "/api/v1/device/messages", to.device.messages),
        ForDevice("GET", f"/api/v1/device/claims/{_ID}", to.device.claim),
        ForDevice("POST", "/api/v1/device/receipts", to.device.receipts),
        ForDevice("PUT", "/api/v1/device/handle", to.device.handle),
        ForDevice("PUT", "/api/v1/device/key", to.device.key),
        ForDevice("DELETE", "/api/v1/device", to.device.delete),
        # the server itself
        Open("GET", "/.well-known/http-message-signatures-directory", to.keys.directory),
        Open("GET", "/openapi.json", to.reference.openapi),
        Open("GET", "/scalar", to.reference.page),
        Open("GET", "/scalar/standalone.js", to.reference.script),
        *operators_routes(to.health),
    ]


def operators_routes(health: Health) -> list[Route]:
    """Return what every process answers, whatever its role."""
    return [
        Open("GET", "/healthz", health.alive, counted=False),
        Open("GET", "/readyz", health.ready, counted=False),
        ForUser("GET", "/metrics", Need.METRICS, health.metrics),
    ]


def install(app: web.Application, gate: Gate, table: list[Route]) -> None:
    """Give the routes to the router, each behind the gate. HEAD answers where GET does, and never does what a `when` asks for."""
    app[TABLE], app[GATE] = table, gate
    special = {
        (route.method, route.path): route for route in table if isinstance(route, ForUser) and route.when
    }
    for route in table:
        if route in special.values():
            continue
        guarded, other = gate.guard(route), special.get((route.method, route.path))
        handler = guarded if other is None else _either(other.when or "", gate.guard(other), guarded)
        app.router.add_route(route.method, route.path, handler)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, guarded)


def _either(
    name: str, special: Callable[[web.Request], Answer], usual: Callable[[web.Request], Answer]
) -> Callable[[web.Request], Answer]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await (special if name in request.query else usual)(request)

    return handler
