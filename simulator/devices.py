"""What a provider knows of devices: tokens, their app and environment, and the way to each device.

A `Device` is a token's other end. While its phone listens, a delivery goes out at once; while it does not, the
provider keeps what its documentation says it keeps: APNs the newest for each collapse id until the expiry, Web Push the
newest for each topic, FCM up to a hundred within their ttl (one more and it drops all of them and says only that it
did). Losing, repeating
and reordering are counted out exactly (the next N), so that a test is the same every time.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crypto.encoding import b64u

Random = Callable[[int], bytes]
FCM_STORED = 100
APNS_TOKEN_BYTES = 32
FCM_INSTANCE_BYTES = 16
FCM_SECRET_BYTES = 99
WEBPUSH_ID_BYTES = 99


@dataclass(frozen=True)
class Target:
    """`app` is an APNs topic, an FCM project, or whatever a relay calls those that subscribe with its `server_key`."""

    provider: str
    app: str
    environment: str
    token: str = field(repr=False)
    server_key: str | None = None


@dataclass(frozen=True)
class Delivery:
    """What reaches the phone. `expires_at` in seconds; None keeps it as long as the provider keeps anything."""

    event: str
    provider: str
    payload: Mapping[str, Any] = field(repr=False)
    collapse: str | None
    expires_at: float | None
    priority: str
    accepted_at: float

    def show(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "provider": self.provider,
            "payload": self.payload,
            "priority": self.priority,
            "acceptedAt": int(self.accepted_at * 1000),
        }


Stream = asyncio.Queue[Delivery | None]
"""A live connection to a phone; None says that a newer one took its place."""


class Device:
    def __init__(self, target: Target) -> None:
        self.target = target
        self.gone_since: int | None = None
        self._drop = 0
        self._duplicate = 0
        self._hold = 0
        self._held: list[Delivery] = []
        self._stored: list[Delivery] = []
        self._stream: Stream | None = None

    def behave(self, *, drop: int, duplicate: int, hold: int) -> None:
        """Lose the next `drop`, send the next `duplicate` twice, deliver the next `hold` in reverse order."""
        self._drop, self._duplicate, self._hold = drop, duplicate, hold

    def deliver(self, delivery: Delivery) -> None:
        if self._drop:
            self._drop -= 1
            return
        self._route(delivery)
        if self._duplicate:
            self._duplicate -= 1
            self._route(delivery)

    def _route(self, delivery: Delivery) -> None:
        if not self._hold:
            self._send(delivery)
            return
        self._held.append(delivery)
        if len(self._held) >= self._hold:
            held, self._held, self._hold = self._held, [], 0
            for one in reversed(held):
                self._send(one)

    def _send(self, delivery: Delivery) -> None:
        if self._stream is not None:
            self._stream.put_nowait(delivery)
        else:
            self._store(delivery)

    def _store(self, delivery: Delivery) -> None:
        if delivery.expires_at is not None and delivery.expires_at <= delivery.accepted_at:
            return
        if delivery.provider in {"apns", "webpush"} and delivery.collapse is not None:
            self._stored = [one for one in self._stored if one.collapse != delivery.collapse]
        self._stored.append(delivery)
        if delivery.provider == "fcm" and len(self._stored) > FCM_STORED:
            self._stored = [_deleted(delivery)]

    def connect(self, now: float) -> Stream:
        """Open the phone's stream: first what was kept for it. An older stream ends."""
        if self._stream is not None:
            self._stream.put_nowait(None)
        stream: Stream = asyncio.Queue()
        stored, self._stored = self._stored, []
        for delivery in stored:
            if delivery.expires_at is None or delivery.expires_at > now:
                stream.put_nowait(delivery)
        self._stream = stream
        return stream

    def disconnect(self, stream: Stream) -> None:
        """Close it; what it had not yet handed over is kept again."""
        if self._stream is not stream:
            return
        self._stream = None
        while not stream.empty():
            delivery = stream.get_nowait()
            if delivery is not None:
                self._store(delivery)


def _deleted(last: Delivery) -> Delivery:
    """FCM's onDeletedMessages: the app is told to fetch for itself."""
    return Delivery("deleted", "fcm", {}, None, None, "NORMAL", last.accepted_at)


def new_token(provider: str, random: Random) -> str:
    """Make a token of the form that the provider's own have."""
    if provider == "apns":
        return random(APNS_TOKEN_BYTES).hex()
    if provider == "webpush":
        return b64u(random(WEBPUSH_ID_BYTES))
    return f"{b64u(random(FCM_INSTANCE_BYTES))}:APA91b{b64u(random(FCM_SECRET_BYTES))}"
