"""Templates, and notifications that are made from them. Changing or deleting one changes nothing that was sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.commands.acting import ensure_meant
from server.commands.send import Sender, Sent, in_turn, write
from server.domain.account import Caller
from server.domain.delivery import Channel
from server.domain.errors import Conflict, Fault, NotFound
from server.domain.ids import new_id
from server.domain.message import (
    LONGEST_TTL,
    NO_OPTIONS,
    Action,
    ActionType,
    Category,
    DeliveryType,
    SendMessage,
)
from server.domain.pages import Numbered
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.domain.subject import Subject
from server.domain.template import Filled, Template, Value, fill
from server.store import templates
from server.store.entries import only_item

ACTIONABLE = "actionable"
"""The word of a subject's details: whether something is to be done about it."""


@dataclass(frozen=True)
class CreateTemplate:
    """`channels` has no repetitions."""

    key: str
    label: str | None
    title: str
    body: str
    channels: tuple[Channel, ...]
    actionable: bool


@dataclass(frozen=True)
class Notify:
    """A notification of a template for one user, by any of their names; a name that nobody has makes a user."""

    template_key: str
    user: str
    entity_type: str
    entity_id: str
    values: Mapping[str, Value]
    url: str | None  # where a tap leads
    data: Mapping[str, Any] | None  # for the app


@dataclass(frozen=True)
class Notified(Sent):
    """`item_id` is of the user's entry, None where there is none: they do not want it, or the template is not for inboxes."""

    item_id: str | None = None
    subject: Subject | None = None


async def create_template(
    db: Database, caller: Caller, tenant: str, command: CreateTemplate, *, now: int, random: Random
) -> Template:
    """Make a template of the tenant of a name, which is made where there is none; Conflict where it has one of that key, NotFound."""

    async def job(tx: Transaction) -> Template:
        template = Template(
            id=new_id(now, random),
            tenant_id=await ensure_meant(tx, caller, tenant, makes=True, now=now, random=random),
            key=command.key,
            label=command.label,
            title=command.title,
            body=command.body,
            channels=command.channels,
            actionable=command.actionable,
            created_at=now,
            updated_at=None,
        )
        await templates.add_template(tx, template)
        return template

    try:
        return await db.write(job)
    except NotUnique:
        raise _taken() from None


async def list_templates(db: Database, tenant_id: str, *, offset: int, limit: int) -> Numbered[Template]:
    """Return a tenant's templates by key, from the one at an offset on."""

    async def job(tx: Transaction) -> Numbered[Template]:
        found = await templates.list_templates(tx, tenant_id, offset=offset, limit=limit + 1)
        return Numbered(found[:limit], len(found) > limit, await templates.count_templates(tx, tenant_id))

    return await db.read(job)


async def find_templates(db: Database, tenant_id: str, key: str) -> Sequence[Template]:
    """Return the template of a key; none where there is none."""
    found = await db.read(lambda tx: templates.find_template_by_key(tx, tenant_id, key))
    return [] if found is None else [found]


async def get_template(db: Database, tenant_id: str, template_id: str) -> Template:
    """Return a template of a tenant; NotFound."""
    return _there(await db.read(lambda tx: templates.find_template(tx, tenant_id, template_id)))


async def change_template(
    db: Database, tenant_id: str, template_id: str, change: Callable[[Template], Template], *, now: int
) -> Template:
    """Change a template of a tenant and return it; NotFound, Conflict where another one has the key."""

    async def job(tx: Transaction) -> Template:
        found = _there(await templates.find_template(tx, tenant_id, template_id, lock=True))
        changed = replace(change(found), updated_at=now)
        await templates.change_template(tx, changed)
        return changed

    try:
        return await db.write(job)
    except NotUnique:
        raise _taken() from None


async def delete_template(db: Database, tenant_id: str, template_id: str) -> None:
    """Delete a template of a tenant; NotFound."""
    if not await db.write(lambda tx: templates.drop_template(tx, tenant_id, template_id)):
        raise _no_template()


async def notify(sender: Sender, caller: Caller, command: Notify, *, now: int) -> Notified:
    """Send what a template makes of values, for who manages the caller's tenant.

    NotFound for an unknown template, Invalid where the values do not do; nothing is made then.
    """

    async def job(tx: Transaction, turn: int) -> Notified:
        found = await templates.find_template_by_key(tx, caller.tenant_id, command.template_key)
        template = _there(found)
        subject = _subject(template, command)
        message = _message(template, fill(template, command.values), command, subject)
        sent = await write(tx, sender, caller, message, turn=turn, now=now)
        item_id = await only_item(tx, sent.message.id)
        return Notified(sent.message, sent.repeated, sent.deliveries, item_id, subject)

    return await in_turn(sender, caller.tenant_id, job, now)


def _subject(template: Template, command: Notify) -> Subject:
    return Subject(
        template_key=template.key,
        label=template.label,
        entity_type=command.entity_type,
        entity_id=command.entity_id,
        details={ACTIONABLE: template.actionable},
    )


def _message(template: Template, filled: Filled, command: Notify, subject: Subject) -> SendMessage:
    return SendMessage(
        bucket=None,
        topic=None,
        title=filled.title,
        subtitle=None,
        body=filled.body or None,
        delivery_type=DeliveryType.NORMAL,
        user_ids=(command.user,),
        makes_users=True,
        everyone=False,
        exclude=(),
        within=None,
        subject=subject,
        channels=template.channels,
        category=Category.TRANSACTIONAL,
        data=command.data,
        deep_link=None,
        collapse_id=None,
        group_id=None,
        sound=None,
        locale=None,
        attachments=(),
        actions=(),
        tap_action=_tap(command.url),
        snoozes=(),
        postpones=(),
        tags=(),
        options=NO_OPTIONS,
        send_at=None,
        ttl=LONGEST_TTL,
    )


def _tap(url: str | None) -> Action | None:
    return None if url is None else Action(ActionType.NAVIGATE, url, None, None, destructive=False)


def _there(template: Template | None) -> Template:
    if template is None:
        raise _no_template()
    return template


def _no_template() -> NotFound:
    return NotFound("no such template", code="template_not_found")


def _taken() -> Conflict:
    fault = Fault("key", "is the key of another template", "change that template, or choose another key")
    return Conflict("there is a template of this key", code="template_exists", faults=[fault])
