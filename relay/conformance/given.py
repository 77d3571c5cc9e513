"""What whoever runs the cases has brought along, and what a case may need of it."""

from dataclasses import dataclass, field
from enum import Enum

from crypto.keys import EpochKey, IdentityKey
from relay.wire import App


class Need(Enum):
    """What a case needs from whoever runs it."""

    ADMITTED = "a key that the relay admits"
    DENIED = "a key that the relay's operator has denied (--denied-key)"
    PASS_KEY = "the operator's key for passes (--pass-key), and admission by pass"  # noqa: S105 - what is needed, in words
    EPOCH = "the relay's own key file, whose epoch keys seal handles (--relay-keys)"
    DEVICE = "a device's push token, which will be pushed to (--token)"


@dataclass(frozen=True)
class Device:
    """A real token of an app."""

    app: App
    token: str = field(repr=False)

    @classmethod
    def read(cls, text: str) -> "Device":
        """`apns/org.example.app/production=0123…`; raises `ValueError`."""
        name, _, token = text.partition("=")
        match name.split("/"):
            case ["apns" | "fcm" as provider, app, "production" | "sandbox" as environment] if app and token:
                return cls(App(provider=provider, app=app, environment=environment), token)
        raise ValueError(name)


@dataclass(frozen=True)
class Given:
    """What whoever runs the cases has brought. `key` signs as the server."""

    key: IdentityKey
    own_pass: str | None = field(default=None, repr=False)
    denied: IdentityKey | None = None
    pass_key: IdentityKey | None = None
    epochs: tuple[EpochKey, ...] = ()
    devices: tuple[Device, ...] = ()
