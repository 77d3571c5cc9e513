"""What was sent: taken back, and asked for what became of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

from server.api.bodies import Body, Id, Time, note, text
from server.api.describe import describes
from server.commands.cancel import cancel
from server.commands.status import Status, find_status
from server.dialects.socayo.fields import PageBody, PageView, show_page
from server.dialects.socayo.rpc import Call
from server.domain.account import LONGEST_NAME
from server.domain.delivery import Channel
from server.domain.ports import Clock, Database, Random
from server.domain.result import Fate, Result
from server.domain.times import show_time, show_when

TransactionId = Annotated[str, text("The `transactionId` of what was sent.", most=LONGEST_NAME)]


class SocayoCancelBody(Body, frozen=True, kw_only=True):
    """What is to be cancelled."""

    transaction_id: TransactionId


class SocayoStatusBody(PageBody, frozen=True, kw_only=True):
    """Of what the deliveries are to be shown."""

    transaction_id: TransactionId


class SocayoCancelledView(TypedDict):
    """What became of it."""

    transactionId: Annotated[Id, note("What was cancelled.")]
    cancelled: Annotated[bool, note("Whether nothing of it had gone out: nobody gets it.")]
    retracted: NotRequired[
        Annotated[int, note("How many deliveries had gone out; these are taken back from who has them.")]
    ]


class SocayoDeliveryView(TypedDict):
    """What became of it for one user, on one channel, for a push on one device."""

    userId: Annotated[str, note("The user, by the name that your servers know.")]
    channel: Annotated[Channel, note("How it travels.")]
    deviceId: NotRequired[Annotated[str, note("The device, for a push that has one.")]]
    result: Annotated[Result, note("What became of it.")]
    reason: NotRequired[Annotated[str, note("Why, where there is more to say.")]]
    providerMessageId: Annotated[str | None, note("What the provider calls it.")]
    queuedAt: Annotated[Time, note("When it was queued.")]
    deliveredAt: Annotated[Time | None, note("When the provider had taken it, or it was in the inbox.")]
    receivedAt: Annotated[Time | None, note("When the device says that it received it.")]
    readAt: Annotated[Time | None, note("When it was read.")]


class SocayoStatusView(PageView, TypedDict):
    """What became of it."""

    transactionId: Annotated[Id, note("What was asked for.")]
    channel: Annotated[Channel, note("How it travels; of several ways the one that had the result.")]
    result: Annotated[
        Result,
        note(
            "DELIVERED where any delivery was; else SENT where any may still be; else what happened to most of them."
        ),
    ]
    providerMessageId: Annotated[str | None, note("What the provider calls it; of several deliveries one.")]
    queuedAt: Annotated[Time, note("When it was sent; of what waits for its time, when that was asked for.")]
    deliveredAt: Annotated[Time | None, note("When that one was delivered.")]
    deliveries: Annotated[list[SocayoDeliveryView], note("One for each user, channel and device.")]


@dataclass(frozen=True)
class SocayoTransactions:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]

    @describes(
        "Cancel what was sent",
        detail="Whoever sent it in this tenant. A second time it is answered as the first time.",
        takes=SocayoCancelBody,
        gives=SocayoCancelledView,
        errors=("message_not_found",),
    )
    async def cancel(self, call: Call[SocayoCancelBody]) -> SocayoCancelledView:
        message_id = call.body.transaction_id.lower()
        done = await cancel(
            self.db, call.caller.tenant_id, message_id, clock=self.clock, random=self.random, wake=self.wake
        )
        if done.whole:
            return SocayoCancelledView(transactionId=message_id, cancelled=True)
        return SocayoCancelledView(transactionId=message_id, cancelled=False, retracted=done.retracted)

    @describes(
        "Say what became of it",
        detail="Deliveries are kept for thirty days after they are settled.",
        takes=SocayoStatusBody,
        gives=SocayoStatusView,
        errors=("message_not_found",),
    )
    async def status(self, call: Call[SocayoStatusBody]) -> SocayoStatusView:
        body, tenant_id = call.body, call.caller.tenant_id
        message_id = body.transaction_id.lower()
        status = await find_status(self.db, tenant_id, message_id, offset=body.offset, limit=body.page_size)
        return show_status(status, body)


def show_status(status: Status, body: PageBody) -> SocayoStatusView:
    message, delivered = status.message, status.delivered
    return SocayoStatusView(
        transactionId=message.id,
        channel=status.channel,
        result=status.result,
        providerMessageId=None if delivered is None else delivered.provider_id,
        queuedAt=show_time(message.created_at if message.sent_at is None else message.sent_at),
        deliveredAt=None if delivered is None else show_when(delivered.delivered_at),
        deliveries=[_show_fate(fate) for fate in status.page.rows],
        **show_page(body, status.page.total, more=status.page.more),
    )


def _show_fate(fate: Fate) -> SocayoDeliveryView:
    shown = SocayoDeliveryView(
        userId=fate.user,
        channel=fate.channel,
        result=fate.result,
        providerMessageId=fate.provider_id,
        queuedAt=show_time(fate.queued_at),
        deliveredAt=show_when(fate.delivered_at),
        receivedAt=show_when(fate.received_at),
        readAt=show_when(fate.read_at),
    )
    if fate.device is not None:
        shown["deviceId"] = fate.device
    if fate.reason is not None:
        shown["reason"] = fate.reason
    return shown
