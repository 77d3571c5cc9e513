"""`templates`: what a tenant's notifications say."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from msgspec import UNSET, UnsetType

from server.api.bodies import Body, Id, Time, items, note, text
from server.api.describe import describes
from server.api.pages import PAGE
from server.commands import templates
from server.commands.templates import CreateTemplate
from server.dialects.aptly.fields import (
    Category,
    Limit,
    Page,
    PagedView,
    TemplateKey,
    TenantId,
    TenantQuery,
    offset_of,
    show_page,
)
from server.dialects.aptly.rest import Call, Envelope, NothingAnswer
from server.domain import rules
from server.domain.account import DEFAULT_TENANT, Caller
from server.domain.delivery import Channel
from server.domain.pages import Numbered
from server.domain.ports import Database, Random
from server.domain.template import CHANNELS, LONGEST_TEMPLATE_BODY, LONGEST_TEMPLATE_TITLE, Template
from server.domain.times import show_time, show_when

Title = Annotated[
    str,
    text(
        "Its title, with placeholders like {{name}}.",
        most=LONGEST_TEMPLATE_TITLE,
        rule=rules.prose,
        examples=["Delegation Issued"],
    ),
]
Message = Annotated[
    str,
    text(
        "Its text, with placeholders like {{name}}.",
        most=LONGEST_TEMPLATE_BODY,
        rule=rules.prose,
        examples=["Delegation {{delegation_id}} was issued to you. Click to review."],
    ),
]
Channels = Annotated[tuple[Channel, ...], items("How its notifications travel.", least=1, most=len(Channel))]
Actionable = Annotated[bool, note("Whether something is to be done about its notifications.")]
_ERRORS = ("tenant_not_found", "template_not_found")


class AptlyTemplateBody(Body, frozen=True, kw_only=True):
    """A template that is to be made."""

    tenant_id: TenantId
    key: TemplateKey
    category: Category | None = None
    title: Title
    message: Message
    channels: Channels = CHANNELS
    actionable: Actionable = False


class AptlyTemplateChangeBody(Body, frozen=True, kw_only=True):
    """What is to be different about a template; what is left out stays as it is."""

    key: TemplateKey | UnsetType = UNSET
    category: Category | UnsetType | None = UNSET
    title: Title | UnsetType = UNSET
    message: Message | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    actionable: Actionable | UnsetType = UNSET

    def of(self, template: Template) -> Template:
        """Return the template as it is afterwards."""
        given = {
            "key": self.key,
            "label": self.category,
            "title": self.title,
            "body": self.message,
            "channels": self.channels if isinstance(self.channels, UnsetType) else _once(self.channels),
            "actionable": self.actionable,
        }
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not UNSET}
        return replace(template, **changed)


class AptlyTemplatesQuery(TenantQuery, frozen=True, kw_only=True):
    """Which of a tenant's templates."""

    page: Page = 1
    limit: Limit = PAGE
    key: TemplateKey | None = None


class AptlyTemplateView(TypedDict):
    """A template."""

    id: Id
    tenantId: Annotated[str, note("The tenant, as your servers name it.")]
    key: Annotated[str, note("By which notifications name it.")]
    category: Annotated[str | None, note("What its notifications are sorted under.")]
    title: Annotated[str, note("Its title, with placeholders.")]
    message: Annotated[str, note("Its text, with placeholders.")]
    placeholders: Annotated[list[str], note("What has to be put into it.")]
    channels: Annotated[list[Channel], note("How its notifications travel.")]
    actionable: Annotated[bool, note("Whether something is to be done about its notifications.")]
    createdAt: Annotated[Time, note("When it was made.")]
    updatedAt: Annotated[Time | None, note("When it was last changed.")]


class AptlyTemplateAnswer(Envelope):
    """A template."""

    data: Annotated[AptlyTemplateView, note("The template.")]


class AptlyTemplatesView(PagedView):
    """Templates of a tenant."""

    data: Annotated[list[AptlyTemplateView], note("The templates, by key.")]


class AptlyTemplatesAnswer(Envelope):
    """Templates of a tenant."""

    data: Annotated[AptlyTemplatesView, note("The page.")]


@dataclass(frozen=True)
class AptlyTemplates:
    db: Database
    random: Random

    @describes(
        "Create a template",
        detail="A tenant that is named for the first time is made.",
        takes=AptlyTemplateBody,
        gives=AptlyTemplateAnswer,
        status=201,
        errors=("tenant_not_found", "template_exists"),
    )
    async def create(self, call: Call) -> AptlyTemplateView:
        body = await call.body(AptlyTemplateBody)
        manager = await call.manager(body.tenant_id, "tenantId")
        template = await templates.create_template(
            self.db, manager, body.tenant_id, _command(body), now=call.now, random=self.random
        )
        return _show(body.tenant_id, template)

    @describes(
        "List a tenant's templates",
        detail="By key; with `key` the one of that key, or none.",
        query=AptlyTemplatesQuery,
        gives=AptlyTemplatesAnswer,
        errors=("tenant_not_found",),
    )
    async def list(self, call: Call) -> AptlyTemplatesView:
        query = call.query(AptlyTemplatesQuery)
        manager = await call.manager(query.tenant_id)
        page = await self._page(manager, query)
        rows = [_show(_tenant(manager), template) for template in page.rows]
        return AptlyTemplatesView(**show_page(query, page.total), data=rows)

    @describes("Get a template", query=TenantQuery, gives=AptlyTemplateAnswer, errors=_ERRORS)
    async def get(self, call: Call) -> AptlyTemplateView:
        manager = await self._manager(call)
        return _show(_tenant(manager), await templates.get_template(self.db, manager.tenant_id, call.id))

    @describes(
        "Change a template",
        detail="What was sent stays as it is.",
        takes=AptlyTemplateChangeBody,
        query=TenantQuery,
        gives=AptlyTemplateAnswer,
        errors=("template_exists", *_ERRORS),
    )
    async def change(self, call: Call) -> AptlyTemplateView:
        body = await call.body(AptlyTemplateChangeBody)
        manager = await self._manager(call)
        template = await templates.change_template(self.db, manager.tenant_id, call.id, body.of, now=call.now)
        return _show(_tenant(manager), template)

    @describes(
        "Delete a template",
        detail="What was sent stays as it is.",
        query=TenantQuery,
        gives=NothingAnswer,
        errors=_ERRORS,
    )
    async def delete(self, call: Call) -> None:
        manager = await self._manager(call)
        await templates.delete_template(self.db, manager.tenant_id, call.id)

    async def _manager(self, call: Call) -> Caller:
        return await call.manager(call.query(TenantQuery).tenant_id)

    async def _page(self, manager: Caller, query: AptlyTemplatesQuery) -> Numbered[Template]:
        if query.key is None:
            return await templates.list_templates(
                self.db, manager.tenant_id, offset=offset_of(query), limit=query.limit
            )
        found = await templates.find_templates(self.db, manager.tenant_id, query.key)
        return Numbered(found[offset_of(query) :], more=False, total=len(found))


def _command(body: AptlyTemplateBody) -> CreateTemplate:
    return CreateTemplate(
        key=body.key,
        label=body.category,
        title=body.title,
        body=body.message,
        channels=_once(body.channels),
        actionable=body.actionable,
    )


def _show(tenant: str, template: Template) -> AptlyTemplateView:
    return AptlyTemplateView(
        id=template.id,
        tenantId=tenant,
        key=template.key,
        category=template.label,
        title=template.title,
        message=template.body,
        placeholders=template.placeholders,
        channels=list(template.channels),
        actionable=template.actionable,
        createdAt=show_time(template.created_at),
        updatedAt=show_when(template.updated_at),
    )


def _once(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    return tuple(dict.fromkeys(channels))


def _tenant(manager: Caller) -> str:
    return DEFAULT_TENANT if manager.acting is None else manager.acting.tenant
