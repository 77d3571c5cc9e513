"""`/api/v1/buckets/{bucket}/members`: who is in a bucket, and what they may do there."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, note, own, read, read_query, text
from server.api.describe import describes
from server.api.pages import PageQuery
from server.api.reading import Fields, read_json
from server.commands import members as commands
from server.domain.account import LONGEST_EMAIL, Caller
from server.domain.bucket import Member, Permission
from server.domain.ports import Clock, Database
from server.domain.times import show_time

_NOT_ADMIN = ("bucket_not_found", "bucket_ambiguous", "bucket_forbidden")
_WORDS = [permission.value for permission in Permission]
PERMISSION_LIST = {"type": "array", "items": {"enum": _WORDS}, "minItems": 1, "maxItems": len(Permission)}


def read_permissions(fields: Fields, name: str) -> tuple[Permission, ...]:
    """Read what somebody may do in a bucket: one thing at least."""
    if fields.value(name) in (None, []):
        fields.fault(name, "names no permission", f"send a list of {', '.join(_WORDS)}")
    words = fields.items(name, most=len(Permission)) or ()
    found = [fields.choice_of(f"{name}[{index}]", word, Permission) for index, word in enumerate(words)]
    return tuple(dict.fromkeys(found))


def read_some_permissions(fields: Fields, name: str) -> tuple[Permission, ...]:
    """Read what somebody may do in a bucket, READ where that is left out."""
    return (Permission.READ,) if fields.value(name) is None else read_permissions(fields, name)


_MEANING = "READ receives messages, WRITE sends, DELETE retracts what others sent, ADMIN may do all of it and looks after the members."
PERMISSIONS = own(read_some_permissions, f"{_MEANING} Left out: READ.", **PERMISSION_LIST)


class MemberBody(Body, frozen=True, kw_only=True):
    """A user who is to become a member."""

    user: Annotated[str, text("The user's id, external id or username.", most=LONGEST_EMAIL)]
    permissions: Annotated[tuple[Permission, ...], PERMISSIONS] = (Permission.READ,)


class MemberChange(Body, frozen=True, kw_only=True):
    """What a member may do from now on."""

    permissions: Annotated[tuple[Permission, ...], own(read_permissions, _MEANING, **PERMISSION_LIST)]


class MemberView(TypedDict):
    """A user in a bucket."""

    userId: Id
    username: Annotated[str | None, note("The user's name, where they have one.")]
    permissions: Annotated[list[Permission], note("What they may do in the bucket.")]
    owner: Annotated[bool, note("Whether the bucket is theirs.")]
    createdAt: Annotated[Time, note("When they became a member.")]


class MembersView(TypedDict):
    """The members of a bucket."""

    members: Annotated[list[MemberView], note("The members.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


@dataclass(frozen=True)
class Members:
    db: Database
    clock: Clock

    @describes("List the members of a bucket", query=PageQuery, gives=MembersView, errors=_NOT_ADMIN)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(PageQuery, request)
        page = await commands.list_members(
            self.db, caller.user, _bucket(request), after=query.place or "", limit=query.limit
        )
        shown = [show_member(member) for member in page.members]
        return show(MembersView(members=shown, nextCursor=shown[-1]["userId"] if page.more else None))

    @describes(
        "Add a member",
        takes=MemberBody,
        gives=MemberView,
        status=201,
        errors=(*_NOT_ADMIN, "user_not_found", "member_exists"),
    )
    async def add(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(MemberBody, await read_json(request))
        member = await commands.add_member(
            self.db, caller.user, _bucket(request), body.user, body.permissions, now=self.clock()
        )
        return show(show_member(member), status=201)

    @describes(
        "Change what a member may do",
        detail="The member is named by id, external id or username. The owner keeps every permission.",
        takes=MemberChange,
        gives=MemberView,
        errors=(*_NOT_ADMIN, "member_not_found", "bucket_owner"),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(MemberChange, await read_json(request))
        member = await commands.change_member(
            self.db, caller.user, _bucket(request), _user(request), body.permissions
        )
        return show(show_member(member))

    @describes(
        "Take a member out",
        detail="The member is named by id, external id or username. Members may take themselves out; the owner stays.",
        status=204,
        errors=(*_NOT_ADMIN, "member_not_found", "bucket_owner"),
    )
    async def remove(self, request: web.Request, caller: Caller) -> web.Response:
        await commands.remove_member(self.db, caller.user, _bucket(request), _user(request))
        return nothing()


def show_member(member: Member) -> MemberView:
    return MemberView(
        userId=member.user_id,
        username=member.username,
        permissions=show_permissions(member.permissions),
        owner=member.is_owner,
        createdAt=show_time(member.created_at),
    )


def show_permissions(permissions: frozenset[Permission]) -> list[Permission]:
    return [permission for permission in Permission if permission in permissions]


def _bucket(request: web.Request) -> str:
    return request.match_info["bucket"]


def _user(request: web.Request) -> str:
    return request.match_info["user"]
