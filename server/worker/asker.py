"""Asks one tenant's server for texts: each for all who want it at the moment, a few requests at a time, and not while it fails.

A server that says nothing costs whoever waits first the time of three tries. Then it is left alone for a moment, in which everybody is
answered at once; after that one at a time tries whether it answers again, and who reads does not wait for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from server.domain.outgoing import Reason
from server.domain.resolver import Endpoint
from server.domain.texts import NoAnswer, Texts
from server.worker.recent import Recent
from server.worker.web import Failed

AT_ONCE = 30  # messages in a request
REST = 5.0  # seconds
_PLACES = 4  # requests at the same time
_LINE_SECONDS = 4.0  # how long one waits for a place
_MOST_UNDER_WAY = 64  # requests, with those that wait for a place
_FAILURES = 3  # tries in a row after which it is left alone
_PAUSE = 0.25  # seconds before the second try


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask: so often, and `patient` where somebody may wait while nobody knows whether the server answers again."""

    tries: int
    patient: bool


class Without(Enum):
    """Why there are no texts."""

    NOBODY = auto()  # the tenant has not said where to ask
    FAILED = auto()  # they could not be had, or the answer has none
    BUSY = auto()  # they were not asked for: too many are


Answer = Mapping[str, Texts]
Post = Callable[[Sequence[str]], Awaitable[Answer]]
"""Asks once for messages by their names; Failed, NoAnswer."""


class Asker:
    """`recent` is what was answered lately, here and elsewhere. `log` is a structlog logger that names the tenant."""

    def __init__(self, endpoint: Endpoint, recent: Recent, monotonic: Callable[[], float], log: Any) -> None:
        self._endpoint = endpoint
        self._recent = recent
        self._monotonic = monotonic
        self._log = log
        self._places = asyncio.Semaphore(_PLACES)
        self._under_way: dict[str, asyncio.Task[Answer | Without]] = {}  # by name
        self._tasks: set[asyncio.Task[Answer | Without]] = set()
        self._failures = 0
        self._rests_until = 0.0

    async def texts(self, names: Sequence[str], manner: Manner, post: Post) -> dict[str, Texts | Without]:
        """Return the texts of messages by their names, or why there are none."""
        known = {name: self._recent.get((self._endpoint, name)) for name in names}
        found: dict[str, Texts | Without] = {name: one for name, one in known.items() if one is not None}
        asked = self._ask([name for name in names if name not in found], manner, post)
        tasks = {task for task in asked.values() if isinstance(task, asyncio.Task)}
        if tasks:
            await asyncio.wait(tasks)
        return found | {name: _result(task, name) for name, task in asked.items()}

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def _is_resting(self) -> bool:
        return self._monotonic() < self._rests_until

    def _ask(
        self, names: Sequence[str], manner: Manner, post: Post
    ) -> dict[str, "asyncio.Task[Answer | Without] | Without"]:
        """Join what is under way, and begin to ask for the rest, or say why not."""
        if self._is_left_alone(manner):
            return dict.fromkeys(names, Without.FAILED)
        fresh = [name for name in names if name not in self._under_way]
        for start in range(0, len(fresh), AT_ONCE):
            if len(self._tasks) < _MOST_UNDER_WAY:
                self._begin(fresh[start : start + AT_ONCE], manner, post)
        return {name: self._under_way.get(name, Without.BUSY) for name in names}

    def _is_left_alone(self, manner: Manner) -> bool:
        is_tried = self._failures >= _FAILURES and bool(self._tasks)
        return self._is_resting or (is_tried and not manner.patient)

    def _begin(self, names: Sequence[str], manner: Manner, post: Post) -> None:
        task = asyncio.create_task(self._take_turn(names, manner, post), name="asking-for-texts")
        self._tasks.add(task)
        self._under_way.update(dict.fromkeys(names, task))

        def done(task: asyncio.Task[Answer | Without]) -> None:
            self._tasks.discard(task)
            for name in names:
                del self._under_way[name]

        task.add_done_callback(done)

    async def _take_turn(self, names: Sequence[str], manner: Manner, post: Post) -> Answer | Without:
        try:
            async with asyncio.timeout(_LINE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            return Without.BUSY
        try:
            return await self._try(names, manner, post)
        finally:
            self._places.release()

    async def _try(self, names: Sequence[str], manner: Manner, post: Post) -> Answer | Without:
        for attempt in range(manner.tries):
            if attempt:
                await asyncio.sleep(_PAUSE * attempt)
            if self._is_resting:
                break
            try:
                answer = await post(names)
            except Failed as failed:
                self._failed(failed.attempt.reason)
                if failed.attempt.reason is not None and failed.attempt.reason.is_final:
                    break
            except NoAnswer:
                self._failed(Reason.PROTOCOL_ERROR)
            except Exception as error:  # noqa: BLE001 - who waits gets an answer; its text may quote content
                self._log.error("asking for texts failed", error=type(error).__name__)
                self._failed(Reason.ATTEMPT_FAILED)
            else:
                self._failures = 0
                self._recent.keep({(self._endpoint, name): texts for name, texts in answer.items()})
                return answer
        return Without.FAILED

    def _failed(self, reason: Reason | None) -> None:
        self._failures += 1
        if self._failures >= _FAILURES:
            self._rests_until = self._monotonic() + REST
            self._log.warning("texts cannot be had and are not asked for for a moment", reason=reason)


def _result(task: "asyncio.Task[Answer | Without] | Without", name: str) -> Texts | Without:
    """Return what came of asking for a message."""
    if isinstance(task, Without):
        return task
    answer = Without.FAILED if task.cancelled() else task.result()
    return answer if isinstance(answer, Without) else answer.get(name, Without.FAILED)
