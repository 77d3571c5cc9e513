"""Deliveries: a message's timeline for those who may see it; what came to nothing, and its second chance, for the operator."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.api.answers import show
from server.api.reading import Fields, Query, read_json
from server.commands.deliveries import (
    DeadPage,
    ListDead,
    ListTimeline,
    Retried,
    Timeline,
    list_dead,
    list_timeline,
    retry,
    retry_dead,
)
from server.domain.account import Caller
from server.domain.delivery import State
from server.domain.ports import Clock, Database
from server.domain.revival import NEWEST, Place
from server.domain.rules import is_id
from server.domain.timeline import Hop, Track, milestones
from server.domain.times import show_time

LONGEST_PAGE = 100
MOST_RETRIED = 500

_REVIVABLE = (State.FAILED, State.GONE)
_DEAD = (*_REVIVABLE, State.EXPIRED)
_LONGEST_WORD = 64
_LONGEST_CURSOR = 60
_CURSOR = re.compile(r"(\d{1,15})\.([0-9a-f-]{36})", re.ASCII)


@dataclass(frozen=True)
class Deliveries:
    db: Database
    clock: Clock
    wake: Callable[[], None]

    async def timeline(self, request: web.Request, caller: Caller) -> web.Response:
        command = read_timeline(Query(request), request.match_info["id"].lower())
        return show(show_timeline(await list_timeline(self.db, caller, command)))

    async def dead(self, request: web.Request, _caller: Caller) -> web.Response:
        return show(show_dead(await list_dead(self.db, read_dead(Query(request)))))

    async def retry(self, request: web.Request, _caller: Caller) -> web.Response:
        command, now = read_retry(await read_json(request)), self.clock()
        if isinstance(command, ListDead):
            return show(show_retried(await retry_dead(self.db, command, now=now, wake=self.wake)))
        return show(show_retried(await retry(self.db, command, now=now, wake=self.wake)))


def read_timeline(query: Query, message_id: str) -> ListTimeline:
    command = ListTimeline(
        message_id=message_id,
        state=_read_state(query, tuple(State)),
        after=query.id("cursor") or "",
        limit=query.number("limit", least=1, most=LONGEST_PAGE, otherwise=LONGEST_PAGE),
    )
    query.check()
    return command


def read_dead(query: Query) -> ListDead:
    state = _read_state(query, _DEAD)
    command = ListDead(
        states=_DEAD if state is None else (state,),
        reason=query.optional("reason", most=_LONGEST_WORD),
        since=query.instant("since", after=None) or 0,
        before=_read_cursor(query),
        limit=query.number("limit", least=1, most=LONGEST_PAGE, otherwise=LONGEST_PAGE),
    )
    query.check()
    return command


def read_retry(values: dict[str, Any]) -> ListDead | list[str]:
    """Read which deliveries are meant: by their ids, or by what they have in common."""
    fields = Fields(values)
    if fields.value("ids") is not None:
        return _read_ids(fields)
    state = _read_state(fields, _REVIVABLE)
    if fields.value("state") is None:
        fields.fault("ids", "is missing", "send ids, or the state of those that are meant: failed or gone")
    command = ListDead(
        states=() if state is None else (state,),
        reason=fields.optional("reason", most=_LONGEST_WORD),
        since=fields.instant("since", after=None) or 0,
        before=_read_cursor(fields),
        limit=_read_limit(fields),
    )
    fields.check()
    return command


def _read_ids(fields: Fields) -> list[str]:
    ids = fields.items("ids", most=MOST_RETRIED) or []
    for index, id_ in enumerate(ids):
        if not (isinstance(id_, str) and is_id(id_)):
            fields.fault(f"ids[{index}]", "is not an id", "send the id of a delivery")
    for name in ("state", "reason", "since", "cursor", "limit"):
        if fields.value(name) is not None:
            fields.fault(name, "is given beside ids", "send ids, or what they have in common")
    fields.check()
    return list(dict.fromkeys(id_.lower() for id_ in ids))


def _read_limit(fields: Fields) -> int:
    if fields.value("limit") is None:
        return MOST_RETRIED
    return fields.whole("limit", least=1, most=MOST_RETRIED)


def _read_state(fields: Fields, states: Collection[State]) -> State | None:
    given = fields.value("state")
    if given is None:
        return None
    words = {state.value: state for state in states}
    if not isinstance(given, str) or given not in words:
        fields.fault("state", "is none of the known words", f"give one of {', '.join(words)}")
        return None
    return words[given]


def _read_cursor(fields: Fields) -> Place:
    text = fields.optional("cursor", most=_LONGEST_CURSOR)
    if text is None:
        return NEWEST
    found = _CURSOR.fullmatch(text)
    if found is None:
        fields.fault("cursor", "is no cursor", "give the nextCursor of the page before as it is")
        return NEWEST
    return Place(int(found[1]), found[2])


def show_timeline(timeline: Timeline) -> dict[str, Any]:
    """Return a message's deliveries; one that is still to be sent says when."""
    message, tracks = timeline.message, timeline.tracks
    waits = message.sent_at is None and message.scheduled_at is not None and message.retracted_at is None
    return {
        "messageId": message.id,
        **({"scheduledSendAt": show_time(message.scheduled_at or 0)} if waits else {}),
        **({} if timeline.counts is None else {"counts": _show_counts(timeline.counts)}),
        "deliveries": [show_track(track) for track in tracks],
        "nextCursor": tracks[-1].id if timeline.more else None,
    }


def _show_counts(counts: Mapping[State, int]) -> dict[str, int]:
    return {state.value: number for state, number in counts.items()}


def show_dead(page: DeadPage) -> dict[str, Any]:
    return {
        "deliveries": [_show_dead(track) for track in page.tracks],
        "nextCursor": _cursor(page.place),
    }


def _show_dead(track: Track) -> dict[str, Any]:
    return {
        **show_track(track),
        "messageId": track.message_id,
        "kind": track.kind.name.lower(),
        "settledAt": show_time(track.settled_at or 0),
    }


def show_retried(retried: Retried) -> dict[str, Any]:
    return {
        "queued": retried.queued,
        "notQueued": [{"id": id_, "reason": reason} for id_, reason in retried.refused.items()],
        "nextCursor": _cursor(retried.place),
    }


def show_track(track: Track) -> dict[str, Any]:
    shown = {
        "id": track.id,
        "userId": track.user_id,
        "deviceId": track.device_id,
        "deviceName": track.device_name,
        "channel": track.channel.value,
        "state": track.state.value,
        "reason": track.reason,
        "attempts": track.attempts,
        "providerId": track.provider_id,
        "timeline": [_show_hop(hop) for hop in milestones(track)],
    }
    due_at = track.tried_again_at
    return shown if due_at is None else {**shown, "dueAt": show_time(due_at)}


def _show_hop(hop: Hop) -> dict[str, Any]:
    reason = {} if hop.reason is None else {"reason": hop.reason}
    return {
        "hop": hop.name,
        "outcome": hop.outcome,
        **reason,
        "at": None if hop.at is None else show_time(hop.at),
    }


def _cursor(place: Place | None) -> str | None:
    return None if place is None else f"{place.settled_at}.{place.id}"
