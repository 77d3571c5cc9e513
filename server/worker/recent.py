"""Texts that were answered a moment ago: in memory, a bounded number of them, for ten seconds and not longer."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from server.domain.texts import Texts

SECONDS = 10.0


class Recent:
    """`most` texts at most; keys say whose."""

    def __init__(self, monotonic: Callable[[], float], most: int) -> None:
        self._monotonic = monotonic
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[float, Texts]] = OrderedDict()  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Texts | None:
        until, texts = self._kept.get(key, (0.0, None))
        return texts if self._monotonic() < until else None

    def keep(self, answer: Mapping[Hashable, Texts]) -> None:
        """Keep what was answered now."""
        until = self._monotonic() + SECONDS
        for key, texts in answer.items():
            self._kept.pop(key, None)
            self._kept[key] = (until, texts)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        self._expect()

    def _expect(self) -> None:
        """Come back when the oldest has been kept for long enough: nobody may ask for it again."""
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))[0]
            wait = max(oldest - self._monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait, self._forget)

    def _forget(self) -> None:
        self._timer, now = None, self._monotonic()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)
        self._expect()
