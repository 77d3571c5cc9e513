"""Whether this relay can push: each provider must take its credentials.

Several processes behind one address are one relay, and whoever asks is answered by any of them: what one has been refused, all
must say. So each writes its own troubles into a gauge, once a second, and reads what the gauge says of all; where there is one
process, its own are all there are.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import Gauge

from relay.metrics import Metrics
from relay.providers.provider import Provider
from relay.wire import App

_NOTED_SECONDS: Final = 1.0
_ELSEWHERE: Final = "refused_in_another_process"

Trouble = Mapping[str, str]


class Readiness:
    """`notes` are called once a second too: figures that must be written down because others show them."""

    def __init__(
        self, providers: Sequence[Provider], metrics: Metrics, notes: Sequence[Callable[[], None]]
    ) -> None:
        self._providers = providers
        self._metrics = metrics
        self._notes = notes
        self._read_at = float("-inf")
        self._read: frozenset[tuple[str, ...]] = frozenset()

    async def run(self) -> None:
        while True:
            self.note()
            await asyncio.sleep(_NOTED_SECONDS)

    def note(self) -> None:
        for provider in self._providers:
            self._gauge(provider.app).set(provider.trouble is not None)
        for note in self._notes:
            note()

    async def troubles(self) -> list[Trouble]:
        """Of each app that cannot be pushed to: why. Empty where all is well."""
        own = {_labels(one.app): _trouble(one.app, one.trouble) for one in self._providers if one.trouble}
        apps = {_labels(one.app): one.app for one in self._providers}
        elsewhere = await self._elsewhere()
        return [
            *own.values(),
            *(_trouble(apps[one], _ELSEWHERE) for one in apps if one in elsewhere - own.keys()),
        ]

    async def _elsewhere(self) -> frozenset[tuple[str, ...]]:
        if self._metrics.is_alone:
            return frozenset()
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= _NOTED_SECONDS:  # anybody may ask, and it is read from files
            self._read_at = now
            self._read = frozenset(await asyncio.to_thread(lambda: list(self._metrics.refused_credentials())))
        return self._read

    def _gauge(self, app: App) -> Gauge:
        return self._metrics.credentials.labels(*_labels(app))


def _labels(app: App) -> tuple[str, ...]:
    return (app.provider, app.app, app.environment)


def _trouble(app: App, reason: str | None) -> Trouble:
    return {
        "provider": app.provider,
        "app": app.app,
        "environment": app.environment,
        "reason": reason or "",
    }
