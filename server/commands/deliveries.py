"""Deliveries as people look at them: a message's timeline, and what came to nothing, which an admin may have tried again."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from server.domain.account import Caller
from server.domain.bucket import Permission
from server.domain.delivery import State
from server.domain.errors import NotFound
from server.domain.message import Message
from server.domain.ports import Database, Transaction
from server.domain.revival import Place, why_not
from server.domain.scopes import Need
from server.domain.timeline import Track
from server.store import messages, timeline
from server.store.buckets import find_bucket


@dataclass(frozen=True)
class ListTimeline:
    """A message's deliveries, from the one after `after` on; `state` is None for all."""

    message_id: str
    state: State | None
    after: str
    limit: int


@dataclass(frozen=True)
class Timeline:
    """`counts` are of all that the caller may see, whatever the state; they come with the first page."""

    message: Message
    counts: Counter[State] | None
    tracks: list[Track]
    more: bool


@dataclass(frozen=True)
class ListDead:
    """Dead deliveries, the newest first, from the one before `before` on; `reason` is None for all."""

    states: Collection[State]
    reason: str | None
    since: int
    before: Place
    limit: int


@dataclass(frozen=True)
class DeadPage:
    tracks: list[Track]
    more: bool

    @property
    def place(self) -> Place | None:
        """Return where the next page begins, None where this is the last."""
        last = self.tracks[-1] if self.more else None
        return None if last is None or last.settled_at is None else Place(last.settled_at, last.id)


@dataclass(frozen=True)
class Retried:
    """`refused` has the reason by delivery; `place` is where more begins that was meant, None where that was all."""

    queued: int
    refused: dict[str, str]
    place: Place | None


async def list_timeline(db: Database, caller: Caller, command: ListTimeline) -> Timeline:
    """Return a message's deliveries with what happened to them; NotFound.

    Its sender, who oversees its bucket and an admin see all of them, a recipient their own. What others call their phones only an
    admin sees.
    """

    async def look(tx: Transaction) -> Timeline:
        message, user_id = await _seen(tx, caller, command.message_id)
        counts = None if command.after else await timeline.count_states(tx, message.id, user_id)
        tracks = await timeline.list_tracks(
            tx,
            message.id,
            user_id=user_id,
            state=command.state,
            after=command.after,
            limit=command.limit + 1,
        )
        shown = [_as_seen_by(caller, track) for track in tracks[: command.limit]]
        return Timeline(message, counts, shown, len(tracks) > command.limit)

    return await db.read(look)


async def list_dead(db: Database, command: ListDead) -> DeadPage:
    """Return deliveries that came to nothing, whoever's they are."""
    return await db.read(lambda tx: _dead(tx, command))


async def retry(db: Database, ids: Sequence[str], *, now: int, wake: Callable[[], None]) -> Retried:
    """Queue these dead deliveries again, as far as they can go out."""
    retried = await db.write(lambda tx: _revive(tx, ids, None, now))
    if retried.queued:
        wake()
    return retried


async def retry_dead(db: Database, command: ListDead, *, now: int, wake: Callable[[], None]) -> Retried:
    """Queue a page of dead deliveries again, as far as they can go out.

    They are looked for before the writing: for a reason that is rare, that reads all that are dead.
    """
    page = await list_dead(db, command)
    ids = [track.id for track in page.tracks]
    retried = await db.write(lambda tx: _revive(tx, ids, page.place, now))
    if retried.queued:
        wake()
    return retried


def _as_seen_by(caller: Caller, track: Track) -> Track:
    own = track.user_id == caller.user.id or _operates(caller)
    return track if own else replace(track, device_name=None)


async def _seen(tx: Transaction, caller: Caller, message_id: str) -> tuple[Message, str | None]:
    """Return a message, and whose deliveries the caller may see: None for everybody's."""
    if _operates(caller):
        message = await messages.load_message(tx, message_id)
    else:
        message = await messages.find_message(tx, caller.user.id, message_id)
    if message is None:
        raise NotFound("no such message", code="message_not_found")
    if _operates(caller) or message.sender_id == caller.user.id:
        return message, None
    bucket = await find_bucket(tx, caller.user.id, message.bucket_id)
    oversees = bucket is not None and bucket.lets(Permission.DELETE)
    return message, None if oversees else caller.user.id


def _operates(caller: Caller) -> bool:
    """Say whether everything may be seen: an operator who calls for somebody sees what that one does."""
    return caller.acting is None and caller.grant.meets(Need.OPERATE)


async def _dead(tx: Transaction, command: ListDead) -> DeadPage:
    tracks = await timeline.list_dead(
        tx,
        states=command.states,
        reason=command.reason,
        since=command.since,
        before=command.before,
        limit=command.limit + 1,
    )
    return DeadPage(tracks[: command.limit], len(tracks) > command.limit)


async def _revive(tx: Transaction, ids: Sequence[str], place: Place | None, now: int) -> Retried:
    found = await timeline.look_at_dead(tx, ids)
    reasons = {dead.id: why_not(dead, now) for dead in found}
    able = [dead for dead in found if reasons[dead.id] is None]
    await timeline.revive(tx, able, now)
    wanted = {id_: reasons.get(id_, "not_found") for id_ in ids}
    return Retried(len(able), {id_: reason for id_, reason in wanted.items() if reason is not None}, place)
