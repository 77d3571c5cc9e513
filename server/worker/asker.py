"""Asks one tenant's server for texts: each for all who want it at the moment, a few requests at a time, and not while it fails.

A server that says nothing costs whoever waits first the time of three tries. Then it is left alone for a moment, in which everybody is
answered at once; after that one at a time tries whether it answers again, and who reads does not wait for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Any, NamedTuple

from server.domain.outgoing import Reason
from server.domain.resolver import Endpoint
from server.domain.texts import NoAnswer, Texts
from server.worker.metrics import ResolverMetrics
from server.worker.recent import Recent
from server.worker.web import Failed

AT_ONCE = 30  # messages in a request
REST = 5.0  # seconds
_PLACES = 4  # requests at the same time
_LONGEST_LINE = 2_000  # messages that wait for a place
_FAILURES = 3  # tries in a row after which it is left alone
_PAUSE = 0.25  # seconds before the second try


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask: so often, and for so many seconds in all; `patient` where somebody may wait while nobody knows whether it answers again."""

    tries: int
    seconds: float
    patient: bool


class Without(Enum):
    """Why there are no texts."""

    NOBODY = auto()  # the tenant has not said where to ask
    FAILED = auto()  # they could not be had, or the answer has none
    BUSY = auto()  # they were not asked for: too many are


class Named(NamedTuple):
    """A message by its tenant's name for it; the id tells it from an earlier one that had the name and was deleted."""

    name: str
    message_id: str


Answer = Mapping[Named, Texts]
Post = Callable[[Sequence[Named]], Awaitable[Answer]]
"""Asks once for messages by their names; Failed, NoAnswer."""
_Asked = asyncio.Future[Texts | Without]


class Asker:
    """`recent` is what was answered lately, here and elsewhere. `log` is a structlog logger that names the tenant."""

    def __init__(
        self,
        endpoint: Endpoint,
        recent: Recent,
        monotonic: Callable[[], float],
        metrics: ResolverMetrics,
        log: Any,
    ) -> None:
        self._endpoint = endpoint
        self._recent = recent
        self._monotonic = monotonic
        self._metrics = metrics
        self._log = log
        self._asked: dict[Named, _Asked] = {}  # by name, those that wait for a place among them
        self._line: dict[Named, int] = {}  # names that wait for a place, and how often to try
        self._workers: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._rests_until = 0.0

    async def texts(self, names: Sequence[Named], manner: Manner, post: Post) -> dict[Named, Texts | Without]:
        """Return the texts of messages by their names, or why there are none."""
        known = {name: self._recent.get((self._endpoint, name)) for name in names}
        found: dict[Named, Texts | Without] = {name: one for name, one in known.items() if one is not None}
        rest = [name for name in names if name not in found]
        if self._is_left_alone(manner):
            return found | dict.fromkeys(rest, Without.FAILED)
        asked = self._ask(rest, manner, post)
        if asked:
            await asyncio.wait(asked.values(), timeout=manner.seconds)
        return found | {name: self._result(name, asked.get(name)) for name in rest}

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is under way, and it may ask at once."""
        return not (self._asked or self._workers or self._is_resting)

    async def close(self) -> None:
        """End what is under way."""
        workers = self._workers
        for task in workers:
            task.cancel()
        if workers:
            await asyncio.wait(workers)
        self._answer(list(self._asked), {}, Without.FAILED)

    @property
    def _is_resting(self) -> bool:
        return self._monotonic() < self._rests_until

    def _is_left_alone(self, manner: Manner) -> bool:
        is_tried = self._failures >= _FAILURES and bool(self._workers)
        return self._is_resting or (is_tried and not manner.patient)

    def _ask(self, names: Sequence[Named], manner: Manner, post: Post) -> dict[Named, _Asked]:
        """Join what is under way, and have the rest asked for, as far as there is room in the line."""
        for name in names:
            if name not in self._asked and len(self._line) < _LONGEST_LINE:
                self._asked[name] = asyncio.get_running_loop().create_future()
                self._line[name] = manner.tries
        for _ in range(min(-(-len(self._line) // AT_ONCE), _PLACES - len(self._workers))):
            task = asyncio.create_task(self._work(post), name="asking-for-texts")
            self._workers.add(task)
        return {name: self._asked[name] for name in names if name in self._asked}

    def _result(self, name: Named, asked: _Asked | None) -> Texts | Without:
        """Return what came of asking for a message; who has waited for long enough takes it out of the line."""
        if asked is not None and not asked.done() and name in self._line:
            self._answer([name], {}, Without.BUSY)
        if asked is None:
            return Without.BUSY
        return asked.result() if asked.done() else Without.FAILED

    async def _work(self, post: Post) -> None:
        """Ask for what waits, a few at a time, until nothing does: what comes in that moment finds the place free."""
        try:
            while self._line:
                names, tries = self._next()
                self._answer(names, await self._try(names, tries, post), Without.FAILED)
        finally:
            self._workers = {task for task in self._workers if task is not asyncio.current_task()}

    def _next(self) -> tuple[list[Named], int]:
        """Take the first of the line, and others that are to be tried as often."""
        tries = next(iter(self._line.values()))
        alike = (name for name, often in self._line.items() if often == tries)
        names = list(islice(alike, AT_ONCE))
        for name in names:
            del self._line[name]
        return names, tries

    def _answer(self, names: Sequence[Named], answer: Answer, without: Without) -> None:
        for name in names:
            self._line.pop(name, None)
            self._asked.pop(name).set_result(answer.get(name, without))

    async def _try(self, names: Sequence[Named], tries: int, post: Post) -> Answer:
        """Return what is answered, nothing where that fails."""
        for attempt in range(tries):
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
                self._metrics.asked(None)
                self._failures = 0
                self._recent.keep({(self._endpoint, name): texts for name, texts in answer.items()})
                return answer
        return {}

    def _failed(self, reason: Reason | None) -> None:
        self._metrics.asked(reason)
        self._failures += 1
        if self._failures >= _FAILURES:
            self._rests_until = self._monotonic() + REST
            self._log.warning("texts cannot be had and are not asked for for a moment", reason=reason)
