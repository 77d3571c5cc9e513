"""Buckets as a request writes them and an answer shows them, with what is one member's own."""

from collections.abc import Sequence
from datetime import time
from typing import Annotated, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from server.api.bodies import Body, Id, Time, items, note, own, text, whole
from server.api.reading import Fields
from server.commands.buckets import ChangeBucket, CreateBucket
from server.domain import rules
from server.domain.account import LONGEST_NAME
from server.domain.bucket import LONGEST_DESCRIPTION, LONGEST_RETENTION, MOST_RETAINED, Bucket, Permission
from server.domain.pages import MOST_COUNTED
from server.domain.quiet import LONGEST_SNOOZE, MOST_QUIET_TIMES, Day, QuietTime, days_of, show_clock
from server.domain.times import show_time, show_when

_NAME = text("What it is called; not a UUID.", most=LONGEST_NAME, rule=rules.bucket_name)
_DESCRIPTION = text("What it is for.", most=LONGEST_DESCRIPTION, rule=rules.prose)
_ICON = text("The name of its icon.", most=LONGEST_NAME)
_COLOR = text("Its colour, like #1E88E5.", least=7, most=7, rule=rules.color)
_PROTECTED = note("Whether it cannot be deleted, and only its owner changes it.")
_PUBLIC = note("Whether any user of the server may find and join it.")
_DAYS = whole(
    "Messages that are older than so many days are deleted; null: none.", least=1, most=LONGEST_RETENTION
)
_COUNT = whole(
    "Of more messages than so many, the oldest are deleted; null: none.", least=1, most=MOST_RETAINED
)
_CLOCK = {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}


class RetentionBody(Body, frozen=True, kw_only=True):
    """How long a bucket keeps its messages."""

    days: Annotated[int, _DAYS] | UnsetType | None = UNSET
    count: Annotated[int, _COUNT] | UnsetType | None = UNSET


class BucketBody(Body, frozen=True, kw_only=True):
    """A bucket that is to be made."""

    name: Annotated[str, _NAME]
    description: Annotated[str, _DESCRIPTION] | None = None
    icon: Annotated[str, _ICON] | None = None
    color: Annotated[str, _COLOR] | None = None
    protected: Annotated[bool, _PROTECTED] = False
    public: Annotated[bool, _PUBLIC] = False
    retention: Annotated[RetentionBody, note("How long it keeps its messages.")] | None = None


class BucketChange(Body, frozen=True, kw_only=True):
    """What is to be different about a bucket; what is left out stays."""

    name: Annotated[str, _NAME] | UnsetType = UNSET
    description: Annotated[str, _DESCRIPTION] | UnsetType | None = UNSET
    icon: Annotated[str, _ICON] | UnsetType | None = UNSET
    color: Annotated[str, _COLOR] | UnsetType | None = UNSET
    protected: Annotated[bool, _PROTECTED] | UnsetType = UNSET
    public: Annotated[bool, _PUBLIC] | UnsetType = UNSET
    retention: (
        Annotated[RetentionBody, note("How long it keeps its messages; null: for ever.")] | UnsetType | None
    ) = UNSET


class SnoozeBody(Body, frozen=True, kw_only=True):
    """For how long one wants to hear nothing of a bucket."""

    minutes: Annotated[int, whole("From now on; 0 ends a snooze.", least=0, most=LONGEST_SNOOZE)]


def _read_days(fields: Fields, name: str) -> tuple[Day, ...]:
    if fields.value(name) in (None, []):
        fields.fault(name, "names no day", f"send a list of {', '.join(Day)}")
    days = fields.items(name, most=len(Day)) or ()
    return tuple(fields.choice_of(f"{name}[{index}]", day, Day) for index, day in enumerate(days))


_DAY_LIST = {
    "type": "array",
    "items": {"enum": [day.value for day in Day]},
    "minItems": 1,
    "maxItems": len(Day),
}


class QuietTimeBody(Body, frozen=True, kw_only=True):
    """A time of the week on the clock where one is: in the profile's time zone, UTC where it has none."""

    days: Annotated[tuple[Day, ...], own(_read_days, "The days on which it begins.", **_DAY_LIST)]
    start: Annotated[
        str, text("When it begins, like 22:00.", most=5, least=5, rule=rules.clock, **_CLOCK)
    ] = msgspec.field(name="from")
    end: Annotated[
        str,
        text(
            "When it ends: on the next day where it is not after `from`.",
            most=5,
            least=5,
            rule=rules.clock,
            **_CLOCK,
        ),
    ] = msgspec.field(name="to")


class QuietTimesBody(Body, frozen=True, kw_only=True):
    """When in the week one wants to hear nothing of a bucket."""

    quiet_times: Annotated[
        tuple[QuietTimeBody, ...],
        items("In the place of those that there are; an empty list: none.", most=MOST_QUIET_TIMES),
    ]


class RetentionView(TypedDict):
    """How long a bucket keeps its messages."""

    days: Annotated[int | None, note("Messages that are older than so many days are deleted; null: none.")]
    count: Annotated[int | None, note("Of more messages than so many, the oldest are deleted; null: none.")]
    lastSweptAt: Annotated[Time | None, note("When messages were last deleted for that; null: never.")]
    removed: Annotated[int, note("How many messages were deleted for that, so far.")]


# `from` is a word of Python's.
QuietTimeView = TypedDict(
    "QuietTimeView",
    {
        "days": Annotated[list[Day], note("The days on which it begins.")],
        "from": Annotated[str, note("When it begins, like 22:00.", **_CLOCK)],
        "to": Annotated[str, note("When it ends: on the next day where it is not after `from`.", **_CLOCK)],
    },
)
QuietTimeView.__doc__ = "A part of the week in which a bucket is quiet."


class BucketView(TypedDict):
    """A bucket as the caller sees it: permissions, snooze and quiet times are the caller's own."""

    id: Id
    name: Annotated[str, note("What it is called: unique among its owner's.")]
    description: Annotated[str | None, note("What it is for.")]
    icon: Annotated[str | None, note("The name of its icon.")]
    color: Annotated[str | None, note("Its colour, like #1E88E5.")]
    protected: Annotated[bool, _PROTECTED]
    public: Annotated[bool, _PUBLIC]
    retention: Annotated[RetentionView, note("How long it keeps its messages.")]
    ownerId: Annotated[Id | None, note("The user whose it is; null: the tenant's, such as a topic.")]
    permissions: Annotated[list[Permission], note("What the caller may do in it; none: they are no member.")]
    members: Annotated[
        int | None,
        note(f"How many members it has, {MOST_COUNTED} at most; null where the caller is not ADMIN in it."),
    ]
    snoozedUntil: Annotated[Time | None, note("Until when the caller hears nothing of it.")]
    quietTimes: Annotated[list[QuietTimeView], note("When in the week the caller hears nothing of it.")]
    createdAt: Time


class BucketsView(TypedDict):
    """Buckets of the caller."""

    buckets: Annotated[list[BucketView], note("The buckets.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


def new_bucket(body: BucketBody) -> CreateBucket:
    """Return the command that a body stands for."""
    days, count = _retention(body.retention)
    return CreateBucket(
        name=body.name,
        description=body.description,
        icon=body.icon,
        color=body.color,
        protected=body.protected,
        public=body.public,
        retention_days=None if isinstance(days, UnsetType) else days,
        retention_count=None if isinstance(count, UnsetType) else count,
    )


def bucket_change(body: BucketChange) -> ChangeBucket:
    """Return the command that a body stands for."""
    days, count = _retention(body.retention)
    return ChangeBucket(
        name=body.name,
        description=body.description,
        icon=body.icon,
        color=body.color,
        protected=body.protected,
        public=body.public,
        retention_days=days,
        retention_count=count,
    )


def quiet_times_of(body: QuietTimesBody) -> Sequence[QuietTime]:
    return [
        QuietTime(frozenset(quiet.days), time.fromisoformat(quiet.start), time.fromisoformat(quiet.end))
        for quiet in body.quiet_times
    ]


def show_bucket(bucket: Bucket) -> BucketView:
    return BucketView(
        id=bucket.id,
        name=bucket.name,
        description=bucket.description,
        icon=bucket.icon,
        color=bucket.color,
        protected=bucket.protected_at is not None,
        public=bucket.public_at is not None,
        retention=RetentionView(
            days=bucket.retention_days,
            count=bucket.retention_count,
            lastSweptAt=show_when(bucket.swept_at),
            removed=bucket.swept,
        ),
        ownerId=bucket.owner_id,
        permissions=[permission for permission in Permission if permission in bucket.permissions],
        members=bucket.members,
        snoozedUntil=show_when(bucket.snoozed_until),
        quietTimes=[_show_quiet_time(quiet) for quiet in bucket.quiet_times],
        createdAt=show_time(bucket.created_at),
    )


def _retention(
    body: RetentionBody | UnsetType | None,
) -> tuple[int | UnsetType | None, int | UnsetType | None]:
    if isinstance(body, UnsetType):
        return UNSET, UNSET
    return (None, None) if body is None else (body.days, body.count)


def _show_quiet_time(quiet: QuietTime) -> QuietTimeView:
    return QuietTimeView(
        {"days": days_of(quiet), "from": show_clock(quiet.start), "to": show_clock(quiet.end)}
    )
