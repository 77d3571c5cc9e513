"""`/api/v1/device`: what a paired device asks for itself, with its own token (PROTOCOL.md, section 6)."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.api.answers import nothing, show
from server.api.devices import read_key
from server.api.metrics import DeviceMetrics
from server.api.reading import Fields, Query, read_json
from server.commands.devices import handle_rule, renew_handle, replace_key, unpair
from server.commands.fetch import Fetch, Fetched, Named, fetch, fetch_claim
from server.commands.receipts import report
from server.commands.sealing import Sealer
from server.domain.account import CallingDevice
from server.domain.delivery import Receipt, ReceiptEvent
from server.domain.ports import Clock, Database, Random
from server.domain.rules import is_id

MOST_FETCHED = 100
MOST_RECEIPTS = 500

_LONGEST_REASON = 100
_LONGEST_HANDLE = 4096
_LARGEST = (1 << 53) - 1  # what every JSON reader keeps exact
_OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Device:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sealer: Sealer
    metrics: DeviceMetrics

    async def messages(self, request: web.Request, device: CallingDevice) -> web.Response:
        command = read_fetch(Query(request))
        fetched = await fetch(self.db, device, command, sealer=self.sealer, now=self.clock())
        return show(show_fetched(fetched))

    async def claim(self, request: web.Request, device: CallingDevice) -> web.Response:
        blob = await fetch_claim(self.db, device, request.match_info["id"].lower(), self.sealer.files)
        length = {"Content-Length": str(blob.size)}
        return web.Response(body=blob.pieces, content_type=_OCTETS, headers=length)

    async def receipts(self, request: web.Request, device: CallingDevice) -> web.Response:
        now = self.clock()
        receipts = read_receipts(await read_json(request), now)
        self.metrics.received(
            await report(self.db, device, receipts, now=now, random=self.random, wake=self.wake)
        )
        return nothing(202)

    async def handle(self, request: web.Request, device: CallingDevice) -> web.Response:
        fields = Fields(await read_json(request))
        handle = fields.required("handle", most=_LONGEST_HANDLE, rule=handle_rule)
        fields.check()
        await renew_handle(self.db, device.id, handle, now=self.clock(), wake=self.wake)
        return nothing()

    async def key(self, request: web.Request, device: CallingDevice) -> web.Response:
        fields = Fields(await read_json(request))
        suite, key = read_key(fields)
        fields.check()
        await replace_key(self.db, device.id, suite, key, now=self.clock())
        return nothing()

    async def delete(self, _request: web.Request, device: CallingDevice) -> web.Response:
        await unpair(self.db, device.user_id, device.id)
        return nothing()


def read_fetch(query: Query) -> Fetch:
    command = Fetch(
        after=query.number("after", least=0, most=_LARGEST, otherwise=0),
        limit=query.number("limit", least=1, most=MOST_FETCHED, otherwise=MOST_FETCHED),
    )
    query.check()
    return command


def read_receipts(values: dict[str, Any], now: int) -> list[Receipt]:
    """Read receipts; a time ahead of the server's clock counts as now."""
    fields = Fields(values)
    if fields.value("receipts") is None:
        fields.fault("receipts", "is missing", "send a list of receipts")
    receipts = []
    for index, value in enumerate(fields.items("receipts", most=MOST_RECEIPTS) or []):
        where = f"receipts[{index}]"
        if not isinstance(value, dict):
            fields.fault(where, "is not an object", "send {messageId, event, reason, at}")
            continue
        one = Fields(value, where + ".")
        receipts.append(_read_receipt(one, now))
        fields.faults += one.faults
    fields.check()
    return receipts


def _read_receipt(fields: Fields, now: int) -> Receipt:
    event = fields.choice("event", ReceiptEvent)
    message_id = fields.optional("messageId", most=36)
    if message_id is not None and not is_id(message_id):
        fields.fault("messageId", "is not an id", "send the id in the message's frame")
    if message_id is None and fields.value("messageId") is None and event is not ReceiptEvent.FAILED:
        fields.fault("messageId", "is missing", "send the id in the message's frame")
    reason = fields.optional("reason", most=_LONGEST_REASON)
    if event is ReceiptEvent.FAILED and fields.value("reason") is None:
        fields.fault("reason", "is missing", "say why it failed, such as not_my_key")
    at = fields.whole("at", least=0, most=_LARGEST)
    return Receipt(None if message_id is None else message_id.lower(), event, reason, min(at, now))


def show_fetched(fetched: Fetched) -> dict[str, Any]:
    return {
        "messages": [_show_named(named) for named in fetched.messages],
        "retracted": fetched.retracted,
        "read": fetched.read,
        "head": fetched.head,
        "more": fetched.more,
    }


def _show_named(named: Named) -> dict[str, Any]:
    if named.envelope is not None:
        return {
            "sequence": named.sequence,
            "envelope": base64.urlsafe_b64encode(named.envelope).rstrip(b"=").decode(),
        }
    if named.state is not None:
        return {"sequence": named.sequence, "messageId": named.message_id, "state": named.state.value}
    message = {
        "id": named.message_id,
        "sentAt": named.sent_at,
        "kind": named.kind,
        "body": named.content,
    }
    return {"sequence": named.sequence, "message": message}
