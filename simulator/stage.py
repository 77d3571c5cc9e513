"""The whole system on loopback, as separate processes: providers, relay, server and phones, made from nothing in a folder.

Each is started as an operator would start it, with variables for settings and keys from `hushpost keys`.
"""

import asyncio
import json
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from simulator.children import Child, Environment, Event, Program, StepFailed

READY_WITHIN = 60.0  # a machine may be slow and cold
_LOOK_EVERY = 0.05
_LAST_COMPLAINTS = 3
_HUSHPOST = "server.cli"


@dataclass(frozen=True)
class Handset:
    """A phone to simulate."""

    name: str
    platform: str
    provider: str
    suite: int
    label: str


class Stage:
    """Processes in a folder; `close` ends them, the last one first."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.server_url = f"http://127.0.0.1:{free_port()}"
        self.relay_url = f"http://127.0.0.1:{free_port()}"
        self.providers: Event = {}
        self._relay_key: dict[str, str] = {}
        self._server_key: dict[str, str] = {}
        self._vapid_key: dict[str, str] = {}
        self.token = ""
        self._session = session
        self._children: list[Child] = []

    async def prepare(self) -> None:
        """Start the providers, and make the keys of relay and server meanwhile."""
        self.providers, self._relay_key, self._vapid_key, self._server_key = await asyncio.gather(
            self._start_providers(),
            self._make_keys("relay", "relay"),
            self._make_keys("relay", "vapid"),
            self._make_keys("server", "server"),
        )

    async def _start_providers(self) -> Event:
        data = str(self.folder / "providers")
        child = await self._start("providers", ["simulator", "providers", "--data", data], {})
        return await child.event("ready", seconds=READY_WITHIN, fits=lambda _: True)

    async def _make_keys(self, role: str, kind: str) -> dict[str, str]:
        """Make keys for a role; the identity key, or the only one, as `hushpost keys` shows it."""
        made = await self._program(
            f"{kind}-keys", [_HUSHPOST, "keys", "new", kind, "--json"], self._data(role)
        ).output()
        found: dict[str, str] = next(key for key in json.loads(made) if key["type"] in {"identity", "vapid"})
        return found

    def _data(self, role: str) -> Environment:
        return {"HUSHPOST_SERVER_DATA_DIR": str(self.folder / role)}

    async def start_relay_and_server(self) -> None:
        """Start both, each with the other's key."""
        relay = self._relay_settings(allowed=self._server_key["id"])
        server = self._server_settings(relay_key=self._relay_key["publicKey"])
        await asyncio.gather(
            self._start_listening("relay", self.relay_url, relay),
            self._start_listening("server", self.server_url, server),
        )

    def _relay_settings(self, *, allowed: str) -> Environment:
        there = self.providers
        host, _, port = there["apns"].rpartition(":")
        return {
            **self._data("relay"),
            "HUSHPOST_LOG_FORMAT": "json",
            "HUSHPOST_RELAY_PUBLIC_URL": self.relay_url,
            "HUSHPOST_RELAY_LISTEN": self.relay_url.removeprefix("http://"),
            "HUSHPOST_RELAY_ALLOWLIST": allowed,
            "HUSHPOST_RELAY_APNS_0_TOPIC": there["app"],
            "HUSHPOST_RELAY_APNS_0_KEY_ID": there["keyId"],
            "HUSHPOST_RELAY_APNS_0_TEAM_ID": there["teamId"],
            "HUSHPOST_RELAY_APNS_0_KEY_FILE": there["apnsKeyFile"],
            "HUSHPOST_RELAY_APNS_0_HOST": host,
            "HUSHPOST_RELAY_APNS_0_PORT": port,
            "HUSHPOST_RELAY_APNS_0_CA_FILE": there["caFile"],
            "HUSHPOST_RELAY_FCM_0_SERVICE_ACCOUNT_FILE": there["serviceAccountFile"],
            "HUSHPOST_RELAY_FCM_0_ENDPOINT": there["fcm"],
            "HUSHPOST_RELAY_FCM_0_CA_FILE": there["caFile"],
            "HUSHPOST_RELAY_WEBPUSH_0_APP": there["webApp"],
            "HUSHPOST_RELAY_WEBPUSH_0_KEY_FILE": self._vapid_key["file"],
            "HUSHPOST_RELAY_WEBPUSH_0_SUBJECT": "mailto:demo@example.org",
            "HUSHPOST_RELAY_WEBPUSH_HOSTS": there["webpushHost"],
            "HUSHPOST_RELAY_WEBPUSH_CONNECT": there["webpushConnect"],
            "HUSHPOST_RELAY_WEBPUSH_CA_FILE": there["caFile"],
        }

    def _server_settings(self, *, relay_key: str) -> Environment:
        return {
            **self._data("server"),
            "HUSHPOST_LOG_FORMAT": "json",
            "HUSHPOST_SERVER_PUBLIC_URL": self.server_url,
            "HUSHPOST_SERVER_LISTEN": self.server_url.removeprefix("http://"),
            "HUSHPOST_SERVER_RELAY_URL": self.relay_url,
            "HUSHPOST_SERVER_RELAY_KEYS": relay_key,
        }

    async def _start_listening(self, role: str, url: str, environment: Environment) -> None:
        child = await self._start(role, [_HUSHPOST, role], environment)
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await self._answers(f"{url}/healthz"):
                    if not child.runs:
                        raise child.program.failure("has ended")
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise child.program.failure(f"did not answer within {READY_WITHIN:.0f} s") from None

    async def _answers(self, url: str) -> bool:
        with suppress(aiohttp.ClientError):
            async with self._session.get(url) as answer:
                return answer.status == HTTPStatus.OK
        return False

    async def register(self) -> None:
        """Make the first account, and a token as a script would use it."""
        account = {"email": "demo@example.org", "username": "demo", "password": secrets.token_urlsafe(24)}
        self.token = (await self.call("POST", "auth/register", account))["accessToken"]

    async def make_token(self) -> str:
        wanted = {"name": "demo", "scopes": ["messages:create", "messages:read"]}
        return str((await self.call("POST", "access-tokens", wanted))["token"])

    async def pair(self, handset: Handset) -> Child:
        code = await self.call("POST", "devices/pairing-codes", {})
        arguments = [
            "simulator",
            "phone",
            *("--name", handset.name),
            *("--platform", handset.platform),
            *("--suite", str(handset.suite)),
            *("--control", self.providers["control"]),
            *("--link", code["link"]),
        ]
        phone = await self._start(handset.name, arguments, {})
        await phone.event("paired", seconds=READY_WITHIN, fits=lambda _: True)
        return phone

    async def call(self, method: str, path: str, body: Any) -> Any:
        """Call the server's API; `StepFailed` says what it answered."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"{self.server_url}/api/v1/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            found = await answer.json(content_type=None)
        if not answer.ok:
            raise StepFailed(f"{method} /api/v1/{path} was answered {answer.status}: {_why(found)}")
        return found

    async def records(self) -> list[dict[str, Any]]:
        """Everything that the providers were given."""
        async with self._session.get(f"{self.providers['control']}/control/records") as answer:
            found: list[dict[str, Any]] = (await answer.json())["records"]
            return found

    def log_of(self, name: str) -> bytes:
        return (self.folder / f"{name}.log").read_bytes()

    def complaints(self) -> list[str]:
        """What server and relay last warned of."""
        found: list[str] = []
        for role in ("server", "relay"):
            log = self.folder / f"{role}.log"
            lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
            grave = [line for line in lines if '"level": "warning"' in line or '"level": "error"' in line]
            found += [f"  {role}: {line}" for line in grave[-_LAST_COMPLAINTS:]]
        return found

    def _program(self, name: str, arguments: list[str], environment: Environment) -> Program:
        return Program(name, arguments, environment, self.folder)

    async def _start(self, name: str, arguments: list[str], environment: Environment) -> Child:
        program = self._program(name, arguments, environment)
        child = Child(program, await program.start())
        self._children.append(child)
        return child

    async def close(self) -> None:
        for child in reversed(self._children):
            await child.stop()


def free_port() -> int:
    """A port that is free now; the process that is told to listen there says so if it is taken meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _why(problem: Any) -> str:
    if not isinstance(problem, dict):
        return "not as Hushpost answers"
    faults = [f"{fault['path']}: {fault['reason']}; {fault['fix']}" for fault in problem.get("errors", [])]
    return "; ".join(faults) or str(problem.get("detail"))
