"""One connection to the simulated APNs: HTTP/2 over TLS, the documented checks in `apns_rules`, scripted faults.

It is driven by h2 and answers inside `data_received`: all answers to what
came in one read leave in one write. A 200 ends in its HEADERS frame, as Apple's does, so a client that waits for DATA
hangs here as it would there. Bodies respect the peer's flow-control windows.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from simulator.apns_rules import (
    DEVICE_TOKEN,
    ProviderTokens,
    Push,
    Refused,
    Request,
    Team,
    check_id,
    check_push,
    check_route,
)
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import Fault, Kind

LARGEST_READ = 65_536
"""Of a body, more than this is counted but not kept: it is too large whatever follows."""


@dataclass(frozen=True)
class Streams:
    """How many requests may be open on a connection, before and after its first valid provider token.

    Apple allows one until then. That is off by default, because clients that do not wait for SETTINGS break on it.
    """

    limit: int
    before_token: int | None


@dataclass(frozen=True)
class Front:
    """One of Apple's two hosts."""

    environment: str
    exchange: Exchange
    team: Team
    streams: Streams


@dataclass
class _Incoming:
    headers: tuple[tuple[str, str], ...]
    body: bytearray = field(default_factory=bytearray)


class ApnsConnection(asyncio.Protocol):
    def __init__(self, front: Front, connections: "set[ApnsConnection]") -> None:
        self._front = front
        self._connections = connections
        self._tokens = ProviderTokens(front.team)
        self._http2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._incoming: dict[int, _Incoming] = {}
        self._unsent: dict[int, bytes] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._silent = False
        self._transport: asyncio.Transport
        self._lost: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._lost = asyncio.get_running_loop().create_future()
        self._connections.add(self)
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self._transport.abort()
            return
        first = self._front.streams.before_token or self._front.streams.limit
        self._http2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: first,
                SettingCodes.MAX_HEADER_LIST_SIZE: 8000,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self._http2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._connections.discard(self)
        for timer in self._timers:
            timer.cancel()
        self._lost.set_result(None)

    async def goodbye(self) -> None:
        if not self._silent:
            self._go_away(self._http2.highest_inbound_stream_id, "Shutdown")
        self._transport.close()
        await asyncio.wait([self._lost], timeout=1)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._silent:
            return
        try:
            for event in self._http2.receive_data(data):
                self._take(event)
                if self._silent:
                    return
        except ProtocolError:
            self._flush()
            self._transport.close()
            return
        self._flush()

    def _flush(self) -> None:
        data = self._http2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=headers):
                pairs = tuple(
                    (str(name), str(value)) for name, value in cast("list[tuple[str, str]]", headers)
                )
                self._incoming[stream] = _Incoming(pairs)
            case DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(length)):
                self._http2.acknowledge_received_data(length, stream)
                self._keep(stream, data or b"")
            case StreamEnded(stream_id=int(stream)):
                self._respond(stream)
            case StreamReset(stream_id=int(stream)):
                self._incoming.pop(stream, None)
                self._unsent.pop(stream, None)
            case WindowUpdated() | RemoteSettingsChanged():
                self._send_unsent()
            case ConnectionTerminated():
                self._flush()
                self._transport.close()

    def _keep(self, stream: int, data: bytes) -> None:
        incoming = self._incoming.get(stream)
        if incoming is not None and len(incoming.body) <= LARGEST_READ:
            incoming.body += data

    def _respond(self, stream: int) -> None:
        incoming = self._incoming.pop(stream)
        request = Request(incoming.headers, bytes(incoming.body))
        apns_id = self._apns_id(request)
        try:
            push = self._check(request)
        except Refused as refused:
            self._record(request, refused.status, refused.reason)
            body: dict[str, str | int] = {"reason": refused.reason}
            self._refuse(stream, apns_id, refused.status, body, since=refused.since)
            return
        fault = self._front.exchange.fault("apns", request.token)
        if fault is None:
            self._record(request, 200, "")
            self._deliver(request, push)
            self._accept(stream, apns_id)
        else:
            self._record(
                request, fault.status or (200 if fault.kind == Kind.DELAY else 0), fault.reason or fault.kind
            )
            self._fail(stream, apns_id, fault, lambda: self._deliver(request, push))

    def _check(self, request: Request) -> Push:
        check_route(request)
        exchange = self._front.exchange
        first = self._front.streams.before_token is not None
        self._tokens.check(request.header("authorization"), exchange.clock())
        if first:
            self._raise_limit()
        token = request.token or ""
        device = exchange.find(token) if DEVICE_TOKEN.fullmatch(token) else None
        return check_push(request, team=self._front.team, environment=self._front.environment, device=device)

    def _raise_limit(self) -> None:
        limit = self._front.streams.limit
        if self._http2.local_settings.max_concurrent_streams != limit:
            self._http2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: limit})

    def _apns_id(self, request: Request) -> str:
        """Echo the request's id; make one where it has none that could be echoed."""
        given = request.header("apns-id")
        try:
            check_id(given)
        except Refused:
            given = None
        return given or str(UUID(bytes=self._front.exchange.random(16), version=4)).upper()

    def _record(self, request: Request, status: int, reason: str) -> None:
        exchange = self._front.exchange
        exchange.record(
            Recorded(
                provider="apns",
                environment=self._front.environment,
                token=request.token,
                headers=request.headers,
                payload=request.body,
                status=status,
                reason=reason,
                at=exchange.clock(),
            )
        )

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
        self._front.exchange.deliver(request.token or "", delivery)

    def _accept(self, stream: int, apns_id: str) -> None:
        headers = [(":status", "200"), ("apns-id", apns_id)]
        if self._front.environment == "sandbox":
            unique = str(UUID(bytes=self._front.exchange.random(16), version=4))
            headers.append(("apns-unique-id", unique))
        self._http2.send_headers(stream, headers, end_stream=True)

    def _refuse(
        self,
        stream: int,
        apns_id: str,
        status: int,
        body: dict[str, str | int],
        *,
        since: int | None,
        retry_after: str | None = None,
    ) -> None:
        headers = [(":status", str(status)), ("apns-id", apns_id), ("content-type", "application/json")]
        if retry_after is not None:
            headers.append(("retry-after", retry_after))
        if since is not None:
            body["timestamp"] = since
        self._send(stream, headers, json.dumps(body).encode())

    def _send(self, stream: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._http2.send_headers(stream, headers)
        self._unsent[stream] = body
        self._send_unsent()

    def _send_unsent(self) -> None:
        for stream, body in tuple(self._unsent.items()):
            if self._http2.local_flow_control_window(stream) >= len(body):
                self._http2.send_data(stream, body, end_stream=True)
                del self._unsent[stream]

    def _fail(self, stream: int, apns_id: str, fault: Fault, deliver: Callable[[], None]) -> None:
        match fault.kind:
            case Kind.ANSWER:
                body: dict[str, str | int] = {"reason": fault.reason}
                self._refuse(
                    stream, apns_id, fault.status, body, since=fault.since, retry_after=fault.retry_after
                )
            case Kind.HANG:
                pass
            case Kind.DELAY:
                deliver()
                self._later(fault.delay, stream, apns_id)
            case Kind.RESET:
                self._http2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            case Kind.CLOSE:
                self._drop()
            case Kind.LOSE:
                deliver()
                self._drop()
            case Kind.GOAWAY | Kind.GOAWAY_OPEN:
                self._go_away(stream - 2, fault.reason or "Shutdown")
                if fault.kind == Kind.GOAWAY:
                    self._transport.close()

    def _later(self, delay: float, stream: int, apns_id: str) -> None:
        def accept() -> None:
            self._timers.discard(timer)
            try:
                self._accept(stream, apns_id)
            except ProtocolError:
                return  # the client gave this stream up in the meantime
            self._flush()

        timer = asyncio.get_running_loop().call_later(delay, accept)
        self._timers.add(timer)

    def _drop(self) -> None:
        self._silent = True
        self._transport.abort()

    def _go_away(self, last_stream: int, reason: str) -> None:
        self._http2.close_connection(
            ErrorCodes.NO_ERROR,
            additional_data=json.dumps({"reason": reason}).encode(),
            last_stream_id=max(last_stream, 0),
        )
        self._flush()
        self._silent = True
