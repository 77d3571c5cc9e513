"""`/api/v1/buckets`: make, find, change and delete them; join and leave; be left in peace by them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import note, read, read_query
from server.api.bucket_views import (
    BucketBody,
    BucketChange,
    BucketsView,
    BucketView,
    QuietTimesBody,
    SnoozeBody,
    bucket_change,
    new_bucket,
    quiet_times_of,
    show_bucket,
)
from server.api.describe import describes
from server.api.pages import PageQuery
from server.api.reading import read_json
from server.commands import buckets as commands
from server.commands.members import leave_bucket
from server.domain.account import Caller
from server.domain.ports import Clock, Database, Random

_NOT_FOUND = ("bucket_not_found", "bucket_ambiguous")
_NOT_ADMIN = (*_NOT_FOUND, "bucket_forbidden")


class BucketsQuery(PageQuery, frozen=True, kw_only=True):
    """Which buckets: one's own, or those that anybody may join."""

    public: Annotated[bool, note("Those that anybody may join, in pages; else one's own, all at once.")] = (
        False
    )


@dataclass(frozen=True)
class Buckets:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]

    @describes("Make a bucket", takes=BucketBody, gives=BucketView, status=201, errors=("bucket_exists",))
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        command = new_bucket(read(BucketBody, await read_json(request)))
        bucket = await commands.create_bucket(
            self.db, caller.user, command, now=self.clock(), random=self.random
        )
        return show(show_bucket(bucket), status=201, headers={"Location": f"/api/v1/buckets/{bucket.id}"})

    @describes("List buckets", query=BucketsQuery, gives=BucketsView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(BucketsQuery, request)
        if not query.public:
            own = await commands.list_buckets(self.db, caller.user)
            return show(BucketsView(buckets=[show_bucket(bucket) for bucket in own], nextCursor=None))
        page = await commands.list_public(self.db, caller.user, after=query.place or "", limit=query.limit)
        shown = [show_bucket(bucket) for bucket in page.buckets]
        return show(BucketsView(buckets=shown, nextCursor=shown[-1]["id"] if page.more else None))

    @describes(
        "Show a bucket",
        detail="One of the caller's, or a public one; by its id or its name.",
        gives=BucketView,
        errors=_NOT_FOUND,
    )
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        return show(show_bucket(await commands.get_bucket(self.db, caller.user, _bucket(request))))

    @describes(
        "Change a bucket",
        detail="Who is ADMIN in it may; a protected one only its owner changes.",
        takes=BucketChange,
        gives=BucketView,
        errors=(*_NOT_ADMIN, "owner_only", "bucket_default", "bucket_exists"),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        command = bucket_change(read(BucketChange, await read_json(request)))
        bucket = await commands.change_bucket(
            self.db, caller.user, _bucket(request), command, now=self.clock()
        )
        return show(show_bucket(bucket))

    @describes(
        "Delete a bucket",
        detail="Its messages vanish from every device, within moments; who is ADMIN in it may.",
        status=204,
        errors=(*_NOT_ADMIN, "bucket_default", "bucket_protected"),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await commands.delete_bucket(
            self.db,
            caller.user,
            _bucket(request),
            now=self.clock(),
            random=self.random,
            wake=self.wake,
        )
        return nothing()

    @describes(
        "Join a public bucket",
        detail="Its messages come from now on; who is a member stays what they are.",
        gives=BucketView,
        errors=_NOT_FOUND,
    )
    async def join(self, request: web.Request, caller: Caller) -> web.Response:
        bucket = await commands.join_bucket(self.db, caller.user, _bucket(request), now=self.clock())
        return show(show_bucket(bucket))

    @describes("Leave a bucket", status=204, errors=(*_NOT_FOUND, "bucket_owner"))
    async def leave(self, request: web.Request, caller: Caller) -> web.Response:
        await leave_bucket(self.db, caller.user, _bucket(request))
        return nothing()

    @describes(
        "Hear nothing of a bucket for a while",
        detail="For the caller alone: its messages come without a sound until then. Critical ones are heard.",
        takes=SnoozeBody,
        gives=BucketView,
        errors=_NOT_FOUND,
    )
    async def snooze(self, request: web.Request, caller: Caller) -> web.Response:
        minutes = read(SnoozeBody, await read_json(request)).minutes
        bucket = await commands.snooze(self.db, caller.user, _bucket(request), minutes, now=self.clock())
        return show(show_bucket(bucket))

    @describes(
        "Hear nothing of a bucket at some times of the week",
        detail="For the caller alone, on the clock where they are. Critical messages are heard.",
        takes=QuietTimesBody,
        gives=BucketView,
        errors=_NOT_FOUND,
    )
    async def set_quiet_times(self, request: web.Request, caller: Caller) -> web.Response:
        quiet_times = quiet_times_of(read(QuietTimesBody, await read_json(request)))
        bucket = await commands.set_quiet_times(self.db, caller.user, _bucket(request), quiet_times)
        return show(show_bucket(bucket))


def _bucket(request: web.Request) -> str:
    return request.match_info["bucket"]
