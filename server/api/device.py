"""`/api/v1/device`: what a paired device asks for itself, with its own token (PROTOCOL.md, section 6)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, items, note, own, read, read_query, whole
from server.api.describe import describes
from server.api.devices import HANDLE, KeyBody
from server.api.fetched_views import FetchedView, show_fetched
from server.api.metrics import DeviceMetrics
from server.api.reading import Fields, read_json
from server.commands.devices import renew_handle, replace_key, unpair
from server.commands.fetch import Fetch, fetch, fetch_claim
from server.commands.receipts import report
from server.commands.sealing import Sealer
from server.domain import rules
from server.domain.account import CallingDevice
from server.domain.delivery import Receipt, ReceiptEvent
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Resolver

MOST_FETCHED = 100
MOST_RECEIPTS = 500

_LONGEST_REASON = 100
_ID_LENGTH = 36
_ID = {"type": "string", "format": "uuid"}
_LARGEST = (1 << 53) - 1  # what every JSON reader keeps exact
_OCTETS = "application/octet-stream"


class FetchQuery(Body, frozen=True, kw_only=True):
    """Where a device's fetching goes on."""

    after: Annotated[int, whole("The last sequence number that the device has.", least=0, most=_LARGEST)] = 0
    limit: Annotated[int, whole("How many at most.", least=1, most=MOST_FETCHED)] = MOST_FETCHED


def _read_message_id(fields: Fields, name: str) -> str | None:
    if fields.value(name) is None and fields.value("event") != ReceiptEvent.FAILED:
        fields.fault(name, "is missing", "send the id in the message's frame")
    return fields.optional(name, most=_ID_LENGTH, rule=rules.uuid)


def _read_reason(fields: Fields, name: str) -> str | None:
    if fields.value(name) is None and fields.value("event") == ReceiptEvent.FAILED:
        fields.fault(name, "is missing", "say why it failed, such as not_my_key")
    return fields.optional(name, most=_LONGEST_REASON)


class ReceiptBody(Body, frozen=True, kw_only=True):
    """What became of a push on the device."""

    event: Annotated[ReceiptEvent, note("What happened.")]
    message_id: Annotated[
        str | None,
        own(
            _read_message_id, "The id in the message's frame; only where it failed it may be left out.", **_ID
        ),
    ] = None
    reason: Annotated[
        str | None,
        own(
            _read_reason,
            "Why it failed, such as `not_my_key`: needed then.",
            type="string",
            maxLength=_LONGEST_REASON,
        ),
    ] = None
    at: Annotated[
        int, whole("When, in milliseconds since 1970 by the device's clock.", least=0, most=_LARGEST)
    ]


class ReceiptsBody(Body, frozen=True, kw_only=True):
    """A device's receipts."""

    receipts: Annotated[tuple[ReceiptBody, ...], items("What became of pushes.", most=MOST_RECEIPTS)]


class HandleBody(Body, frozen=True, kw_only=True):
    """A device's new handle."""

    handle: Annotated[str, HANDLE]


@dataclass(frozen=True)
class Device:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sealer: Sealer
    resolver: Resolver
    metrics: DeviceMetrics

    @describes(
        "Fetch messages",
        detail="All that the device has not got, whether a push for it was lost or never sent.",
        query=FetchQuery,
        gives=FetchedView,
    )
    async def messages(self, request: web.Request, device: CallingDevice) -> web.Response:
        query = read_query(FetchQuery, request)
        command = Fetch(after=query.after, limit=query.limit)
        fetched = await fetch(
            self.db, device, command, sealer=self.sealer, resolver=self.resolver, now=self.clock()
        )
        return show(show_fetched(fetched))

    @describes(
        "Fetch what did not fit into a push",
        detail="The rest of a message, sealed under a key that stands in the push.",
        produces=_OCTETS,
        errors=("claim_not_found",),
    )
    async def claim(self, request: web.Request, device: CallingDevice) -> web.Response:
        blob = await fetch_claim(self.db, device, request.match_info["id"].lower(), self.sealer.files)
        length = {"Content-Length": str(blob.size)}
        return web.Response(body=blob.pieces, content_type=_OCTETS, headers=length)

    @describes(
        "Report what became of pushes",
        detail="A time ahead of the server's clock counts as now.",
        takes=ReceiptsBody,
        status=202,
    )
    async def receipts(self, request: web.Request, device: CallingDevice) -> web.Response:
        now = self.clock()
        receipts = read_receipts(await read_json(request), now)
        self.metrics.received(
            await report(self.db, device, receipts, now=now, random=self.random, wake=self.wake)
        )
        return nothing(202)

    @describes(
        "Renew the device's handle",
        detail="What waits for it goes out at once.",
        takes=HandleBody,
        status=204,
    )
    async def handle(self, request: web.Request, device: CallingDevice) -> web.Response:
        handle = read(HandleBody, await read_json(request)).handle
        await renew_handle(self.db, device.id, handle, now=self.clock(), wake=self.wake)
        return nothing()

    @describes(
        "Replace the device's key",
        detail="From now on messages are sealed to this one.",
        takes=KeyBody,
        status=204,
    )
    async def key(self, request: web.Request, device: CallingDevice) -> web.Response:
        key = read(KeyBody, await read_json(request))
        await replace_key(self.db, device.id, key.suite, key.public_key, now=self.clock())
        return nothing()

    @describes("Unpair this device", detail="With everything that waits for it.", status=204)
    async def delete(self, _request: web.Request, device: CallingDevice) -> web.Response:
        await unpair(self.db, device.user_id, device.id)
        return nothing()


def read_receipts(values: dict[str, Any], now: int) -> list[Receipt]:
    """Read receipts; a time ahead of the server's clock counts as now."""
    return [
        Receipt(
            None if one.message_id is None else one.message_id.lower(),
            one.event,
            one.reason,
            min(one.at, now),
        )
        for one in read(ReceiptsBody, values).receipts
    ]
