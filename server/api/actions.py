"""`/api/v1/notifications/{id}/actions`, `/snooze`, `/postpone`: what is done with a message by its buttons, in an app or on a device."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from aiohttp import web

from server.api.answers import show
from server.api.bodies import Body, Id, Time, note, read, whole
from server.api.describe import describes
from server.api.idempotency import KEY_HEADER, read_key
from server.api.reading import read_json
from server.commands.actions import Acting, Done, Person, list_actions, postpone, run_action, snooze
from server.domain.account import Caller, CallingDevice
from server.domain.message import LONGEST_MINUTES, ActionType
from server.domain.outgoing import Progress, Reason, State
from server.domain.ports import Clock
from server.domain.times import show_time, show_when

_MEANT = ("notification_not_found", "notification_gone")
_IDS = "The id is the notification's, its message's, or on a device that of the frame it was sent."


class MinutesBody(Body, frozen=True, kw_only=True):
    """For how long."""

    minutes: Annotated[int, whole("For how many minutes, a week at most.", least=1, most=LONGEST_MINUTES)]


class RequestView(TypedDict):
    """A webhook that was called by a button."""

    id: Annotated[Id, note("Its `webhook-id`, the same at every attempt.")]
    action: Annotated[str, note("Which button: its index, or `tap`.")]
    state: Annotated[
        Literal["queued", "done", "failed"],
        note("`queued` while it is tried, again if need be; `done`: its receiver has taken it."),
    ]
    reason: Annotated[Reason | None, note("Why the last attempt came to nothing.")]
    status: Annotated[int | None, note("HTTP's, of the last answer.")]
    attempts: Annotated[int, note("How often it was tried.")]
    createdAt: Time
    nextAttemptAt: Annotated[Time | None, note("When it is tried again; null once it is over.")]


class DoneView(TypedDict):
    """What became of an action."""

    type: Annotated[ActionType, note("What was done.")]
    state: Annotated[Literal["done", "queued", "failed"], note("`queued`: a webhook is called soon.")]
    until: Annotated[
        Time | None, note("When a snooze ends, or a postponed message comes again; null for others.")
    ]
    request: Annotated[RequestView | None, note("How far a webhook is; null for others.")]


class RequestsView(TypedDict):
    """Webhooks that buttons of a message called."""

    requests: Annotated[list[RequestView], note("The newest first, 20 at most.")]


@dataclass(frozen=True)
class Actions:
    acting: Acting
    clock: Clock

    @describes(
        "Press a button of a notification",
        detail="Runs the action at an index of the message's `actions`, or its `tapAction` (`tap`), if it is one that the server"
        f" runs. {_IDS} A WEBHOOK is queued (202); pressed again while it is tried, it is the same one. With an `Idempotency-Key` it is"
        " the same one for 30 days.",
        gives=DoneView,
        errors=(
            *_MEANT,
            "action_not_found",
            "action_is_device",
            "bucket_not_found",
            "message_ends_before",
            "idempotency_key_reused",
        ),
        headers=KEY_HEADER,
    )
    async def run(self, request: web.Request, caller: Caller | CallingDevice) -> web.Response:
        key, which = read_key(request), request.match_info["action"]
        done = await run_action(self.acting, Person.of(caller), _id(request), which, key, now=self.clock())
        return show_done(done)

    @describes("Show what became of the webhooks of a notification", gives=RequestsView, errors=_MEANT)
    async def list(self, request: web.Request, caller: Caller | CallingDevice) -> web.Response:
        found = await list_actions(self.acting.db, Person.of(caller), _id(request))
        return show(RequestsView(requests=[show_request(one) for one in found]))

    @describes(
        "Hear nothing of a notification's bucket for a while",
        detail=_IDS,
        takes=MinutesBody,
        gives=DoneView,
        errors=(*_MEANT, "bucket_not_found"),
    )
    async def snooze(self, request: web.Request, caller: Caller | CallingDevice) -> web.Response:
        body = read(MinutesBody, await read_json(request))
        return show_done(
            await snooze(self.acting, Person.of(caller), _id(request), body.minutes, now=self.clock())
        )

    @describes(
        "Have a notification come again later",
        detail=f"It counts as read until then. {_IDS}",
        takes=MinutesBody,
        gives=DoneView,
        errors=(*_MEANT, "message_ends_before"),
    )
    async def postpone(self, request: web.Request, caller: Caller | CallingDevice) -> web.Response:
        body = read(MinutesBody, await read_json(request))
        return show_done(
            await postpone(self.acting, Person.of(caller), _id(request), body.minutes, now=self.clock())
        )


def show_done(done: Done) -> web.Response:
    called = None if done.request is None else show_request(done.request)
    view = DoneView(
        type=done.type,
        state="done" if called is None else called["state"],
        until=show_when(done.until),
        request=called,
    )
    return show(view, status=200 if called is None else 202)


def show_request(progress: Progress) -> RequestView:
    over = progress.state.is_over
    return {
        "id": progress.id,
        "action": progress.payload["action"],
        "state": _STATES[progress.state],
        "reason": None if progress.reason is None else Reason(progress.reason),
        "status": progress.status,
        "attempts": progress.attempts,
        "createdAt": show_time(progress.created_at),
        "nextAttemptAt": None if over else show_time(progress.due_at),
    }


_STATES: dict[State, Literal["queued", "done", "failed"]] = {
    State.QUEUED: "queued",
    State.LEASED: "queued",
    State.DONE: "done",
    State.FAILED: "failed",
}


def _id(request: web.Request) -> str:
    return request.match_info["id"].lower()
