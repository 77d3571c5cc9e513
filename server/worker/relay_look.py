"""A look at the relay from where the server stands, for whoever wants to know why nothing goes out.

It asks what the outbox depends on: the key directory, the apps, and the signed status, which shows that the relay admits this
server. Nothing is pushed, nothing is kept.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from crypto.httpsig import (
    STATUS,
    STATUS_ANSWER,
    request_context,
    sign_request,
    verify_answer,
    verify_directory,
)
from crypto.keys import IdentityKey, IdentityPublicKey
from relay.wire import APPS_PATH, DIRECTORY_PATH, ERROR_STATUS, STATUS_PATH, App, Status
from server.domain.ports import Clock, Random
from server.worker.http import pass_header, read_body

T = TypeVar("T")

READY_PATH = "/readyz"
_SECONDS = aiohttp.ClientTimeout(total=15)
_LARGEST = 1024 * 1024
_LIFETIME = 60
_ANEW_SECONDS = 1.0
_OK = 200


class Refused(Exception):
    """The relay did not do what was asked. `code` is its error code, or a word of ours: "unreachable", "foreign"."""

    def __init__(self, code: str, said: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.said = said


@dataclass(frozen=True)
class _Seen:
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass
class RelayLook:
    """The relay whose public URL is `url`, connected to at `reach`. `clock` in milliseconds.

    `relay_pass` is what its operator gave to this server, or empty.
    """

    url: str
    reach: str
    session: aiohttp.ClientSession
    clock: Clock
    random: Random
    relay_pass: str = field(default="", repr=False)
    skew: float | None = None
    """Seconds that this machine's clock is ahead of the relay's, known to about one; None before the first answer."""

    async def directory(self, trusted: Sequence[IdentityPublicKey]) -> list[IdentityPublicKey]:
        """Return the relay's keys, vouched for by a trusted one if there is any; SignatureFault or Refused."""
        seen = await self._get(DIRECTORY_PATH)
        if seen.status != _OK:
            raise Refused("foreign", f"it answers {seen.status}")
        return verify_directory(
            trusted=trusted,
            status=seen.status,
            headers=seen.headers,
            body=seen.body,
            target_uri=self.url + DIRECTORY_PATH,
            now=self.clock() / 1000,
        )

    async def status(self, identity: IdentityKey, trusted: Sequence[IdentityPublicKey]) -> Status:
        """Return what the relay says to this server, signed both ways; SignatureFault or Refused.

        What a relay that has just started refuses is signed anew a moment later, as a server does.
        """
        try:
            return await self._status(identity, trusted)
        except Refused as refused:
            if refused.code != "starting":
                raise
        await asyncio.sleep(_ANEW_SECONDS)
        return await self._status(identity, trusted)

    async def _status(self, identity: IdentityKey, trusted: Sequence[IdentityPublicKey]) -> Status:
        target = self.url + STATUS_PATH
        headers = sign_request(
            STATUS,
            key=identity,
            method="GET",
            target_uri=target,
            content_type=None,
            body=None,
            created=self.clock() // 1000,
            lifetime=_LIFETIME,
            nonce=self.random(16),
        )
        seen = await self._get(STATUS_PATH, headers | pass_header(self.relay_pass))
        if seen.status != _OK:
            raise _refusal(seen)
        verify_answer(
            STATUS_ANSWER,
            keys=trusted,
            status=seen.status,
            headers=seen.headers,
            body=seen.body,
            request=request_context("GET", target, headers.items()),
            now=self.clock() / 1000,
        )
        return _decoded(seen.body, Status)

    async def apps(self) -> list[App]:
        """Return what the relay can push to."""
        seen = await self._get(APPS_PATH)
        if seen.status != _OK:
            raise _refusal(seen)
        return _decoded(seen.body, list[App])

    async def troubles(self) -> list[str]:
        """Return which providers do not take the relay's credentials, where it says so to us."""
        seen = await self._get(READY_PATH)
        try:
            document = msgspec.json.decode(seen.body)
            return [
                f"{one['provider']} {one['app']} ({one['environment']}): {one['reason']}"
                for one in document.get("troubles", [])
            ]
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError):
            return []

    async def _get(self, path: str, headers: dict[str, str] | None = None) -> _Seen:
        asked = self.clock()
        try:
            async with self.session.get(
                URL(self.reach + path, encoded=True),
                headers={"Accept-Encoding": "identity", **(headers or {})},
                allow_redirects=False,
                timeout=_SECONDS,
            ) as answer:
                self._note(answer.headers.get("Date"), (asked + self.clock()) / 2000)
                return _Seen(answer.status, tuple(answer.headers.items()), await read_body(answer, _LARGEST))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Refused("unreachable", str(reason)) from None

    def _note(self, date: str | None, now: float) -> None:
        try:
            theirs = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        self.skew = now - theirs - 0.5  # a date has no fractions: the middle of its second


def _refusal(seen: _Seen) -> Refused:
    try:
        code = msgspec.json.decode(seen.body)["code"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        code = None
    return Refused(code) if code in ERROR_STATUS else Refused("foreign", f"it answers {seen.status}")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        raise Refused("foreign", "its answer is not of the form that it should have") from None
