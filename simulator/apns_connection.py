"""A connection to the simulated APNs: the documented checks in `apns_rules`, over `Http2Connection`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from h2.settings import SettingCodes

from simulator.apns_rules import (
    DEVICE_TOKEN,
    ProviderTokens,
    Push,
    Refused,
    Team,
    check_id,
    check_push,
    check_route,
    token_of,
)
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import Fault
from simulator.http2_connection import Http2Connection
from simulator.http2_judge import Streams
from simulator.requests import Outcome, Reply, Request, Told, fill

LARGEST_READ = 65_536
"""Of a body: more than this is too large whatever follows."""


@dataclass(frozen=True)
class Front:
    """One of Apple's two hosts."""

    environment: str
    exchange: Exchange
    team: Team
    streams: Streams


class ApnsConnection(Http2Connection):
    def __init__(self, front: Front, connections: set[Http2Connection]) -> None:
        super().__init__(front.exchange, "apns", front.streams, connections, largest=LARGEST_READ)
        self._front = front
        self._tokens = ProviderTokens(front.team)
        self._allowed = front.streams.before_token or front.streams.limit
        self._trusted = False

    def answer(self, request: Request) -> Outcome:
        apns_id = self._apns_id(request)
        try:
            push = self._check(request)
        except Refused as refused:
            self._record(request, refused.status, refused.reason, accepted=False)
            self._rejected()
            return _refusal(apns_id, refused.status, refused.reason, since=refused.since)
        fault = self._front.exchange.fault("apns", token_of(request))
        if fault is not None:
            self._record(request, fault.answered(200), fault.reason or fault.kind, accepted=fault.delivers)
            return Told(fault, self._acceptance(request, push, apns_id), self._scripted(apns_id, fault))
        self._record(request, 200, "", accepted=True)
        return self._acceptance(request, push, apns_id)()

    def pass_over(self, request: Request, reason: str) -> None:
        self._record(request, 0, reason, accepted=False)

    def _check(self, request: Request) -> Push:
        check_route(request)
        exchange = self._front.exchange
        self._tokens.check(request.header("authorization"), exchange.clock())
        if not self._trusted:
            self._trusted = True
            self._allow(self._front.streams.limit)
        token = token_of(request) or ""
        device = exchange.find(token) if DEVICE_TOKEN.fullmatch(token) else None
        return check_push(request, team=self._front.team, environment=self._front.environment, device=device)

    def _rejected(self) -> None:
        if self._trusted and self._front.streams.after_rejection is not None:
            self._allow(self._front.streams.after_rejection)

    def _allow(self, streams: int) -> None:
        if streams != self._allowed:
            self._allowed = streams
            self.change({SettingCodes.MAX_CONCURRENT_STREAMS: streams})

    def _apns_id(self, request: Request) -> str:
        """Echo the request's id; make one where it has none that could be echoed."""
        given = request.header("apns-id")
        try:
            check_id(given)
        except Refused:
            given = None
        return given or str(UUID(bytes=self._front.exchange.random(16), version=4)).upper()

    def _record(self, request: Request, status: int, reason: str, *, accepted: bool) -> None:
        exchange = self._front.exchange
        exchange.record(
            Recorded(
                provider="apns",
                environment=self._front.environment,
                token=token_of(request),
                headers=request.headers,
                payload=request.body,
                status=status,
                reason=reason,
                at=exchange.clock(),
                accepted=accepted,
                connection=request.connection,
            )
        )

    def _acceptance(self, request: Request, push: Push, apns_id: str) -> Callable[[], Reply]:
        def accept() -> Reply:
            if self._front.streams.after_rejection is not None:
                self._allow(self._front.streams.limit)
            self._deliver(request, push)
            headers = [("apns-id", apns_id)]
            if self._front.environment == "sandbox":
                unique = str(UUID(bytes=self._front.exchange.random(16), version=4))
                headers.append(("apns-unique-id", unique))
            return Reply(200, tuple(headers))

        return accept

    def _deliver(self, request: Request, push: Push) -> None:
        delivery = Delivery(
            event="push",
            provider="apns",
            payload=push.payload,
            collapse=push.collapse,
            expires_at=push.expires_at,
            priority=push.priority,
            accepted_at=self._front.exchange.clock(),
        )
        self._front.exchange.deliver(token_of(request) or "", delivery)

    def _scripted(self, apns_id: str, fault: Fault) -> Reply | None:
        if not fault.refuses:
            return None
        self._rejected()
        return _refusal(
            apns_id,
            fault.status,
            fault.reason,
            since=fault.since,
            retry_after=fault.retry_after,
            size=fault.size,
        )


def _refusal(
    apns_id: str,
    status: int,
    reason: str,
    *,
    since: int | None,
    retry_after: str | None = None,
    size: int = 0,
) -> Reply:
    headers = [("apns-id", apns_id), ("content-type", "application/json")]
    if retry_after is not None:
        headers.append(("retry-after", retry_after))
    body: dict[str, str | int] = {"reason": reason}
    if since is not None:
        body["timestamp"] = since
    return Reply(status, tuple(headers), fill(json.dumps(body).encode(), size))
