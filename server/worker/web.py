"""HTTP to addresses that somebody else wrote: bounded in time and size, and never inside.

Three checks, since each sees what the others cannot: the URL (`target.py`), its name's addresses (`relay.guard`), and, right before
each connection, the address itself. Nothing is kept between requests: no connection, no cookie, no name. No proxy is used: the
addresses checked here would not be those that it connects to.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from relay.guard import GuardedResolver, Inside, Network, Resolver, SystemResolver, is_open
from server.domain.delivery import SECOND
from server.domain.outgoing import Attempt, Reason, reason_of
from server.domain.ports import Clock
from server.worker.target import Refused, read_target

POST_SECONDS = 15.0
GET_SECONDS = 15.0
REDIRECTS = 3
LARGEST_ANSWER = 4_096  # bytes of a webhook's answer that are read, for politeness: nobody looks at them
_NAMES_AT_ONCE = 16
_AGENT = "hushpost"

# The first that fits.
_FAULTS: Sequence[tuple[type[Exception], Reason]] = (
    (aiohttp.ClientConnectorDNSError, Reason.DNS_FAILED),
    (aiohttp.ClientSSLError, Reason.TLS_FAILED),
    (aiohttp.ClientConnectorError, Reason.CONNECT_FAILED),
    (aiohttp.ClientResponseError, Reason.PROTOCOL_ERROR),
    (aiohttp.InvalidURL, Reason.BAD_URL),
    (TimeoutError, Reason.TIMEOUT),
    (aiohttp.ClientError, Reason.CONNECTION_LOST),
    (OSError, Reason.CONNECTION_LOST),
)


class Failed(Exception):
    """There is nothing to be had, or not now; the attempt says why."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.reason)
        self.attempt = attempt


@dataclass(frozen=True)
class Download:
    """What a GET found. Reading on may raise `Failed`."""

    content_type: str | None
    length: int | None
    pieces: AsyncIterator[bytes]


class Web:
    """One for a process. `allowed`: networks inside that may be asked. `clock` is in milliseconds."""

    def __init__(self, allowed: Sequence[Network], *, clock: Clock, resolver: Resolver | None = None) -> None:
        self._allowed = allowed
        self._clock = clock
        names = resolver or SystemResolver(lambda _name: False, known=1, others=_NAMES_AT_ONCE)
        self._resolver = GuardedResolver(names, {}, allowed)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Send a body once, and follow nobody elsewhere."""
        try:
            async with (
                _within(POST_SECONDS),
                self._ask("POST", read_target(url, self._allowed), headers, body) as answer,
            ):
                wait = read_retry_after(answer.headers.get("Retry-After"), self._clock())
                await answer.content.read(LARGEST_ANSWER)
                return Attempt(reason_of(answer.status), answer.status, wait)
        except Failed as failed:
            return failed.attempt

    async def ask(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, most: int
    ) -> bytes:
        """Send a body once and return what is answered, of so many bytes at most; Failed. Nobody is followed elsewhere."""
        async with (
            _within(seconds),
            self._ask("POST", read_target(url, self._allowed), headers, body) as answer,
        ):
            download, answered = _download(answer, self._clock()), bytearray()
            async for piece in download.pieces:
                answered += piece
                if len(answered) > most:
                    raise Failed(Attempt(Reason.TOO_LARGE, answer.status))
            return bytes(answered)

    @asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[Download]:
        """Fetch what lies at an address, or where that points; Failed. It is over after GET_SECONDS, reading included."""
        async with _within(GET_SECONDS):
            target = read_target(url, self._allowed)
            for _ in range(REDIRECTS + 1):
                async with self._ask("GET", target) as answer:
                    if answer.status not in _ELSEWHERE:
                        yield _download(answer, self._clock())
                        return
                    target = self._follow(target, answer.headers.get("Location"))
            raise Failed(Attempt(Reason.TOO_MANY_REDIRECTS))

    def _follow(self, url: URL, location: str | None) -> URL:
        """Return where a redirect points; it is held to the same rules, and does not leave TLS."""
        if location is None:
            raise Failed(Attempt(Reason.PROTOCOL_ERROR))
        try:
            target = read_target(str(url.join(URL(location))), self._allowed)
        except ValueError:
            raise Failed(Attempt(Reason.BAD_URL)) from None
        if url.scheme == "https" and target.scheme != "https":
            raise Failed(Attempt(Reason.DOWNGRADED))
        return target

    def _ask(
        self, method: str, url: URL, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Any:
        if self._session is None:
            self._session = self._open()
        said = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **(headers or {})}
        return self._session.request(method, url, headers=said, data=body, allow_redirects=False)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=ssl.create_default_context(),
            resolver=self._resolver,
            use_dns_cache=False,
            limit=0,  # the worker bounds what is under way
            force_close=True,
            happy_eyeballs_delay=None,
            socket_factory=_guarded(self._allowed),
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(),  # `_within` ends what takes too long
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=LARGEST_ANSWER,
            trust_env=False,
        )


def read_retry_after(value: str | None, now: int) -> int | None:
    """Return for how many seconds an answer asks to be left alone; `now` in milliseconds."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        return max(int(parsedate_to_datetime(text).timestamp()) - now // SECOND, 0)
    except (ValueError, OverflowError):
        return None


_ELSEWHERE = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """End what takes longer, and say of what fails why it did: Failed."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except Refused as refused:
        raise Failed(Attempt(refused.reason)) from None
    except (aiohttp.ClientError, OSError) as error:
        raise Failed(Attempt(_reason(error))) from None


def _reason(error: Exception) -> Reason:
    if isinstance(getattr(error, "os_error", error), Inside):
        return Reason.REFUSED_INSIDE
    return next(reason for kind, reason in _FAULTS if isinstance(error, kind))


def _guarded(allowed: Sequence[Network]) -> Callable[[Any], socket.socket]:
    """Return what makes the sockets: none to where nobody may be sent, whichever way an address came about."""

    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, where = address
        if not is_open(where[0], allowed):
            raise Inside("the address lies inside")
        return socket.socket(family, kind, protocol)

    return make


def _download(answer: aiohttp.ClientResponse, now: int) -> Download:
    reason = reason_of(answer.status)
    if reason is None and answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        reason = Reason.PROTOCOL_ERROR
    if reason is not None:
        raise Failed(Attempt(reason, answer.status, read_retry_after(answer.headers.get("Retry-After"), now)))
    return Download(answer.headers.get("Content-Type"), answer.content_length, answer.content.iter_any())
