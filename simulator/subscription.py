"""A browser's push subscription: the private half of RFC 8291, and what a push says once it is opened with it.

Under Web Push's own encryption lies the envelope itself, or JSON where the relay sends a handle (PROTOCOL §3): an
envelope begins with its version, which is no `{`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from crypto.webpush import SubscriptionKey, decrypt


@dataclass(frozen=True)
class Subscription:
    """`scalar` and `auth` as b64u: it is kept with the phone's state."""

    endpoint: str = field(repr=False)
    scalar: str = field(repr=False)
    auth: str = field(repr=False)

    @classmethod
    def make(cls, endpoint: str, key: SubscriptionKey) -> "Subscription":
        return cls(endpoint, b64u(key.scalar), b64u(key.auth))

    @property
    def key(self) -> SubscriptionKey:
        return SubscriptionKey(unb64u(self.scalar), unb64u(self.auth))

    def show(self) -> dict[str, Any]:
        """What the app gives away, as a browser's `toJSON()` has it."""
        keys = {"p256dh": b64u(self.key.p256dh), "auth": self.auth}
        return {"endpoint": self.endpoint, "keys": keys}

    def open(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open what the push service handed over, as the `hp`, or `hh` and `rq`, of any push. `CryptoError` says why not."""
        body = payload.get("body")
        if body is None:
            return {}
        plaintext = decrypt(unb64u(body), key=self.key)
        return _read_json(plaintext) if plaintext.startswith(b"{") else {"hp": b64u(plaintext)}


def _read_json(text: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise Malformed("a push that is neither an envelope nor JSON") from error
    return found
