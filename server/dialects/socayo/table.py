"""The RPCs: their names, who may call them, and what answers. A contents page."""

from collections.abc import Callable
from dataclasses import dataclass

from server.api.gate import Route
from server.commands.inbox import Marking
from server.commands.push_devices import PushDevices
from server.commands.send import Sender
from server.dialects.socayo.activity import SocayoActivity
from server.dialects.socayo.devices import SocayoDevices
from server.dialects.socayo.errors import show_error
from server.dialects.socayo.inbox import SocayoInbox
from server.dialects.socayo.preferences import SocayoPreferences
from server.dialects.socayo.rpc import ROOT, Rpc, Rpcs
from server.dialects.socayo.sending import SocayoSending
from server.dialects.socayo.session import InboxSessions, InboxSocket
from server.dialects.socayo.subscribers import SocayoSubscribers
from server.dialects.socayo.topics import SocayoTopics
from server.dialects.socayo.transactions import SocayoTransactions
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Resolver
from server.domain.scopes import Need


@dataclass(frozen=True)
class Socayo:
    """What the RPCs need. `wake` has workers and streams look for what is new."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sender: Sender
    resolver: Resolver
    devices: PushDevices
    sessions: InboxSessions
    socket: InboxSocket


def rpcs(to: Socayo) -> list[Rpc]:
    """Return every RPC there is."""
    topics = SocayoTopics(to.db, to.random, to.wake)
    subscribers = SocayoSubscribers(to.db, to.random, to.wake)
    devices = SocayoDevices(to.devices)
    inbox = SocayoInbox(Marking(to.db, to.clock, to.random, to.wake), to.resolver)
    preferences = SocayoPreferences(to.db)
    sending = SocayoSending(to.sender)
    transactions = SocayoTransactions(to.db, to.clock, to.random, to.wake)
    return [
        # devices
        Rpc("register-push-device", Need.ACT, devices.register, creates=True),
        Rpc("unregister-push-device", Need.ACT, devices.unregister),
        Rpc("get-registered-channels", Need.ACT, devices.channels),
        # the inbox
        Rpc("get-inbox-session", Need.ACT, to.sessions.get, creates=True),
        Rpc("get-inbox-feed", Need.INBOX, inbox.feed),
        Rpc("get-inbox-unseen-count", Need.INBOX, inbox.counts),
        Rpc("mark-inbox-message", Need.INBOX, inbox.mark),
        Rpc("mark-all-inbox-messages", Need.INBOX, inbox.mark_all),
        Rpc("delete-inbox-message", Need.INBOX, inbox.delete),
        # preferences
        Rpc("get-preferences", Need.ACT, preferences.get),
        Rpc("update-preferences", Need.ACT, preferences.update, creates=True),
        # sending
        Rpc("manage/send", Need.MANAGE, sending.send, creates=True),
        Rpc(
            "manage/send-scheduled",
            Need.MANAGE,
            sending.send_scheduled,
            creates=True,
            repeat=sending.repeat,
        ),
        Rpc("manage/send-delayed", Need.MANAGE, sending.send_delayed, creates=True),
        Rpc("manage/send-bulk", Need.MANAGE, sending.send_bulk, creates=True),
        Rpc("manage/send-to-topic", Need.MANAGE, sending.send_to_topic, creates=True),
        # what was sent, and what came of it
        Rpc("manage/cancel", Need.MANAGE, transactions.cancel),
        Rpc("manage/get-delivery-status", Need.MANAGE, transactions.status),
        Rpc("manage/get-notification-activity", Need.MANAGE, SocayoActivity(to.db).list),
        # topics
        Rpc("manage/create-topic", Need.MANAGE, topics.create, creates=True),
        Rpc("manage/delete-topic", Need.MANAGE, topics.delete),
        Rpc("manage/add-subscribers-to-topic", Need.MANAGE, topics.add, creates=True),
        Rpc("manage/remove-subscribers-from-topic", Need.MANAGE, topics.remove),
        Rpc("manage/list-topic-subscribers", Need.MANAGE, topics.list),
        Rpc("manage/check-topic-subscription", Need.MANAGE, topics.check),
        # subscribers
        Rpc("manage/create-subscriber", Need.MANAGE, subscribers.create, creates=True),
        Rpc("manage/get-subscriber", Need.MANAGE, subscribers.get),
        Rpc("manage/update-subscriber-data", Need.MANAGE, subscribers.update),
        Rpc("manage/delete-subscriber", Need.MANAGE, subscribers.delete),
        Rpc("manage/list-subscribers", Need.MANAGE, subscribers.list),
    ]


def socayo_routes(to: Socayo) -> list[Route]:
    return [*Rpcs(to.db, to.clock, to.random).routes(rpcs(to)), to.socket.route]


_OF_USERS = (
    "register-push-device",
    "unregister-push-device",
    "get-registered-channels",
    "get-inbox-session",
    "get-inbox-feed",
    "get-inbox-unseen-count",
    "mark-inbox-message",
    "mark-all-inbox-messages",
    "delete-inbox-message",
    "inbox-socket",
    "get-preferences",
    "update-preferences",
)
FACES = {ROOT + path: show_error for path in ("manage/", *_OF_USERS)}
"""Whatever is refused below these paths is refused in this API's form."""
