"""Web Push (RFC 8030) with the relay's VAPID key, to subscriptions that strangers chose.

The body is the envelope, encrypted again for the subscription (RFC 8291), and none for a wake. Services that the operator
named go apart from the rest: where `relay.webpush_hosts` admits any, a host that says nothing takes no place from them,
and is spoken to with less (`webpush_stranger`). Connections are HTTP/1.1, one push at a time on each, so that what one
subscription is answered costs no other its connection; those to named services are kept for the next push.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from crypto.encoding import unb64u
from crypto.handle import Subscription
from crypto.keys import Random
from crypto.vapid import VapidKey
from crypto.webpush import encrypt
from relay.config import RelayConfig, WebPushApp
from relay.guard import GuardedResolver, Inside, Resolver, SystemResolver
from relay.http2 import Fault
from relay.providers.provider import (
    CONNECTION_LOST,
    SEND_SECONDS,
    Delivery,
    Done,
    Verdict,
    read_retry_after,
)
from relay.providers.transport import FAULTS
from relay.providers.webpush_reasons import BAD_ENDPOINT, verdict
from relay.providers.webpush_stranger import Failed, Stranger
from relay.providers.webpush_turns import Attempt, Bounds, Turns
from relay.providers.webpush_vapid import Vapid
from relay.subscription import host_of, hosts_of, is_known, is_served
from relay.wire import App

KEPT_SECONDS: Final = 30
KEPT_NAMES: Final = 64
LARGEST_ANSWER: Final = 4_096
ANSWER_SECONDS: Final = 1.0
STRANGERS: Final = 32
"""Pushes under way to one host that the operator did not name, and of one server to all of them."""

# The first that fits.
_FAULTS: Final = (
    (aiohttp.ClientConnectorDNSError, Fault.DNS),
    (aiohttp.ClientSSLError, Fault.TLS),
    (aiohttp.ClientConnectorError, Fault.CONNECT),
    (aiohttp.ClientResponseError, Fault.PROTOCOL),
)


class WebPushProvider:
    """One application server key. `clock` in seconds."""

    def __init__(
        self,
        app: WebPushApp,
        config: RelayConfig,
        *,
        resolver: Resolver,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        key = VapidKey.from_text(app.key)
        self.app = App(
            provider="webpush",
            app=app.app,
            environment="production",
            applicationServerKey=key.application_server_key,
        )
        self.trouble: str | None = None  # a key that does not load is an error of the configuration
        self._vapid = Vapid(key, app.subject, clock)
        self._hosts = hosts_of(config)
        self._resolver = GuardedResolver(resolver, config.webpush_connect)
        self._roots = config.webpush_roots
        self._clock = clock
        self._random = random
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._stranger: Stranger | None = None
        self._for_one: aiohttp.ClientSession | None = None
        self._for_many: aiohttp.ClientSession | None = None
        self._named, self._others = _turns(self._attempt, config.limits.in_flight)

    async def open(self) -> None:
        context = ssl.create_default_context(cadata=self._roots)
        self._stranger = Stranger(self._resolver, context)
        # `Turns` bounds what is under way.
        for_one = aiohttp.TCPConnector(ssl=context, resolver=self._resolver, limit=0, force_close=True)
        for_many = aiohttp.TCPConnector(
            ssl=context, resolver=self._resolver, limit=0, keepalive_timeout=KEPT_SECONDS
        )
        self._for_one, self._for_many = _session(for_one), _session(for_many)

    async def close(self) -> None:
        await self._named.close()
        await self._others.close()
        for session in (self._for_one, self._for_many):
            if session is not None:
                await session.close()
        await self._resolver.close()

    def send(self, delivery: Delivery, done: Done) -> None:
        host = host_of(delivery.subscription.endpoint) if delivery.subscription is not None else None
        # Asked again here: the handle may be older than the configuration.
        if host is None or not is_served(host, self._hosts):
            done(BAD_ENDPOINT)
            return
        apart = delivery.suspect or not is_known(host, self._hosts)
        (self._others if apart else self._named).begin(delivery, host, done)

    async def _attempt(self, delivery: Delivery, host: str) -> Verdict:
        try:
            if is_known(host, self._hosts):
                return await self._post(delivery, host)
            return await self._post_to_stranger(delivery, host)
        except Failed as failed:
            return failed.verdict
        except (aiohttp.ClientError, OSError) as error:
            return _fault(error)
        except RuntimeError as error:
            if "is used by transport" not in str(error):
                raise
            # uvloop, of a connection that cannot begin: its file's number is still held by one that was cancelled as it
            # began (MagicStack/uvloop#738). Nothing was sent.
            return FAULTS[Fault.CONNECT]

    async def _post(self, delivery: Delivery, host: str) -> Verdict:
        session = self._for_many if host in self._kept else self._for_one
        if session is None or delivery.subscription is None:
            return CONNECTION_LOST
        body, headers = self._write(delivery, delivery.subscription, host)
        request = session.post(
            _url(delivery.subscription.endpoint, host),
            data=body,
            headers=headers,
            allow_redirects=False,
        )
        async with request as response:
            found = self._read(response.status, response.headers.get("Retry-After"))
            if found.status == "accepted":
                self._keep(host)
            if session is self._for_many:
                await _drain(response)
        return found

    async def _post_to_stranger(self, delivery: Delivery, host: str) -> Verdict:
        if self._stranger is None or delivery.subscription is None:
            return CONNECTION_LOST
        body, headers = self._write(delivery, delivery.subscription, host)
        answer = await self._stranger.post(delivery.subscription.endpoint, host, headers, body)
        return self._read(answer.status, answer.retry_after)

    def _write(
        self, delivery: Delivery, subscription: Subscription, host: str
    ) -> tuple[bytes | None, Mapping[str, str]]:
        body = _body(delivery)
        sealed = None if body is None else self._seal(body, subscription)
        return sealed, self._headers(delivery, host, is_wake=sealed is None)

    def _seal(self, body: bytes, subscription: Subscription) -> bytes:
        p256dh, auth = unb64u(subscription.p256dh), unb64u(subscription.auth)
        return encrypt(body, p256dh=p256dh, auth=auth, random=self._random)

    def _headers(self, delivery: Delivery, host: str, *, is_wake: bool) -> Mapping[str, str]:
        headers = {
            "Authorization": self._vapid.authorization(host),
            "TTL": str(delivery.ttl),
            "Urgency": "high" if delivery.high else "normal",
            "Topic": delivery.collapse,
        }
        if not is_wake:
            headers |= {"Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream"}
        return headers

    def _read(self, status: int, retry_after: str | None) -> Verdict:
        found = verdict(status)
        if found.status != "retry":
            return found
        return found.after(read_retry_after(retry_after, self._clock()))

    def _keep(self, host: str) -> None:
        """Keep connections to this host from now on; there are so many such hosts at most."""
        self._kept[host] = None
        self._kept.move_to_end(host)
        if len(self._kept) > KEPT_NAMES:
            self._kept.popitem(last=False)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(),  # `Turns` ends what takes too long
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        read_bufsize=LARGEST_ANSWER,
    )


def webpush_providers(
    config: RelayConfig, *, clock: Callable[[], float], random: Random
) -> list[WebPushProvider]:
    """A provider for each application server key."""
    return [
        WebPushProvider(app, config, resolver=_resolver(config), clock=clock, random=random)
        for app in config.webpush
    ]


def _resolver(config: RelayConfig) -> SystemResolver:
    """Names that strangers chose wait for each other only, and those of one server cannot take all threads."""
    hosts = hosts_of(config)
    return SystemResolver(lambda name: is_known(name, hosts), known=4, others=2 * STRANGERS)


def _turns(attempt: Attempt, in_flight: int) -> tuple[Turns, Turns]:
    """Those for named services; and those for the rest, with whom a server goes whose pushes are mostly refused."""
    half, quarter = max(1, in_flight // 2), max(1, in_flight // 4)
    few = min(STRANGERS, quarter)
    return (
        Turns(attempt, Bounds(total=in_flight, host=half, server=half), SEND_SECONDS),
        Turns(attempt, Bounds(total=quarter, host=few, server=few), SEND_SECONDS),
    )


def _body(delivery: Delivery) -> bytes | None:
    """What is encrypted: the envelope; the handle in JSON; for a wake nothing (PROTOCOL.md, sections 2 and 3)."""
    if not delivery.data:
        return None
    envelope = delivery.data.get("hp")
    return msgspec.json.encode(delivery.data) if envelope is None else unb64u(envelope)


def _url(endpoint: str, host: str) -> URL:
    # Connections are kept by the name as it is spelt, and strangers spell it.
    scheme = "https://"
    return URL(scheme + host + endpoint[len(scheme) + len(host) :], encoded=True)


def _fault(error: Exception) -> Verdict:
    if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, Inside):
        return BAD_ENDPOINT
    return next((FAULTS[fault] for kind, fault in _FAULTS if isinstance(error, kind)), CONNECTION_LOST)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a small body to its end, without which its connection cannot be used again."""
    left = LARGEST_ANSWER
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(ANSWER_SECONDS):
            while read := await response.content.read(left):
                left -= len(read)
