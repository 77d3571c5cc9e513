"""`/api/v1/invitations`: codes with which others join a bucket, or register."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, note, read, read_query, text, whole
from server.api.bucket_views import BucketView, show_bucket
from server.api.describe import describes
from server.api.members import PERMISSIONS, show_permissions
from server.api.pages import PageQuery
from server.api.reading import read_json
from server.commands import invitations as commands
from server.commands.invitations import Invite
from server.domain.account import LONGEST_NAME, Caller
from server.domain.bucket import Invitation, Permission
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time, show_when

_HOURS = 72
_MOST_HOURS = 720


class InvitationBody(Body, frozen=True, kw_only=True):
    """An invitation that is to be made."""

    bucket_id: (
        Annotated[
            str,
            text(
                "The bucket, by its id or its name; left out: to an account alone, which only an admin can.",
                most=LONGEST_NAME,
            ),
        ]
        | None
    ) = None
    permissions: Annotated[tuple[Permission, ...], PERMISSIONS] = (Permission.READ,)
    expires_in_hours: Annotated[int, whole("For how long the code is good.", least=1, most=_MOST_HOURS)] = (
        _HOURS
    )


class AcceptBody(Body, frozen=True, kw_only=True):
    """An invitation that is accepted."""

    code: Annotated[str, text("As it was shown; its case and its hyphens do not count.", most=LONGEST_NAME)]


class InvitationView(TypedDict):
    """What is known of an invitation after its code was shown."""

    id: Id
    bucketId: Annotated[Id | None, note("The bucket; null: it is to an account alone.")]
    permissions: Annotated[list[Permission], note("What whoever accepts it may do in the bucket.")]
    createdAt: Time
    expiresAt: Annotated[Time, note("When the code ends.")]
    acceptedAt: Annotated[Time | None, note("When it was accepted; null: it is open.")]
    acceptedBy: Annotated[Id | None, note("The user who accepted it.")]


class NewInvitationView(InvitationView):
    """An invitation that was just made."""

    code: Annotated[str, note("The code, good once. It is shown this once.")]


class InvitationsView(TypedDict):
    """A page of invitations."""

    invitations: Annotated[list[InvitationView], note("The caller's, the newest first.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


@dataclass(frozen=True)
class Invitations:
    db: Database
    clock: Clock
    random: Random

    @describes(
        "Invite somebody",
        detail="To a bucket, for who is ADMIN in it. An admin's invitations are also good for an account, where registration is by invitation.",
        takes=InvitationBody,
        gives=NewInvitationView,
        status=201,
        errors=("bucket_not_found", "bucket_ambiguous", "bucket_forbidden"),
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(InvitationBody, await read_json(request))
        command = Invite(body.bucket_id, body.permissions, body.expires_in_hours)
        new = await commands.invite(self.db, caller.user, command, now=self.clock(), random=self.random)
        return show(NewInvitationView(**show_invitation(new.invitation), code=new.code), status=201)

    @describes("List one's invitations", query=PageQuery, gives=InvitationsView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(PageQuery, request)
        page = await commands.list_invitations(self.db, caller.user, before=query.place, limit=query.limit)
        shown = [show_invitation(invitation) for invitation in page.invitations]
        return show(InvitationsView(invitations=shown, nextCursor=shown[-1]["id"] if page.more else None))

    @describes(
        "Delete an invitation",
        detail="Its code is worthless at once.",
        status=204,
        errors=("invitation_not_found",),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await commands.delete_invitation(self.db, caller.user, request.match_info["id"].lower())
        return nothing()

    @describes(
        "Accept an invitation to a bucket",
        detail="With an account; without one, register with the code.",
        takes=AcceptBody,
        gives=BucketView,
        errors=("invitation_invalid", "member_exists"),
    )
    async def accept(self, request: web.Request, caller: Caller) -> web.Response:
        code = read(AcceptBody, await read_json(request)).code
        return show(show_bucket(await commands.accept(self.db, caller.user, code, now=self.clock())))


def show_invitation(invitation: Invitation) -> InvitationView:
    accepted_at = invitation.accepted_at
    return InvitationView(
        id=invitation.id,
        bucketId=invitation.bucket_id,
        permissions=show_permissions(invitation.permissions),
        createdAt=show_time(invitation.created_at),
        expiresAt=show_time(invitation.expires_at),
        acceptedAt=show_when(accepted_at),
        acceptedBy=invitation.accepted_by,
    )
