"""The relay as this server sees it, for its admin."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.api.answers import show
from server.domain.account import Caller
from server.domain.relay import AskRelay, RelayLimit, RelayState
from server.domain.times import show_time

_GOOD_FOR = 5.0  # seconds: each question is a signed request to somebody else's machine


@dataclass
class Relay:
    """Shows what the relay says. `monotonic` in seconds."""

    ask: AskRelay
    monotonic: Callable[[], float]
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _said: tuple[float, RelayState] | None = None

    async def state(self, _request: web.Request, _caller: Caller) -> web.Response:
        async with self._asking:
            if self._said is None or self.monotonic() - self._said[0] >= _GOOD_FOR:
                said = await self.ask()
                self._said = (self.monotonic(), said)
            return show(_shown(self._said[1]))


def _shown(state: RelayState) -> Mapping[str, Any]:
    return {
        "url": state.url,
        "state": state.state,
        "limits": [_limit(one) for one in state.limits],
        "apps": [
            {"provider": one.provider, "app": one.app, "environment": one.environment} for one in state.apps
        ],
    }


def _limit(one: RelayLimit) -> Mapping[str, Any]:
    return {
        "name": one.name,
        "limit": one.limit,
        "remaining": one.remaining,
        "resetsAt": show_time(one.resets_at),
        "low": one.is_low,
    }
