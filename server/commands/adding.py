"""Adding a notification about a document: the tenant, the document, its users and the message, in one transaction.

An app that gives it an id of its own may ask again: the same request is carried out once, another one under that id is refused. Of two
requests at the same moment the second one to be written finds that the id is taken, and is judged anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.commands.acting import ensure_meant
from server.commands.mentions import ensure_mentioned, render_headline
from server.commands.send import Sender, Sent, in_turn, write
from server.domain.account import Acting, Caller
from server.domain.audience import Within
from server.domain.document import Document
from server.domain.errors import Conflict, NotFound, invalid
from server.domain.headline import Headline, wrong_headline
from server.domain.ids import new_id
from server.domain.mention import Mention
from server.domain.message import SendMessage
from server.domain.notification import named
from server.domain.ports import NotUnique, Random, Transaction
from server.domain.subject import MEANT, Subject
from server.store import accounts, documents, notifications

_TRIES = 5  # of a request whose id is taken, and given up again, by others while it is carried out


@dataclass(frozen=True)
class AddNotification:
    """What to add. `actor` is who has done something: the sender, who does not get it; `meant` are those whom it concerns.

    `listed`: only who is on the document's access list gets it; `fields`: only who has access to all of these values. `headline` None:
    the texts are asked for. `headline_path` is where the request has it. `message` is the rest of it, with `everyone` where all of the
    tenant get it and not just those who are meant.
    """

    tenant: str
    makes_tenant: bool
    document: str
    makes_document: bool
    actor: Mention
    meant: Sequence[Mention]
    listed: bool
    fields: tuple[tuple[str, str], ...]
    name: str | None
    fingerprint: bytes | None
    headline: Headline | None
    headline_path: str
    details: Mapping[str, Any] = field(repr=False)
    message: SendMessage


async def add_notification(sender: Sender, caller: Caller, command: AddNotification, *, now: int) -> Sent:
    """Add a notification; NotFound for a tenant or a document that is not there, Conflict for an id that is another one's, Invalid."""
    flow = caller.tenant_id or command.tenant  # what a tenant's own servers send takes one turn

    async def job(tx: Transaction, turn: int) -> Sent:
        return await _add(tx, sender, caller, command, turn, now)

    for _ in range(_TRIES):
        try:
            return await in_turn(sender, flow, job, now)
        except NotUnique as taken:
            if command.name is None or "subjects" not in taken.constraint:
                raise
    raise _exists()


async def _add(
    tx: Transaction, sender: Sender, caller: Caller, command: AddNotification, turn: int, now: int
) -> Sent:
    tenant_id = await ensure_meant(
        tx, caller, command.tenant, makes=command.makes_tenant, now=now, random=sender.random
    )
    earlier = await _earlier(tx, tenant_id, command)
    if earlier is not None:
        return earlier
    document, is_new = await _document(tx, tenant_id, command, now, sender.random)
    ids = await ensure_mentioned(tx, tenant_id, [command.actor, *command.meant], now, sender.random)
    actor = await _acting(tx, caller, command, tenant_id, ids.get(command.actor.key, ""))
    if is_new:
        await documents.add_access(tx, document.id, [actor.user.id], (), now)
    meant = _meant(command, ids, but=actor.user.id)
    message = replace(
        command.message,
        title=await _title(tx, tenant_id, command),
        user_ids=None if command.message.everyone else tuple(meant.values()),
        makes_users=True,
        exclude=(command.actor.key,),
        within=Within(document.id, command.listed, command.fields)
        if command.listed or command.fields
        else None,
        subject=_subject(command, document, list(meant)),
    )
    return await write(tx, sender, actor, message, turn=turn, now=now)


async def _earlier(tx: Transaction, tenant_id: str, command: AddNotification) -> Sent | None:
    """Return what the same request has added before; Conflict where another one has."""
    if command.name is None:
        return None
    found = named(command.name, await notifications.find_sent(tx, tenant_id, [command.name], None))
    if found is None:
        return None
    subject = found.subject
    if subject is None or (subject.name, subject.fingerprint) != (command.name, command.fingerprint):
        raise _exists()
    return Sent(found.message, repeated=True)


async def _document(
    tx: Transaction, tenant_id: str, command: AddNotification, now: int, random: Random
) -> tuple[Document, bool]:
    """Return the document, which nobody deletes meanwhile, and whether it was made for this."""
    found = await documents.hold_document(tx, tenant_id, command.document)
    if found is not None:
        return found, False
    if not command.makes_document:
        raise NotFound("no such document", code="document_not_found")
    made = Document(new_id(now, random), tenant_id, command.document, None, now)
    document = await documents.ensure_document(tx, made)
    return document, document.id == made.id


async def _title(tx: Transaction, tenant_id: str, command: AddNotification) -> str | None:
    """Return the headline as it is shown; Invalid where it cannot be."""
    if command.headline is None:
        return None
    title = await render_headline(tx, tenant_id, command.headline)
    wrong = wrong_headline(title)
    if wrong is not None:
        raise invalid(command.headline_path, *wrong)
    return title


async def _acting(
    tx: Transaction, caller: Caller, command: AddNotification, tenant_id: str, actor_id: str
) -> Caller:
    """Return the caller in the name of who has done it."""
    user = await accounts.load_user(tx, actor_id)
    if user is None:
        raise Conflict("the acting user was deleted in this moment; ask again")
    acting = Acting(command.tenant, tenant_id, command.actor.key, known=True)
    return replace(caller, user=user, acting=acting)


def _meant(command: AddNotification, ids: Mapping[str, str], *, but: str) -> dict[str, str]:
    """Return whom it concerns, each once: the id and a name of theirs."""
    found: dict[str, str] = {}
    for one in command.meant:
        if one.key in ids and ids[one.key] != but:
            found.setdefault(ids[one.key], one.key)
    return found


def _subject(command: AddNotification, document: Document, meant: Sequence[str]) -> Subject:
    return Subject(
        document_id=document.id,
        name=command.name,
        fingerprint=command.fingerprint,
        details={**command.details, MEANT: meant},
    )


def _exists() -> Conflict:
    return Conflict("another notification has this id", code="notification_exists")
