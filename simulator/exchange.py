"""What the simulated providers share: devices, scripted faults, and the record of everything that was asked.

The record is complete: refused requests are in it too, with headers and body exactly as they came, and those that a
connection passed over. It holds the newest `RECORDED` requests at least, so that a long benchmark does not fill the
memory; `asked` counts all there ever were, `accepted` those that were processed, and who watches is told of each.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypto.encoding import b64u
from simulator.bell import Bell
from simulator.devices import Delivery, Device, Random, Target, new_token
from simulator.faults import APNS_REASONS, PROVIDERS, BadScript, Fault, Kind
from simulator.scripts import Script, Scripts, read_fault
from simulator.webpush_rules import is_server_key

Clock = Callable[[], float]
"""Seconds since the Unix epoch."""
GONE = 410
RECORDED = 20_000
ENVIRONMENTS = ("production", "sandbox")


@dataclass(frozen=True)
class Recorded:
    """One request. `status` is 0 where none was answered; `reason` names the refusal or the fault's kind.

    `accepted` says whether the push was processed, whatever its sender came to know: sent again, it comes twice. Of a
    request that its connection passed over ("after_goaway", "over_limit") there is no payload. `connection` numbers the
    connections of this simulator, 0 where none was counted.

    `token` is the endpoint's id for Web Push, whose payload is no text: it is shown as base64url.
    """

    provider: str
    environment: str
    token: str | None = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    payload: bytes = field(repr=False)
    status: int
    reason: str
    at: float
    accepted: bool
    connection: int = 0

    def header(self, name: str) -> str | None:
        """Find a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def _text(self) -> str:
        return b64u(self.payload) if self.provider == "webpush" else self.payload.decode("utf-8", "replace")

    def show(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "environment": self.environment,
            "token": self.token,
            "headers": [list(pair) for pair in self.headers],
            "payload": self._text,
            "status": self.status,
            "reason": self.reason,
            "at": int(self.at * 1000),
            "accepted": self.accepted,
            "connection": self.connection,
        }


class UnknownToken(LookupError):
    """No such device token was made here."""


class Exchange:
    def __init__(self, *, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.scripts = Scripts()
        self.records: list[Recorded] = []
        self.asked = 0
        self.accepted = 0
        self.violations: list[str] = []
        self.watchers: list[Callable[[Recorded], None]] = []
        self.listeners: dict[str, Sequence[Callable[[float], None]]] = {}
        self.connections = itertools.count(1)
        self.bell = Bell()
        self._devices: dict[str, Device] = {}

    def make_token(self, provider: str, app: str, environment: str, server_key: str | None) -> Target:
        """Make a token; `server_key` is for Web Push, which makes a subscription for one key only."""
        if provider not in {"apns", "fcm", "webpush"}:
            raise BadScript(f"provider: {provider!r} gives no device tokens; use 'apns', 'fcm' or 'webpush'")
        if environment not in ENVIRONMENTS:
            raise BadScript(f"environment: {environment!r} is unknown; use one of {', '.join(ENVIRONMENTS)}")
        if (provider == "webpush") != (server_key is not None and is_server_key(server_key)):
            raise BadScript("applicationServerKey: a P-256 point as base64url expected, for 'webpush' only")
        target = Target(provider, app, environment, new_token(provider, self.random), server_key)
        self._devices[target.token] = Device(target)
        return target

    def device(self, token: str) -> Device:
        device = self.find(token)
        if device is None:
            raise UnknownToken("token: not one that this simulator made; POST /control/tokens makes one")
        return device

    def find(self, token: str) -> Device | None:
        return self._devices.get(token)

    def uninstall(self, token: str) -> None:
        """Remove the app from the device: its token is dead from now on."""
        self.device(token).gone_since = int(self.clock() * 1000)

    def script(
        self,
        provider: str,
        *,
        token: str | None = None,
        times: int | None = None,
        on: str = "push",
        **fields: Any,
    ) -> None:
        """Put a fault in force; `fields` are those of `simulator.scripts.read_fault`."""
        if times is not None and times < 1:
            raise BadScript("times: at least 1, or left out for every request")
        if fields.get("status") == GONE or (
            provider == "apns" and APNS_REASONS.get(fields.get("reason", "")) == GONE
        ):
            # A 410 always says since when.
            since = fields.get("since")
            fields["since"] = int(self.clock() * 1000) if since is None else since
        fault = read_fault(provider, on=on, **fields)
        if fault.kind == Kind.UNREACHABLE:
            self.refuse_connections(provider, fault.delay)
        else:
            self.scripts.add(Script(provider, token, on, times, fault))

    def refuse_connections(self, provider: str, seconds: float) -> None:
        if provider not in self.listeners:
            raise BadScript(
                f"kind: {provider!r} cannot be unreachable; use one of {', '.join(self.listeners)}"
            )
        for refuse in self.listeners[provider]:
            refuse(seconds)

    def fault(self, provider: str, token: str | None) -> Fault | None:
        return self.scripts.take(provider, token)

    def deliver(self, token: str, delivery: Delivery) -> None:
        self.device(token).deliver(delivery)

    def record(self, recorded: Recorded) -> None:
        self.records.append(recorded)
        self.asked += 1
        self.accepted += recorded.accepted
        for watch in self.watchers:
            watch(recorded)
        if len(self.records) > 2 * RECORDED:
            del self.records[:RECORDED]
        self.bell.ring()

    def clear(self) -> None:
        """Forget what was recorded and every script; tokens stay."""
        self.records.clear()
        self.violations.clear()
        self.scripts.clear()
        self.bell.ring()

    def select(self, provider: str | None, token: str | None) -> Sequence[Recorded]:
        if provider is not None and provider not in PROVIDERS:
            raise BadScript(f"provider: {provider!r} is unknown; use one of {', '.join(PROVIDERS)}")
        return [
            one for one in self.records if provider in {None, one.provider} and token in {None, one.token}
        ]
