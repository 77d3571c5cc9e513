"""Organizations: `POST /v2/organizations/{add,get,update,delete}`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from msgspec import UNSET, UnsetType

from server.api.bodies import Body, Time, note, text
from server.api.describe import describes
from server.api.pages import PAGE
from server.commands import tenants
from server.commands.tenants import TenantPage
from server.dialects.velt.fields import MESSAGE, SUCCESS, DoneAnswer, OrganizationId, done
from server.dialects.velt.lists import TOKEN, PageSize, PageToken
from server.dialects.velt.rpc import Call
from server.domain.account import LONGEST_NAME
from server.domain.ports import Database, Random
from server.domain.tenant import Tenant
from server.domain.times import show_time

_NAME = text("The organization's name, for people.", most=LONGEST_NAME, examples=["Example Analytics"])


class OrganizationBody(Body, frozen=True, kw_only=True):
    """An organization."""

    organization_id: OrganizationId


class AddOrganizationBody(OrganizationBody, frozen=True, kw_only=True):
    """An organization that is to be made."""

    name: Annotated[str, _NAME] | None = None


class UpdateOrganizationBody(OrganizationBody, frozen=True, kw_only=True):
    """What is to be different about an organization; what is left out stays as it is, null clears."""

    name: Annotated[str, _NAME] | UnsetType | None = UNSET


class GetOrganizationsBody(Body, frozen=True, kw_only=True):
    """Which organizations are asked for."""

    page_size: PageSize = PAGE
    page_token: PageToken | None = None
    organization_id: (
        Annotated[str, text("The only one; left out: all that the token is good for.", most=LONGEST_NAME)]
        | None
    ) = None


class OrganizationRequest(Body, frozen=True, kw_only=True):
    """An organization."""

    data: Annotated[OrganizationBody, note("The organization.")]


class AddOrganizationRequest(Body, frozen=True, kw_only=True):
    """An organization to make."""

    data: Annotated[AddOrganizationBody, note("The organization.")]


class UpdateOrganizationRequest(Body, frozen=True, kw_only=True):
    """An organization to change."""

    data: Annotated[UpdateOrganizationBody, note("What is to be different.")]


class GetOrganizationsRequest(Body, frozen=True, kw_only=True):
    """Organizations to show."""

    data: Annotated[GetOrganizationsBody, note("Which ones.")]


class OrganizationView(TypedDict):
    """An organization."""

    organizationId: OrganizationId
    name: Annotated[str | None, note("Its name, for people.")]
    createdAt: Annotated[Time, note("When it was made here.")]


class OrganizationsView(TypedDict):
    """A page of organizations."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[list[OrganizationView], note("The organizations, the oldest first.")]
    pageToken: Annotated[str | None, TOKEN]


class OrganizationsAnswer(TypedDict):
    """The answer with organizations."""

    result: Annotated[OrganizationsView, note("The organizations.")]


@dataclass(frozen=True)
class Organizations:
    """`wake` has workers look for what is to be done."""

    db: Database
    random: Random
    wake: Callable[[], None]

    @describes(
        "Add an organization",
        detail="It is a tenant of this server, which every API knows by the same name.",
        takes=AddOrganizationRequest,
        gives=DoneAnswer,
        errors=("tenant_exists", "tenant_not_found"),
    )
    async def add(self, call: Call[AddOrganizationRequest]) -> DoneAnswer:
        body = call.body.data
        await call.on_behalf(body.organization_id)
        await tenants.add_tenant(self.db, body.organization_id, body.name, now=call.now, random=self.random)
        return done("Organization added successfully.")

    @describes(
        "Get organizations",
        detail="One, or all that the token is good for, in the order in which they were made: one that is made meanwhile comes last.",
        takes=GetOrganizationsRequest,
        gives=OrganizationsAnswer,
        errors=("tenant_not_found",),
    )
    async def get(self, call: Call[GetOrganizationsRequest]) -> OrganizationsAnswer:
        body = call.body.data
        if body.organization_id is None:
            return _show_page(
                await tenants.list_tenants(
                    self.db, call.caller, after=body.page_token or "", limit=body.page_size
                )
            )
        caller = await call.on_behalf(body.organization_id)
        found = await tenants.get_tenant(self.db, caller.tenant_id)
        return _show_page(TenantPage([found], more=False))

    @describes(
        "Update an organization",
        takes=UpdateOrganizationRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found",),
    )
    async def update(self, call: Call[UpdateOrganizationRequest]) -> DoneAnswer:
        body = call.body.data
        caller = await call.on_behalf(body.organization_id)
        if isinstance(body.name, UnsetType):
            await tenants.get_tenant(self.db, caller.tenant_id)
        else:
            await tenants.show_tenant_as(self.db, caller.tenant_id, body.name)
        return done("Organization updated successfully.")

    @describes(
        "Delete an organization",
        detail="With its users, documents, notifications and all that is theirs; tokens that are bound to it are deleted. Its id is free"
        " at once, and what was in it goes within moments, where there is much within hours. A token that is bound to it may not do this, nor"
        " is `default` deleted, which a fresh server has.",
        takes=OrganizationRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found", "tenant_default", "scope_missing"),
    )
    async def delete(self, call: Call[OrganizationRequest]) -> DoneAnswer:
        caller = await call.on_behalf(call.body.data.organization_id)
        await tenants.delete_tenant(self.db, caller, now=call.now, random=self.random, wake=self.wake)
        return done("Organization deleted successfully.")


def _show_page(page: TenantPage) -> OrganizationsAnswer:
    last = page.tenants[-1].id if page.more else None
    return OrganizationsAnswer(
        result=OrganizationsView(
            status="success",
            message="Organizations retrieved successfully.",
            data=[_show(one) for one in page.tenants],
            pageToken=last,
        )
    )


def _show(tenant: Tenant) -> OrganizationView:
    return OrganizationView(
        organizationId=tenant.name, name=tenant.display_name, createdAt=show_time(tenant.created_at)
    )
