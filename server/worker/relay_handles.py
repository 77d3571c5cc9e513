"""Handles that the server asks its relay for, in the place of an app that has only told it the push token (PROTOCOL.md, section 3).

The request is unsigned like any other for a handle, and nothing is trusted of the answer but its form: a handle that is none reaches
nobody. The token is in the request's body and nowhere else: not in a log, not in an error, not in what is kept.
"""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from crypto.encoding import b64u
from relay.wire import ERROR_STATUS, HANDLES_PATH, JSON_TYPE
from server.commands.devices import handle_rule
from server.domain.errors import Unavailable
from server.domain.relay import NoApp, RelayApp, TokenRefused
from server.worker.http import read_body
from server.worker.relay_look import Refused, RelayLook

_SECONDS = 10.0  # with the wait for a place
_AT_ONCE = 16  # pushes go over the same connections, and are not to wait for those who register
_LARGEST = 16_384
_AGAIN = 5  # seconds
_LATER = 3_600  # when somebody has changed a configuration
_CODE = "relay_unavailable"


class _Answer(msgspec.Struct, frozen=True):
    """What a program needs of an answer: a handle, or of a problem document its code and the field that is at fault."""

    handle: str = ""
    code: str = ""
    field: str = ""


@dataclass(frozen=True)
class RelayHandles:
    """`server` is the keyid that handles are bound to. `log` is a structlog logger."""

    look: RelayLook
    server: str
    log: Any
    _places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False, repr=False, compare=False
    )

    async def ask(self, app: RelayApp, token: str) -> str:
        """As `server.domain.relay.AskHandle` says."""
        try:
            async with asyncio.timeout(_SECONDS), self._places:
                return await self._ask(app, token)
        except TimeoutError:
            raise self._away("the relay does not answer in time") from None

    async def _ask(self, app: RelayApp, token: str) -> str:
        name = app.app or await self._only_app(app)
        status, answer = await self._post(
            {
                "provider": app.provider,
                "app": name,
                "environment": app.environment,
                "token": token,
                "server": self.server,
                "request": b64u(self.look.random(16)),
            }
        )
        if status == HTTPStatus.CREATED and handle_rule(answer.handle) is None:
            return answer.handle
        raise self._refusal(status, answer)

    async def _only_app(self, wanted: RelayApp) -> str:
        """Return the name of the relay's app for a provider and environment; NoApp unless there is exactly one."""
        try:
            apps = await self.look.apps()
        except Refused as refused:
            raise self._away(f"the relay does not say which apps it has ({refused.code})") from None
        fitting = [
            one.app
            for one in apps
            if (one.provider, one.environment) == (wanted.provider, wanted.environment)
        ]
        if len(fitting) != 1:
            has = "none" if not fitting else f"{len(fitting)}: {', '.join(fitting[:5])}"
            raise NoApp(f"of the relay's apps for {wanted.provider} ({wanted.environment}) there are {has}")
        return fitting[0]

    async def _post(self, body: dict[str, str]) -> tuple[int, _Answer]:
        try:
            async with self.look.session.post(
                URL(self.look.reach + HANDLES_PATH, encoded=True),
                data=msgspec.json.encode(body),
                headers={"Accept-Encoding": "identity", "Content-Type": JSON_TYPE},
                allow_redirects=False,
            ) as answer:
                after = answer.headers.get("Retry-After", "")
                self._refuse_busy(answer.status, after)
                return answer.status, _decoded(await read_body(answer, _LARGEST))
        except (aiohttp.ClientError, OSError) as error:
            raise self._away("the relay cannot be reached", error=type(error).__name__) from None

    def _refuse_busy(self, status: int, after: str) -> None:
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            seconds = int(after) if after.isascii() and after.isdigit() and len(after) < 5 else _AGAIN  # noqa: PLR2004 - at most some hours
            raise self._away("the relay issues no more handles at this moment", after=max(seconds, 1))

    def _refusal(self, status: int, answer: _Answer) -> Exception:
        if status == HTTPStatus.ACCEPTED:
            said = "the relay sends handles by push, to whoever owns the token: have the app ask it, and register the handle"
            return self._away(said, after=_LATER, code="handle_by_push")
        code = answer.code if answer.code in ERROR_STATUS else f"http_{status}"
        if code == "bad_request" and answer.field == "token":
            return TokenRefused("send the device's push token as the platform gave it")
        if code == "bad_request" and answer.field == "app":
            return NoApp("the relay has no such app for this provider and environment")
        after = _AGAIN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _LATER
        return self._away(f"the relay gives no handle ({code})", after=after)

    def _away(
        self, said: str, *, after: int = _AGAIN, code: str = _CODE, error: str | None = None
    ) -> Unavailable:
        self.log.warning("no handle for a device", reason=said, error=error)
        return Unavailable(said, retry_after=after, code=code)


def _decoded(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except msgspec.MsgspecError:
        return _Answer()
