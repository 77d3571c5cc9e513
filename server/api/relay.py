"""The relay as this server sees it, for its admin."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import show
from server.api.bodies import Time, note
from server.api.describe import describes
from server.domain.account import Caller
from server.domain.relay import AskRelay, RelayLimit, RelayState
from server.domain.times import show_time

_GOOD_FOR = 5.0  # seconds: each question is a signed request to somebody else's machine


class LimitView(TypedDict):
    """A limit of the relay's for this server."""

    name: Annotated[str, note("Which limit.")]
    limit: Annotated[int, note("How much it lets pass in its window.")]
    remaining: Annotated[int, note("How much of that is left.")]
    resetsAt: Annotated[Time, note("When there is more.")]
    low: Annotated[bool, note("Whether so little is left that it may not last.")]


class AppView(TypedDict):
    """An app that the relay pushes to."""

    provider: Annotated[str, note("`apns`, `fcm` or `webpush`.")]
    app: Annotated[str, note("The app's name at the provider.")]
    environment: Annotated[str | None, note("The provider's environment, where it has several.")]


class RelayView(TypedDict):
    """The relay as it shows itself to this server."""

    url: Annotated[str, note("Where it is.")]
    state: Annotated[str, note("Whether it is reached and lets this server push.")]
    limits: Annotated[list[LimitView], note("What it grants this server.")]
    apps: Annotated[list[AppView], note("What it can push to.")]


@dataclass
class Relay:
    """Shows what the relay says. `monotonic` in seconds."""

    ask: AskRelay
    monotonic: Callable[[], float]
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _said: tuple[float, RelayState] | None = None

    @describes("Ask the relay how it stands", detail="As of some seconds ago.", gives=RelayView)
    async def state(self, _request: web.Request, _caller: Caller) -> web.Response:
        async with self._asking:
            if self._said is None or self.monotonic() - self._said[0] >= _GOOD_FOR:
                said = await self.ask()
                self._said = (self.monotonic(), said)
            return show(_shown(self._said[1]))


def _shown(state: RelayState) -> RelayView:
    return RelayView(
        url=state.url,
        state=state.state,
        limits=[_limit(one) for one in state.limits],
        apps=[AppView(provider=one.provider, app=one.app, environment=one.environment) for one in state.apps],
    )


def _limit(one: RelayLimit) -> LimitView:
    return LimitView(
        name=one.name,
        limit=one.limit,
        remaining=one.remaining,
        resetsAt=show_time(one.resets_at),
        low=one.is_low,
    )
