"""A Web Push service (RFC 8030) on one TLS listener: `POST /wp/{id}`, with VAPID checked for real.

Subscriptions name `push.hushpost.test` on port 443, as real ones name their service; whoever pushes is told where that
name leads. Under loopback's own names it is the same service, for clients that can only follow a URL. Refusals have
the form of Mozilla's service.
"""

import json
import re
from functools import partial

from crypto.encoding import b64u
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import Fault
from simulator.requests import Outcome, Pairs, Reply, Request, Told, fill
from simulator.webpush_errors import WEBPUSH_ERRORS
from simulator.webpush_rules import HOST, PATH, Message, Rejected, check_push

CREATED = 201
REDIRECTS = {301, 302, 303, 307, 308}
ELSEWHERE = "/elsewhere"
_PUSH = re.compile(rf"{PATH}([A-Za-z0-9_-]+)")
_MESSAGE_BYTES = 16


class PushService:
    """`address` is where it listens, once it does: "127.0.0.1:port"."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.address = ""

    @property
    def origins(self) -> frozenset[str]:
        port = self.address.rpartition(":")[2]
        return frozenset({f"https://{HOST}", f"https://{self.address}", f"https://localhost:{port}"})

    def answer(self, request: Request) -> Outcome:
        path = request.header(":path") or ""
        matched = _PUSH.fullmatch(path)
        if path.startswith(ELSEWHERE):
            # Somebody followed a redirect with a push in its hands.
            self._record(path.rpartition("/")[2], request, CREATED, "followed", accepted=False)
            return Reply(CREATED, ())
        if matched is None or request.header(":method") != "POST":
            return self._refuse(None, request, Rejected("invalid_endpoint", "nothing is here to POST to"))
        return self._push(matched[1], request)

    def _push(self, token: str, request: Request) -> Outcome:
        exchange = self._exchange
        try:
            message = check_push(
                request, origins=self.origins, device=exchange.find(token), now=exchange.clock()
            )
        except Rejected as rejected:
            return self._refuse(token, request, rejected)
        fault = exchange.fault("webpush", token)
        if fault is None:
            self._record(token, request, CREATED, "", accepted=True)
            return self._accept(token, message)
        reason = fault.reason or fault.kind
        self._record(token, request, fault.answered(CREATED), reason, accepted=fault.delivers)
        refusal = _scripted(fault, request) if fault.refuses else None
        return Told(fault, partial(self._accept, token, message), refusal)

    def _refuse(self, token: str | None, request: Request, rejected: Rejected) -> Reply:
        self._record(token, request, rejected.status, rejected.reason, accepted=False)
        return _json(rejected)

    def _accept(self, token: str, message: Message) -> Reply:
        now = self._exchange.clock()
        delivery = Delivery(
            event="push",
            provider="webpush",
            payload={"body": b64u(message.body) if message.body else None},
            collapse=message.topic,
            expires_at=now + message.ttl,
            priority=message.urgency,
            accepted_at=now,
        )
        self._exchange.deliver(token, delivery)
        made = b64u(self._exchange.random(_MESSAGE_BYTES))
        return Reply(CREATED, (("location", f"https://{HOST}/m/{made}"), ("ttl", str(message.ttl))))

    def _record(
        self, token: str | None, request: Request, status: int, reason: str, *, accepted: bool
    ) -> None:
        self._exchange.record(
            Recorded(
                provider="webpush",
                environment="production",
                token=token,
                headers=request.headers,
                payload=request.body,
                status=status,
                reason=reason,
                at=self._exchange.clock(),
                accepted=accepted,
            )
        )


def _json(rejected: Rejected) -> Reply:
    return Reply(rejected.status, (("content-type", "application/json"),), json.dumps(rejected.body).encode())


def _scripted(fault: Fault, request: Request) -> Reply:
    named = fault.reason in WEBPUSH_ERRORS
    reply = _json(Rejected(fault.reason, "scripted")) if named else Reply(fault.status, ())
    more: Pairs = () if fault.retry_after is None else (("retry-after", fault.retry_after),)
    if fault.status in REDIRECTS:
        more = (*more, ("location", f"{ELSEWHERE}{request.header(':path')}"))
    return Reply(fault.status, (*reply.headers, *more), fill(reply.body, fault.size))
