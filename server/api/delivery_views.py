"""Deliveries as the API shows them."""

from typing import Annotated, NotRequired, TypedDict

from server.api.bodies import Id, Time, note
from server.commands.deliveries import DeadPage, Retried, Timeline
from server.domain.delivery import Channel, Quiet, State
from server.domain.revival import Place
from server.domain.timeline import Hop, Track, milestones
from server.domain.times import show_time, show_when


class HopView(TypedDict):
    """One step of a delivery."""

    hop: Annotated[str, note("Where: such as `queued`, `relay`, `provider`, `device`.")]
    outcome: Annotated[str, note("What happened there.")]
    reason: NotRequired[Annotated[str, note("Why it went no further.")]]
    at: Annotated[Time | None, note("When; null: it is not known.")]


class DeliveryView(TypedDict):
    """What became of a message for one user on one channel or device."""

    id: Id
    userId: Annotated[Id, note("Whose it is.")]
    deviceId: Annotated[Id | None, note("The device; null: none is meant.")]
    deviceName: Annotated[str | None, note("The device's name, as long as it is paired.")]
    channel: Annotated[Channel, note("How it travels.")]
    kind: Annotated[str, note("What it brings: such as `message`, `update`, `retract`, `read`.")]
    state: Annotated[State, note("How far it is.")]
    reason: Annotated[str | None, note("Why it is in this state, where there is more to say.")]
    quiet: Annotated[
        Quiet | None, note("Why it goes without a sound, for this user; null: it goes as its message says.")
    ]
    attempts: Annotated[int, note("How often it was tried.")]
    providerId: Annotated[str | None, note("The push's id at Apple, Google or the push service.")]
    timeline: Annotated[list[HopView], note("The steps that it took, in their order.")]
    dueAt: NotRequired[Annotated[Time, note("When it is tried again.")]]


class DeadView(DeliveryView):
    """A delivery that came to nothing."""

    messageId: Annotated[Id | None, note("The message; null: it told a device of several.")]
    settledAt: Annotated[Time, note("When it came to nothing.")]


class TimelineView(TypedDict):
    """The deliveries of one message."""

    messageId: Annotated[Id, note("The message.")]
    scheduledSendAt: NotRequired[Annotated[Time, note("When it will be sent, as long as it is not.")]]
    counts: NotRequired[
        Annotated[dict[str, int], note("How many there are in each state; for who may see all of them.")]
    ]
    deliveries: Annotated[list[DeliveryView], note("Those that the caller may see.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


class DeadPageView(TypedDict):
    """Deliveries that came to nothing."""

    deliveries: Annotated[list[DeadView], note("The newest first.")]
    nextCursor: Annotated[str | None, note("`cursor` of the next page; null: this is the last one.")]


class NotQueuedView(TypedDict):
    """A delivery that is not tried again."""

    id: Id
    reason: Annotated[str, note("Why not.")]


class RetriedView(TypedDict):
    """What is tried again, and what is not."""

    queued: Annotated[int, note("How many are tried again.")]
    notQueued: Annotated[list[NotQueuedView], note("Those that are not.")]
    nextCursor: Annotated[str | None, note("`cursor` for the next of them; null: there are no more.")]


def show_timeline(timeline: Timeline) -> TimelineView:
    """Return a message's deliveries; one that is still to be sent says when."""
    message, tracks = timeline.message, timeline.tracks
    shown = TimelineView(
        messageId=message.id,
        deliveries=[show_track(track) for track in tracks],
        nextCursor=tracks[-1].id if timeline.more else None,
    )
    if message.sent_at is None and message.scheduled_at is not None and message.retracted_at is None:
        shown["scheduledSendAt"] = show_time(message.scheduled_at)
    if timeline.counts is not None:
        shown["counts"] = {state.value: number for state, number in timeline.counts.items()}
    return shown


def show_dead(page: DeadPage) -> DeadPageView:
    return DeadPageView(
        deliveries=[_show_dead(track) for track in page.tracks], nextCursor=_cursor(page.place)
    )


def _show_dead(track: Track) -> DeadView:
    return DeadView(
        **show_track(track),
        messageId=track.message_id,
        settledAt=show_time(track.settled_at or 0),
    )


def show_retried(retried: Retried) -> RetriedView:
    return RetriedView(
        queued=retried.queued,
        notQueued=[NotQueuedView(id=id_, reason=reason) for id_, reason in retried.refused.items()],
        nextCursor=_cursor(retried.place),
    )


def show_track(track: Track) -> DeliveryView:
    shown = DeliveryView(
        id=track.id,
        userId=track.user_id,
        deviceId=track.device_id,
        deviceName=track.device_name,
        channel=track.channel,
        kind=track.kind.name.lower(),
        state=track.state,
        reason=track.reason,
        quiet=track.quiet,
        attempts=track.attempts,
        providerId=track.provider_id,
        timeline=[_show_hop(hop) for hop in milestones(track)],
    )
    due_at = track.tried_again_at
    if due_at is not None:
        shown["dueAt"] = show_time(due_at)
    return shown


def _show_hop(hop: Hop) -> HopView:
    at = show_when(hop.at)
    shown = HopView(hop=hop.name, outcome=hop.outcome, at=at)
    if hop.reason is not None:
        shown["reason"] = hop.reason
    return shown


def _cursor(place: Place | None) -> str | None:
    return None if place is None else f"{place.settled_at}.{place.id}"
