"""Deliveries: a message's timeline for those who may see it; what came to nothing, and its second chance, for the operator."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web

from server.api.answers import show
from server.api.bodies import Body, Reader, instant, items, note, own, read_query, take, text, whole
from server.api.delivery_views import (
    DeadPageView,
    RetriedView,
    TimelineView,
    show_dead,
    show_retried,
    show_timeline,
)
from server.api.describe import describes
from server.api.pages import LONGEST_PAGE, LONGEST_PLACE, read_place
from server.api.reading import Fields, read_json
from server.commands.deliveries import (
    ListDead,
    ListTimeline,
    list_dead,
    list_timeline,
    retry,
    retry_dead,
)
from server.domain import rules
from server.domain.account import Caller
from server.domain.delivery import State
from server.domain.ports import Clock, Database
from server.domain.revival import NEWEST, Place

MOST_RETRIED = 500

_REVIVABLE = (State.FAILED, State.GONE)
_DEAD = (*_REVIVABLE, State.EXPIRED)
_LONGEST_WORD = 64


def _read_state(states: Collection[State]) -> Reader:
    words = {state.value: state for state in states}

    def one(fields: Fields, name: str) -> State | None:
        given = fields.value(name)
        if given is not None and (not isinstance(given, str) or given not in words):
            fields.fault(name, "is none of the known words", f"give one of {', '.join(words)}")
            return None
        return None if given is None else words[given]

    return one


def _read_cursor(fields: Fields, name: str) -> Place:
    place = read_place(fields, name)
    return NEWEST if place is None else Place(*place)


def _words(states: Collection[State]) -> dict[str, Any]:
    return {"type": "string", "enum": [state.value for state in states]}


_PLACE = own(_read_cursor, "The `nextCursor` of the page before.", type="string", maxLength=LONGEST_PLACE)
_REASON = text("Only those that came to nothing for this reason, such as `gone`.", most=_LONGEST_WORD)
_SINCE = instant("Only what came to nothing at this instant or later.")


class TimelineQuery(Body, frozen=True, kw_only=True):
    """Which of a message's deliveries."""

    state: Annotated[State, note("Only those in this state.")] | None = None
    cursor: (
        Annotated[str, text("The `nextCursor` of the page before.", most=36, rule=rules.uuid, format="uuid")]
        | None
    ) = None
    limit: Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)] = LONGEST_PAGE


class DeadQuery(Body, frozen=True, kw_only=True):
    """Which of the deliveries that came to nothing."""

    state: Annotated[State | None, own(_read_state(_DEAD), "Only those in this state.", **_words(_DEAD))] = (
        None
    )
    reason: Annotated[str, _REASON] | None = None
    since: Annotated[int, _SINCE] | None = None
    cursor: Annotated[Place, _PLACE] = NEWEST
    limit: Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)] = LONGEST_PAGE


class RetryBody(Body, frozen=True, kw_only=True):
    """The deliveries that are to be tried again: by their ids, or by what they have in common."""

    ids: (
        Annotated[
            tuple[
                Annotated[str, text("The id of a delivery.", most=36, rule=rules.uuid, format="uuid")], ...
            ],
            items("Those with these ids.", most=MOST_RETRIED),
        ]
        | None
    ) = None
    state: Annotated[
        State | None, own(_read_state(_REVIVABLE), "Those in this state.", **_words(_REVIVABLE))
    ] = None
    reason: Annotated[str, _REASON] | None = None
    since: Annotated[int, _SINCE] | None = None
    cursor: Annotated[Place, _PLACE] = NEWEST
    limit: Annotated[int, whole("How many at most.", least=1, most=MOST_RETRIED)] = MOST_RETRIED


@dataclass(frozen=True)
class Deliveries:
    db: Database
    clock: Clock
    wake: Callable[[], None]

    @describes(
        "Get what became of a message",
        detail="The sender, an admin of the bucket and an admin see all of its deliveries, a recipient their own.",
        query=TimelineQuery,
        gives=TimelineView,
        errors=("message_not_found",),
    )
    async def timeline(self, request: web.Request, caller: Caller) -> web.Response:
        command = read_timeline(read_query(TimelineQuery, request), request.match_info["id"].lower())
        return show(show_timeline(await list_timeline(self.db, caller, command)))

    @describes("List what came to nothing", query=DeadQuery, gives=DeadPageView)
    async def dead(self, request: web.Request, _caller: Caller) -> web.Response:
        return show(show_dead(await list_dead(self.db, read_dead(read_query(DeadQuery, request)))))

    @describes(
        "Try again what came to nothing",
        detail="What has expired, and what is for a device that is gone, stays as it is.",
        takes=RetryBody,
        gives=RetriedView,
    )
    async def retry(self, request: web.Request, _caller: Caller) -> web.Response:
        command, now = read_retry(await read_json(request)), self.clock()
        if isinstance(command, ListDead):
            return show(show_retried(await retry_dead(self.db, command, now=now, wake=self.wake)))
        return show(show_retried(await retry(self.db, command, now=now, wake=self.wake)))


def read_timeline(query: TimelineQuery, message_id: str) -> ListTimeline:
    after = "" if query.cursor is None else query.cursor.lower()
    return ListTimeline(message_id=message_id, state=query.state, after=after, limit=query.limit)


def read_dead(query: DeadQuery) -> ListDead:
    states = _DEAD if query.state is None else (query.state,)
    return ListDead(states, query.reason, query.since or 0, query.cursor, query.limit)


def read_retry(values: dict[str, Any]) -> ListDead | list[str]:
    """Read which deliveries are meant: by their ids, or by what they have in common."""
    fields = Fields(values)
    body = take(RetryBody, fields)
    common = [
        name for name in ("state", "reason", "since", "cursor", "limit") if fields.value(name) is not None
    ]
    if fields.value("ids") is not None:
        for name in common:
            fields.fault(name, "is given beside ids", "send ids, or what they have in common")
    elif "state" not in common:
        fields.fault("ids", "is missing", "send ids, or the state of those that are meant: failed or gone")
    fields.check()
    if body.ids is not None:
        return list(dict.fromkeys(id_.lower() for id_ in body.ids))
    states = () if body.state is None else (body.state,)
    return ListDead(states, body.reason, body.since or 0, body.cursor, body.limit)
