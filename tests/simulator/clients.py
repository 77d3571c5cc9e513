"""A clock for tests, a sender that holds the APNs credentials, and what phones tell."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import jwt

from simulator.bell import Bell
from simulator.phone import Phone
from simulator.providers import Providers
from tests.simulator.http2 import Answer, Client

Assert = Callable[..., str]
Grant = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
Fcm = Callable[..., Awaitable[tuple[int, dict[str, Any], dict[str, str]]]]
NOW = 1_800_000_000.0
PAYLOAD = {"aps": {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1}, "hp": "AQ"}


class Time:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Sender:
    """Sends to APNs over one connection; `without` and `headers` bend the request."""

    def __init__(self, providers: Providers, time: Time, client: Client) -> None:
        self.providers = providers
        self.time = time
        self.client = client
        self.renew()

    def renew(self) -> None:
        self.made_at = self.time()
        self.authorization = f"bearer {self.provider_token()}"

    def provider_token(self, *, iat: float | None = None, **claims: Any) -> str:
        issued_at = int(self.time() if iat is None else iat)
        return jwt.encode(
            {"iss": self.providers.team_id, "iat": issued_at, **claims},
            self.providers.apns_key_file.read_text(),
            algorithm="ES256",
            headers={"kid": self.providers.key_id},
        )

    def headers(self, token: str) -> dict[str, str]:
        return {
            ":method": "POST",
            ":scheme": "https",
            ":authority": self.providers.apns_address,
            ":path": f"/3/device/{token}",
            "authorization": self.authorization,
            "apns-topic": self.providers.app,
            "apns-push-type": "alert",
            "apns-priority": "10",
        }

    async def __call__(
        self, token: str, *, body: bytes | None = None, without: str = "", **changed: str
    ) -> Answer:
        headers = self.headers(token)
        headers.pop(without, None)
        for name, value in changed.items():
            headers[name.replace("_", "-") if not name.startswith("_") else ":" + name[1:]] = value
        return await self.client.ask(headers.items(), json.dumps(PAYLOAD).encode() if body is None else body)


Pair = Callable[..., Awaitable[Phone]]
Reopen = Callable[[], Awaitable[Phone]]


class Events:
    """What phones tell, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.bell = Bell()

    def __call__(self, event: Any) -> None:
        self.all.append(dict(event))
        self.bell.ring()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.all if one["event"] == name]

    async def until(self, name: str, count: int = 1) -> dict[str, Any]:
        await self.bell.until(lambda: len(self.of(name)) >= count)
        return self.of(name)[count - 1]
