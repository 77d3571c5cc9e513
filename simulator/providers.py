"""The simulated providers as one thing that starts and closes: APNs (both hosts), Google, Web Push, the control endpoint.

Stable names, for tests of every room:

    async with Providers(directory) as providers:
        providers.apns_address, .apns_sandbox_address       "127.0.0.1:port", TLS, HTTP/2 only
        providers.fcm_url, .token_url                       "https://127.0.0.1:port", ".../token"
        providers.webpush_address                           "127.0.0.1:port", TLS, for push.hushpost.test
        providers.webpush_connect                           "push.hushpost.test=127.0.0.1:port", as a relay's setting
        providers.control_url                               "http://127.0.0.1:port"
        providers.ca_file                                   trust this, and nothing else
        providers.apns_key_file, .key_id, .team_id          an ES256 .p8 and its ids
        providers.service_account_file, .project            Google's JSON; its token_uri points here
        providers.app                                       the topic that tokens are made for by default
        providers.token("apns" | "fcm", app=..., environment="production" | "sandbox") -> str
        providers.subscription(server_key) -> {"endpoint", "keys": {"p256dh", "auth"}}, as a browser's toJSON()
        providers.script("apns" | "fcm" | "google" | "webpush", reason=..., kind=..., token=..., times=..., ...)
                                                            token: for webpush the end of the endpoint's path
        providers.behave(token, drop=..., duplicate=..., hold=...)
        providers.uninstall(token)                          410, 404 UNREGISTERED from now on
        providers.recorded                                  list of Recorded: headers and payload as they came
        await providers.until(lambda recorded: ...)         wait for the record to be so
        providers.accepted, .asked                          counts since the start
        providers.watch(lambda one: ...)                    be told of each as it is recorded
        providers.violations                                what clients did against HTTP/2
        providers.clear()                                   forget records and scripts
        providers.addresses()                               all of the above that is text, as one JSON object

Everything secret in `directory` is readable by its owner only. All ports are free ones unless `Ports` says otherwise.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from crypto.encoding import b64u
from crypto.webpush import SubscriptionKey
from simulator.apns_connection import ApnsConnection, Front
from simulator.authority import Authority, make_authority
from simulator.control import Control
from simulator.credentials import Credentials, make_credentials
from simulator.devices import Random, Target
from simulator.exchange import Clock, Exchange, Recorded
from simulator.google import Google
from simulator.google_fronts import GoogleConnection
from simulator.http1 import Http1
from simulator.http2_judge import Streams
from simulator.listener import ByAlpn, Connections, Listener, handshake
from simulator.webpush import PushService
from simulator.webpush_rules import HOST, endpoint_of

APP = "org.hushpost.app"
WEB_APP = "org.hushpost.web"
PROJECT = "hushpost-app"
STREAMS = Streams(limit=1000, before_token=None)


Address = tuple[str, int]
FREE: Address = ("127.0.0.1", 0)


@dataclass(frozen=True)
class Ports:
    """Where to listen, as host and port; port 0 takes a free one."""

    apns: Address = FREE
    apns_sandbox: Address = FREE
    google: Address = FREE
    webpush: Address = FREE
    control: Address = FREE


class Providers:
    """`directory` is made if it is missing. `clock` (seconds) judges tokens, expiries and assertions.

    `credentials` are made unless given: those of `make_credentials(random, app=APP, project=PROJECT)`, which takes a
    while, serve any number of providers.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports = Ports(),
        clock: Clock = time.time,
        random: Random = secrets.token_bytes,
        streams: Streams = STREAMS,
        credentials: Credentials | None = None,
    ) -> None:
        self.directory = directory
        self.app = APP
        self.project = PROJECT
        self._ports = ports
        self._exchange = Exchange(clock=clock, random=random)
        made = credentials or make_credentials(random, app=APP, project=PROJECT)
        self._credentials = made.unshared()
        team = self._credentials.team
        production = Front("production", self._exchange, team, streams)
        sandbox = Front("sandbox", self._exchange, team, streams)
        self._production = Listener(partial(ApnsConnection, production))
        self._sandbox = Listener(partial(ApnsConnection, sandbox))
        self._google = Google(self._exchange, self._credentials.account)
        self._google_runner: web.AppRunner
        self._google_listener = Listener(self._google_connection)
        self._push_service = PushService(self._exchange)
        self._push_runner: web.AppRunner
        self._push_listener = Listener(lambda _: _http1(self._push_runner))
        apns = [self._production.refuse, self._sandbox.refuse]
        google = [self._google_listener.refuse]
        web_push = [self._push_listener.refuse]
        self._exchange.listeners.update(apns=apns, fcm=google, google=google, webpush=web_push)
        self._runners: list[web.AppRunner] = []
        self.key_id = team.key_id
        self.team_id = team.team_id
        self.control_url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        # Certificates are judged by the client's TLS library, which knows only the real time.
        authority = make_authority(self.directory / "leaf.pem", now=datetime.now(UTC))
        self.ca_file.write_text(authority.certificate, encoding="ascii")
        try:
            await self._listen(authority)
        except BaseException:
            await self.close()
            raise
        self.apns_key_file = self._credentials.write_apns_key(self.directory)
        self.service_account_file = self._credentials.write_service_account(
            self.directory, self.project, self.fcm_url
        )

    async def _listen(self, authority: Authority) -> None:
        await self._production.start(*self._ports.apns, self._context(authority, "apns", "h2"))
        await self._sandbox.start(*self._ports.apns_sandbox, self._context(authority, "apns", "h2"))
        self._google_runner = await self._run(Http1(self._google.answer).app())
        both = self._context(authority, "fcm", "h2", "http/1.1")
        await self._google_listener.start(*self._ports.google, both)
        self._google.url = "https://" + _address(self._google_listener.address)
        self._push_runner = await self._run(Http1(self._push_service.answer).app())
        context = self._context(authority, "webpush", "http/1.1")
        await self._push_listener.start(*self._ports.webpush, context)
        self._push_service.address = _address(self._push_listener.address)
        control = Control(self._exchange, make_token=self.make_token, addresses=self.addresses)
        runner = await self._run(control.app())
        await web.TCPSite(runner, *self._ports.control).start()
        self.control_url = "http://" + _address(runner.addresses[0][:2])

    def _context(self, authority: Authority, provider: str, *protocols: str) -> ssl.SSLContext:
        context = authority.context(*protocols)
        misfit = partial(authority.misfit, protocols=protocols)
        context.sni_callback = handshake(self._exchange.scripts, provider, misfit)
        return context

    def _google_connection(self, connections: Connections) -> asyncio.BaseProtocol:
        http2 = partial(GoogleConnection, self._exchange, self._google, connections)
        return ByAlpn(http2, partial(_http1, self._google_runner))

    async def _run(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def close(self) -> None:
        """Close every connection and listener; safe to call twice."""
        listeners = (self._push_listener, self._google_listener, self._production, self._sandbox)
        for listener in listeners:
            await listener.stop()
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()
        for listener in listeners:
            await listener.close()

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def apns_address(self) -> str:
        return _address(self._production.address)

    @property
    def apns_sandbox_address(self) -> str:
        return _address(self._sandbox.address)

    @property
    def apns_connections(self) -> int:
        """How many connections are open to both APNs hosts."""
        return len(self._production.connections) + len(self._sandbox.connections)

    @property
    def fcm_url(self) -> str:
        return self._google.url

    @property
    def token_url(self) -> str:
        return f"{self._google.url}/token"

    @property
    def webpush_address(self) -> str:
        return self._push_service.address

    @property
    def webpush_connect(self) -> str:
        return f"{HOST}={self.webpush_address}"

    @property
    def recorded(self) -> list[Recorded]:
        return self._exchange.records

    @property
    def asked(self) -> int:
        """How many requests there were since the start, those too that are no longer in `recorded`."""
        return self._exchange.asked

    @property
    def accepted(self) -> int:
        """How many of them were processed: pushes that reached their device, and tokens that were granted."""
        return self._exchange.accepted

    @property
    def violations(self) -> list[str]:
        """What clients did against HTTP/2, each of which ended its connection."""
        return self._exchange.violations

    def watch(self, watcher: Callable[[Recorded], None]) -> None:
        """Tell of each request as it is recorded: a long run outgrows `recorded`."""
        self._exchange.watchers.append(watcher)

    def addresses(self) -> dict[str, str]:
        return {
            "apns": self.apns_address,
            "apnsSandbox": self.apns_sandbox_address,
            "fcm": self.fcm_url,
            "token": self.token_url,
            "webpush": self.webpush_address,
            "webpushConnect": self.webpush_connect,
            "webpushHost": HOST,
            "webApp": WEB_APP,
            "control": self.control_url,
            "caFile": str(self.ca_file),
            "apnsKeyFile": str(self.apns_key_file),
            "keyId": self.key_id,
            "teamId": self.team_id,
            "app": self.app,
            "serviceAccountFile": str(self.service_account_file),
            "project": self.project,
        }

    def make_token(
        self, provider: str, app: str | None, environment: str, server_key: str | None = None
    ) -> Target:
        """Make a device token; its app or project is one that the credentials may send to from now on."""
        name = app or {"fcm": self.project, "webpush": WEB_APP}.get(provider, self.app)
        target = self._exchange.make_token(provider, name, environment, server_key)
        known = {"fcm": self._credentials.account.projects, "apns": self._credentials.team.topics}
        known.get(provider, set()).add(name)
        return target

    def token(self, provider: str, *, app: str | None = None, environment: str = "production") -> str:
        return self.make_token(provider, app, environment).token

    def subscription(
        self, server_key: str, *, key: SubscriptionKey | None = None, app: str | None = None
    ) -> dict[str, Any]:
        """Subscribe as a browser would, to pushes by `server_key` (b64u); who keeps `key` can open them."""
        key = key or SubscriptionKey.generate(self._exchange.random)
        target = self.make_token("webpush", app, "production", server_key)
        keys = {"p256dh": b64u(key.p256dh), "auth": b64u(key.auth)}
        return {"endpoint": endpoint_of(target.token), "keys": keys}

    def script(
        self,
        provider: str,
        *,
        reason: str = "",
        kind: str = "answer",
        status: int | None = None,
        token: str | None = None,
        times: int | None = None,
        retry_after: int | str | None = None,
        since: int | None = None,
        delay: float = 0.0,
        **more: Any,
    ) -> None:
        """Script a fault for one token or all, for the next `times` requests or for good.

        `simulator.faults.Kind` says what there is; `more` are `on="connect"` for the next new connections, and what some
        kinds need or take: size, code, form, settings.
        """
        self._exchange.script(
            provider,
            reason=reason,
            kind=kind,
            status=status,
            token=token,
            times=times,
            retry_after=retry_after,
            since=since,
            delay=delay,
            **more,
        )

    def behave(self, token: str, *, drop: int = 0, duplicate: int = 0, hold: int = 0) -> None:
        """Lose the next `drop` pushes to a device, repeat `duplicate`, deliver the next `hold` in reverse."""
        self._exchange.device(token).behave(drop=drop, duplicate=duplicate, hold=hold)

    def uninstall(self, token: str) -> None:
        self._exchange.uninstall(token)

    def clear(self) -> None:
        self._exchange.clear()

    async def until(self, condition: Callable[[list[Recorded]], bool]) -> None:
        await self._exchange.bell.until(lambda: condition(self.recorded))


def _http1(runner: web.AppRunner) -> asyncio.BaseProtocol:
    """A new connection for aiohttp."""
    if runner.server is None:
        raise RuntimeError("the HTTP/1.1 side has ended")
    return runner.server()


def _address(pair: Address) -> str:
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
