"""An organization's users: `POST /v2/organizations/users/{add,remove,get}`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from server.api.bodies import Body, Time, items, note
from server.api.describe import describes
from server.api.pages import PAGE
from server.api.subscribers import name_of
from server.commands import enrolling
from server.commands.enrolling import UserPage
from server.dialects.velt.fields import MESSAGE, SUCCESS, UserBody, UserId
from server.dialects.velt.lists import (
    MOST_AT_ONCE,
    TOKEN,
    PageSize,
    PageToken,
)
from server.dialects.velt.organizations import OrganizationBody
from server.dialects.velt.results import VeltResultsAnswer, show_results
from server.dialects.velt.rpc import Call
from server.domain.account import User
from server.domain.mention import full_name
from server.domain.ports import Database, Random
from server.domain.times import show_time


class NamedUserBody(Body, frozen=True, kw_only=True):
    """A user."""

    user_id: UserId


class AddUsersBody(OrganizationBody, frozen=True, kw_only=True):
    """Users who are to be made, or changed."""

    users: Annotated[
        tuple[UserBody, ...],
        items("The users; who is there already keeps what is left out.", least=1, most=MOST_AT_ONCE),
    ]


class RemoveUsersBody(OrganizationBody, frozen=True, kw_only=True):
    """Users who are to be deleted."""

    users: Annotated[tuple[NamedUserBody, ...], items("The users.", least=1, most=MOST_AT_ONCE)]


class GetUsersBody(OrganizationBody, frozen=True, kw_only=True):
    """Which users are asked for."""

    page_size: PageSize = PAGE
    page_token: PageToken | None = None
    users: (
        Annotated[
            tuple[NamedUserBody, ...],
            items("Only these, as far as they are there; left out: all.", least=1, most=MOST_AT_ONCE),
        ]
        | None
    ) = None


class AddUsersRequest(Body, frozen=True, kw_only=True):
    """Users to make, or change."""

    data: Annotated[AddUsersBody, note("The users.")]


class RemoveUsersRequest(Body, frozen=True, kw_only=True):
    """Users to delete."""

    data: Annotated[RemoveUsersBody, note("The users.")]


class GetUsersRequest(Body, frozen=True, kw_only=True):
    """Users to show."""

    data: Annotated[GetUsersBody, note("Which ones.")]


class OrganizationUserView(TypedDict):
    """A user of an organization."""

    userId: UserId
    name: Annotated[str | None, note("Their name.")]
    email: Annotated[str | None, note("Their email address.")]
    createdAt: Annotated[Time, note("When they were made here.")]


class OrganizationUsersView(TypedDict):
    """A page of an organization's users."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[list[OrganizationUserView], note("The users, the oldest first.")]
    pageToken: Annotated[str | None, TOKEN]


class OrganizationUsersAnswer(TypedDict):
    """The answer with users."""

    result: Annotated[OrganizationUsersView, note("The users.")]


@dataclass(frozen=True)
class People:
    """`wake` has workers look for what is to be done."""

    db: Database
    random: Random
    wake: Callable[[], None]

    @describes(
        "Add users to an organization",
        detail="Each for itself: made, or changed where they are there already. Of a name what stands before the first space is the first"
        " name. An address that another user has is refused, and one that would be another one of an admin's.",
        takes=AddUsersRequest,
        gives=VeltResultsAnswer,
        errors=("tenant_not_found",),
    )
    async def add(self, call: Call[AddUsersRequest]) -> VeltResultsAnswer:
        body = call.body.data
        outcomes = await enrolling.put_users(
            self.db,
            await call.organization(body.organization_id),
            [user.mention for user in body.users],
            now=call.now,
            random=self.random,
        )
        return VeltResultsAnswer(
            result=show_results("Users added successfully.", "User added successfully.", outcomes)
        )

    @describes(
        "Remove users from an organization",
        detail="Each for itself, with their devices, inbox, preferences, access and tokens: nothing that is theirs alone is left. What"
        " others were sent stays as it reads; of who had or caused it the id alone is shown. The account of an admin is refused.",
        takes=RemoveUsersRequest,
        gives=VeltResultsAnswer,
        errors=("tenant_not_found",),
    )
    async def remove(self, call: Call[RemoveUsersRequest]) -> VeltResultsAnswer:
        body = call.body.data
        outcomes = await enrolling.remove_users(
            self.db,
            await call.organization(body.organization_id),
            list(dict.fromkeys(user.user_id for user in body.users)),
            now=call.now,
            random=self.random,
            wake=self.wake,
        )
        return VeltResultsAnswer(
            result=show_results("Users removed successfully.", "User removed successfully.", outcomes)
        )

    @describes(
        "Get an organization's users",
        detail="In the order in which they were made, whichever API made them: who is made meanwhile comes last.",
        takes=GetUsersRequest,
        gives=OrganizationUsersAnswer,
        errors=("tenant_not_found",),
    )
    async def get(self, call: Call[GetUsersRequest]) -> OrganizationUsersAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        if body.users is not None:
            names = list(dict.fromkeys(user.user_id for user in body.users))
            found = await enrolling.find_users(self.db, tenant_id, names)
            return _show_page(UserPage(found, more=False))
        page = await enrolling.list_users(
            self.db, tenant_id, after=body.page_token or "", limit=body.page_size
        )
        return _show_page(page)


def _show_page(page: UserPage) -> OrganizationUsersAnswer:
    return OrganizationUsersAnswer(
        result=OrganizationUsersView(
            status="success",
            message="Users retrieved successfully.",
            data=[_show(user) for user in page.users],
            pageToken=page.users[-1].id if page.more else None,
        )
    )


def _show(user: User) -> OrganizationUserView:
    return OrganizationUserView(
        userId=name_of(user),
        name=full_name(user.profile),
        email=user.email,
        createdAt=show_time(user.created_at),
    )
