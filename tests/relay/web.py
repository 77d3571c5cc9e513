"""Browsers that subscribed at the simulated push service, and a relay that has their application server's key."""

from dataclasses import dataclass, field
from typing import Any

from crypto.encoding import b64u
from crypto.handle import Subscription
from crypto.vapid import VapidKey
from crypto.webpush import SubscriptionKey, decrypt
from relay.config import WebPushApp
from relay.wire import Push
from simulator.exchange import Recorded
from simulator.providers import Providers
from tests.relay.running import Relay, push

WEB = "web.hushpost.org"
SUBJECT = "mailto:operator@example.org"
VAPID = VapidKey(bytes([9]) * 32)
WEB_APP = WebPushApp(WEB, b64u(VAPID.scalar), SUBJECT)


def webpush(providers: Providers, **changes: Any) -> dict[str, Any]:
    """The settings of a relay that pushes to the simulated service."""
    name, _, address = providers.webpush_connect.partition("=")
    host, _, port = address.rpartition(":")
    values = {
        "webpush": (WEB_APP,),
        "webpush_connect": {name: (host, int(port))},
        "webpush_roots": providers.ca_file.read_text(encoding="ascii"),
    }
    return values | changes


@dataclass
class Browser:
    """One subscription; `document` is what it sends to the relay."""

    document: dict[str, Any] = field(repr=False)
    key: SubscriptionKey = field(repr=False)

    @classmethod
    def subscribe(cls, providers: Providers, *, server_key: VapidKey = VAPID, seed: int = 1) -> "Browser":
        key = SubscriptionKey(bytes([seed]) * 32, bytes([seed]) * 16)
        return cls(providers.subscription(server_key.application_server_key, key=key), key)

    @classmethod
    def at(cls, endpoint: str) -> "Browser":
        """A browser whose push service is where a stranger says that it is."""
        key = SubscriptionKey(bytes([8]) * 32, bytes([8]) * 16)
        keys = {"p256dh": b64u(key.p256dh), "auth": b64u(key.auth)}
        return cls({"endpoint": endpoint, "keys": keys}, key)

    @property
    def token(self) -> str:
        return str(self.document["endpoint"]).rpartition("/")[2]

    @property
    def subscription(self) -> Subscription:
        return Subscription(self.document["endpoint"], **self.document["keys"])

    def push(self, relay: Relay, number: int = 1, **changes: Any) -> Push:
        handle = relay.handle(None, provider="webpush", app=WEB, subscription=self.subscription)
        return push(handle, number, **changes)

    def open(self, recorded: Recorded) -> bytes:
        return decrypt(recorded.payload, key=self.key)
