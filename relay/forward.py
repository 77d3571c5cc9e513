"""Forwarding: a batch of pushes becomes a list of outcomes, one for each, in order.

Open the handle, take from the limits, hand it to the provider, note the outcome. Each push is tried by
itself, so that one fault costs one push. The relay tries once, keeps nothing, and answers in time: what a
provider has not answered by then is `retry: timeout`, and the server decides what comes next.
How many pushes are with a provider is bounded, for each request and for the process; who comes beyond that
waits, within the same deadline. Each provider has its own bounds, so that one that says nothing holds up nobody
who goes to another.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import structlog
from msgspec import UNSET

from crypto.errors import CryptoError, Expired
from crypto.handle import HandleClaims, open_handle
from crypto.keys import EpochKey
from relay.counts import Counts
from relay.errors import origin, seconds_to_wait
from relay.limits import Limits, Rule
from relay.metrics import Metrics
from relay.providers.provider import (
    BAD_TOKENS,
    LONGEST_WAIT,
    NOT_CONFIGURED,
    TIMEOUT,
    Delivery,
    Provider,
    Verdict,
)
from relay.push import read_item
from relay.strictjson import Item
from relay.wire import WEBPUSH_LARGEST, Outcome, Push

ANSWER_SECONDS: Final = 9.0
"""All outcomes are written within ten; a second is left for signing and for a loop that is busy."""

TASKS: Final = 256
"""How many pushes of one request are with a provider at once."""

_WEBPUSH_LARGEST_TEXT: Final = -(-WEBPUSH_LARGEST * 4 // 3)
_NO_PROVIDER: Final = "none"

AppKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Sending:
    index: int
    provider: Provider
    delivery: Delivery
    issued_at: int


class Forwarder:
    """`clock` in seconds; `providers` by (provider, app, environment)."""

    def __init__(
        self,
        *,
        epochs: Mapping[int, EpochKey],
        providers: Mapping[AppKey, Provider],
        limits: Limits,
        counts: Counts,
        metrics: Metrics,
        clock: Callable[[], float],
        in_flight: int,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._epochs = epochs
        self._providers = providers
        self._limits = limits
        self._counts = counts
        self._metrics = metrics
        self._clock = clock
        self._slots = {provider: asyncio.Semaphore(in_flight) for provider in providers.values()}
        self._log = log

    async def forward(self, server: str, items: Sequence[Item], rules: Sequence[Rule]) -> list[Outcome]:
        """The outcomes of one server's batch. `rules`: what each push counts against besides its token."""
        batch = _Batch(self, server, len(items))
        within_limits = await self._take(batch, batch.begin(items), rules)
        await self._send_all(batch, within_limits)
        return batch.finish()

    async def _send_all(self, batch: "_Batch", sendings: Sequence[_Sending]) -> None:
        if not sendings:
            return
        queues: dict[Provider, list[_Sending]] = defaultdict(list)
        for sending in sendings:
            queues[sending.provider].append(sending)
        tasks = [
            asyncio.create_task(self._work(batch, todo))
            for queue in queues.values()
            for todo in repeat(iter(queue), min(TASKS, len(queue)))
        ]
        try:
            await asyncio.wait(tasks, timeout=ANSWER_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, batch: "_Batch", todo: Iterator[_Sending]) -> None:
        for sending in todo:
            async with self._slots[sending.provider]:
                batch.note(sending, await self._send(sending))

    async def _send(self, sending: _Sending) -> Verdict:
        provider = sending.provider
        with (
            self._metrics.in_flight.track_inprogress(),
            self._metrics.sends(provider.app.provider).time(),
        ):
            try:
                return await provider.send(sending.delivery)
            except Exception as error:  # noqa: BLE001  a fault in one push must not cost the others their outcomes
                self._log.error("send_failed", provider=provider.app.provider, error=origin(error))
                return Verdict("retry", "internal")

    def prepare(self, server: str, push: Push, index: int) -> _Sending | Verdict:
        """What is decided without limits and provider."""
        now = int(self._clock() * 1000)
        try:
            claims = open_handle(push.handle, epochs=self._epochs, server=server, now=now)
        except Expired:
            return Verdict("gone", "handle_expired")
        except CryptoError:
            return Verdict("gone", "handle_invalid")
        fault = _unsuitable(push, claims)
        if fault is not None:
            return fault
        provider = self._providers.get((claims.provider, claims.app, claims.environment))
        if provider is None or claims.token is None:
            return NOT_CONFIGURED
        return _Sending(index, provider, _delivery(push, claims.token), claims.issued_at)

    async def _take(
        self, batch: "_Batch", sendings: Sequence[_Sending], rules: Sequence[Rule]
    ) -> list[_Sending]:
        """Those that are within every limit; the others have their outcome then."""
        now = self._clock()
        tokens = [self._limits.token_rule(batch.server, sending.delivery.token) for sending in sendings]
        within = []
        for sending, blocked in zip(sendings, await self._counts.take(rules, tokens, now), strict=True):
            if blocked is None:
                within.append(sending)
            else:
                wait = seconds_to_wait(blocked.resets_at(now) - now)
                batch.refuse(sending, Verdict("retry", "limited", retry_after=min(wait, LONGEST_WAIT)))
        return within

    def count(self, server: str, provider: str | None, verdict: Verdict) -> None:
        self._metrics.pushes(provider or _NO_PROVIDER, verdict.status, verdict.reason or "").inc()
        if provider is None:
            return
        bad = verdict.reason in BAD_TOKENS
        if bad or verdict.status == "accepted":
            self._limits.bad_tokens.record(server, bad=bad, now=self._clock())


class _Batch:
    """The outcomes of one request as they come in; a place that stays empty timed out."""

    def __init__(self, forwarder: Forwarder, server: str, size: int) -> None:
        self._forwarder = forwarder
        self.server = server
        self._outcomes: list[Outcome | None] = [None] * size
        self._pending: dict[int, _Sending] = {}

    def begin(self, items: Sequence[Item]) -> list[_Sending]:
        seen: set[str] = set()
        for index, item in enumerate(items):
            push = read_item(item, seen)
            if isinstance(push, Outcome):
                self._settle(index, push.id, None, Verdict(push.status, push.reason))
                continue
            prepared = self._forwarder.prepare(self.server, push, index)
            if isinstance(prepared, Verdict):
                self._settle(index, push.id, None, prepared)
            else:
                self._pending[index] = prepared
        return list(self._pending.values())

    def note(self, sending: _Sending, verdict: Verdict) -> None:
        del self._pending[sending.index]
        self._settle(
            sending.index, sending.delivery.id, sending.provider, _since_issued(verdict, sending.issued_at)
        )

    def refuse(self, sending: _Sending, verdict: Verdict) -> None:
        """The outcome of a push that goes to no provider."""
        del self._pending[sending.index]
        self._settle(sending.index, sending.delivery.id, None, verdict)

    def finish(self) -> list[Outcome]:
        for sending in tuple(self._pending.values()):
            self.note(sending, TIMEOUT)
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _settle(self, index: int, push_id: str | None, provider: Provider | None, verdict: Verdict) -> None:
        self._forwarder.count(self.server, None if provider is None else provider.app.provider, verdict)
        self._outcomes[index] = Outcome(
            id=push_id,
            status=verdict.status,
            reason=verdict.reason,
            providerId=verdict.provider_id,
            retryAfter=verdict.retry_after,
            since=verdict.since,
        )


def _since_issued(verdict: Verdict, issued_at: int) -> Verdict:
    """A token that died before its handle was issued has been registered again since: the news is old."""
    if verdict.status == "gone" and verdict.since is not None and issued_at > verdict.since:
        return Verdict("retry", "registered_since", since=verdict.since)
    return verdict


def _unsuitable(push: Push, claims: HandleClaims) -> Verdict | None:
    if claims.provider != "webpush":
        return None
    if push.type == "background":
        return Verdict("rejected", "background_unsupported")
    if push.envelope is not UNSET and len(push.envelope) > _WEBPUSH_LARGEST_TEXT:
        return Verdict("rejected", "bad_envelope")
    return None


def _delivery(push: Push, token: str) -> Delivery:
    return Delivery(
        id=push.id,
        token=token,
        data={} if push.envelope is UNSET else {"hp": push.envelope},
        high=push.priority == "high",
        ttl=push.ttl,
        collapse=push.collapse,
        background=push.type == "background",
    )
