"""Forwarding: a batch of pushes becomes a list of outcomes, one for each, in order.

Open the handle, take from the limits, hand it to the provider, note the outcome. Each push is tried by
itself, so that one fault costs one push. The relay tries once, keeps nothing, and answers in time: what a
provider has not answered by then is `retry: timeout`, and the server decides what comes next.

A push has no task and no future of its own: a provider is given what to call with the verdict, and the batch waits for the
last of them. Who waits for whom where a provider has no room is the provider's fair queue's to say (`relay.fair`); each provider
has its own, so that one that says nothing holds up nobody who goes to another.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Final, TypeAlias

import msgspec
import structlog
from msgspec import UNSET

from crypto.errors import CryptoError, Expired
from crypto.handle import HandleClaims, open_handle
from crypto.keys import EpochKey
from relay.counts import Counts
from relay.errors import origin, seconds_to_wait
from relay.limits import Limits, Rule, Rules
from relay.metrics import Metrics
from relay.providers.provider import (
    BAD_TOKENS,
    INTERNAL,
    LONGEST_WAIT,
    NOT_CONFIGURED,
    TIMEOUT,
    Delivery,
    Done,
    Provider,
    Verdict,
)
from relay.push import read_item
from relay.strictjson import Item
from relay.wire import WEBPUSH_LARGEST, Outcome, Push

ANSWER_SECONDS: Final = 9.0
"""All outcomes are written within ten; a second is left for signing and for a loop that is busy."""

TURN: Final = 50
"""So many pushes of a batch are prepared before others have a turn: half a millisecond."""

_WEBPUSH_LARGEST_TEXT: Final = -(-WEBPUSH_LARGEST * 4 // 3)
_NO_PROVIDER: Final = "none"
_HANDLE_EXPIRED: Final = Verdict("gone", "handle_expired")
_HANDLE_INVALID: Final = Verdict("gone", "handle_invalid")

AppKey = tuple[str, str, str]
_Settled: TypeAlias = tuple[str | None, str, Verdict]
"""A push's id, its provider, and what became of it."""


class _Sending(msgspec.Struct, frozen=True):
    index: int
    app: AppKey
    provider: Provider
    delivery: Delivery
    issued_at: int


class Forwarder:
    """`clock` in seconds; `providers` by (provider, app, environment); `quotas`: pushes a minute that some of those take.

    `epochs` may be replaced between two requests.
    """

    def __init__(
        self,
        *,
        epochs: Mapping[int, EpochKey],
        providers: Mapping[AppKey, Provider],
        quotas: Mapping[AppKey, int],
        limits: Limits,
        counts: Counts,
        metrics: Metrics,
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.epochs = epochs
        self._providers = providers
        self._quotas = quotas
        self._limits = limits
        self._counts = counts
        self._metrics = metrics
        self._clock = clock
        self._log = log

    async def forward(self, server: str, items: Sequence[Item], rules: Rules) -> list[Outcome]:
        """The outcomes of one server's batch. `rules`: what each push counts against besides its token."""
        batch = _Batch(self, server, rules.holder, len(items))
        within = await self._take(batch, await batch.begin(items), rules)
        self._metrics.in_flight.inc(len(within))
        try:
            for sending in within:
                self._send(batch, sending)
            return await batch.finished()
        finally:
            self._metrics.in_flight.dec(len(within))

    def _send(self, batch: "_Batch", sending: _Sending) -> None:
        done = batch.send(sending)
        try:
            sending.provider.send(sending.delivery, done)
        except Exception as error:  # noqa: BLE001  a fault in one push must not cost the others their outcomes
            self._log.error("send_failed", provider=sending.app[0], error=origin(error))
            done(INTERNAL)

    def prepare(self, batch: "_Batch", push: Push, index: int, *, suspect: bool) -> _Sending | Verdict:
        """What is decided without limits and provider."""
        now = int(self._clock() * 1000)
        try:
            claims = open_handle(push.handle, epochs=self.epochs, server=batch.server, now=now)
        except Expired:
            return _HANDLE_EXPIRED
        except CryptoError:
            return _HANDLE_INVALID
        fault = _unsuitable(push, claims)
        if fault is not None:
            return fault
        app = (claims.provider, claims.app, claims.environment)
        provider = self._providers.get(app)
        if provider is None:
            return NOT_CONFIGURED
        return _Sending(
            index, app, provider, _delivery(push, claims, batch.holder, suspect=suspect), claims.issued_at
        )

    def is_suspect(self, holder: str) -> bool:
        return self._limits.bad_tokens.is_suspect(holder, self._clock())

    async def _take(self, batch: "_Batch", sendings: Sequence[_Sending], rules: Rules) -> list[_Sending]:
        """Those that are within every limit, the urgent first; the others have their outcome then."""
        groups: dict[tuple[bool, AppKey | None], list[_Sending]] = defaultdict(list)
        for sending in sendings:
            project = sending.app if sending.app in self._quotas else None
            groups[not sending.delivery.high, project].append(sending)
        within: list[_Sending] = []
        for (normal, project), group in sorted(groups.items(), key=lambda group: group[0][0]):
            common = rules.of(high=not normal)
            if project is not None:
                common += self._limits.project_rules(project[1], self._quotas[project], high=not normal)
            within += await self._take_group(batch, group, common)
        return within

    async def _take_group(
        self, batch: "_Batch", group: Sequence[_Sending], common: Sequence[Rule]
    ) -> list[_Sending]:
        now = self._clock()
        tokens = [self._limits.token_rule(batch.server, sending.delivery.token) for sending in group]
        within = []
        for sending, blocked in zip(group, await self._counts.take(common, tokens, now), strict=True):
            if blocked is None:
                within.append(sending)
            else:
                wait = min(seconds_to_wait(blocked.resets_at(now) - now), LONGEST_WAIT)
                reason = "throttled" if self._limits.is_projects(blocked) else "limited"
                batch.settle(sending.index, sending.delivery.id, Verdict("retry", reason, None, wait))
        return within

    def count(self, whose: Collection[str], settled: Sequence["_Settled"]) -> None:
        """Count outcomes, each of them in its order. `whose`: server and holder, which may be the same."""
        now, bad_tokens = self._clock(), self._limits.bad_tokens
        for _, provider, verdict in settled:
            bad = verdict.reason in BAD_TOKENS
            if provider != _NO_PROVIDER and (bad or verdict.status == "accepted"):
                for one in whose:
                    bad_tokens.record(one, bad=bad, now=now)
        counted = Counter(
            (provider, verdict.status, verdict.reason or "") for _, provider, verdict in settled
        )
        for labels, number in counted.items():
            self._metrics.pushes(*labels).inc(number)

    def took(self, provider: str, seconds: float) -> None:
        self._metrics.sends(provider).observe(seconds)


class _Batch:
    """The outcomes of one request as they come in; a place that stays empty timed out."""

    def __init__(self, forwarder: Forwarder, server: str, holder: str, size: int) -> None:
        self._forwarder = forwarder
        self.server = server
        self.holder = holder
        self._settled: list[_Settled | None] = [None] * size
        self._sent: list[_Sending] = []
        self._open = 0
        self._last: asyncio.Future[None] | None = None

    async def begin(self, items: Sequence[Item]) -> list[_Sending]:
        """What goes on to limits and providers; the others are settled. Other requests get their turns meanwhile."""
        seen: set[str] = set()
        sendings = []
        suspect = self._forwarder.is_suspect(self.holder)
        for index, item in enumerate(items):
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
            push = read_item(item, seen)
            if isinstance(push, Outcome):
                self.settle(index, push.id, Verdict(push.status, push.reason))
                continue
            prepared = self._forwarder.prepare(self, push, index, suspect=suspect)
            if isinstance(prepared, Verdict):
                self.settle(index, push.id, prepared)
            else:
                sendings.append(prepared)
        return sendings

    def settle(self, index: int, push_id: str | None, verdict: Verdict, provider: str = _NO_PROVIDER) -> None:
        self._settled[index] = (push_id, provider, verdict)

    def send(self, sending: _Sending) -> Done:
        """Note that it is with its provider; what to call with the verdict."""
        self._open += 1
        self._sent.append(sending)
        return partial(self._note, sending, perf_counter())

    def _note(self, sending: _Sending, began: float, verdict: Verdict) -> None:
        if self._settled[sending.index] is not None:
            return  # it timed out before
        provider = sending.app[0]
        self.settle(sending.index, sending.delivery.id, _since_issued(verdict, sending.issued_at), provider)
        self._forwarder.took(provider, perf_counter() - began)
        self._open -= 1
        if self._open == 0 and self._last is not None:
            _end(self._last)

    async def finished(self) -> list[Outcome]:
        """Every outcome, in order, when the last has come or the time is over."""
        if self._open:
            loop = asyncio.get_running_loop()
            self._last = loop.create_future()
            over = loop.call_later(ANSWER_SECONDS, _end, self._last)
            try:
                await self._last
            finally:
                over.cancel()
        for sending in self._sent:
            if self._settled[sending.index] is None:
                self.settle(sending.index, sending.delivery.id, TIMEOUT, sending.app[0])
        settled = [one for one in self._settled if one is not None]
        self._forwarder.count({self.server, self.holder}, settled)
        return [_outcome(push_id, verdict) for push_id, _, verdict in settled]


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _outcome(push_id: str | None, verdict: Verdict) -> Outcome:
    return Outcome(
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


def _delivery(push: Push, claims: HandleClaims, holder: str, *, suspect: bool) -> Delivery:
    subscription = claims.subscription
    return Delivery(
        id=push.id,
        token=claims.token or "" if subscription is None else subscription.endpoint,
        data={} if push.envelope is UNSET else {"hp": push.envelope},
        high=push.priority == "high",
        ttl=push.ttl,
        collapse=push.collapse,
        background=push.type == "background",
        server=holder,
        suspect=suspect,
        subscription=subscription,
    )
