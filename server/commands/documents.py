"""Documents: made, named and deleted by a tenant's own servers, with those who have access to each.

Who is named as somebody with access is made where they are not known yet. What was sent about a document that is deleted stays where
it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.commands.enrolling import Outcomes
from server.commands.mentions import ensure_mentioned
from server.commands.people import find_named
from server.commands.tenants import hold
from server.domain.document import Access, Document
from server.domain.errors import Conflict, NotFound, Refusal
from server.domain.ids import new_id
from server.domain.mention import Mention
from server.domain.ports import Database, Random, Transaction
from server.domain.task import Kind, Task
from server.store import access, documents, tasks

_DETACHED_AT_ONCE = 1000  # users, and messages


@dataclass(frozen=True)
class DocumentPage:
    documents: Sequence[Document]
    more: bool


@dataclass(frozen=True)
class AccessPage:
    entries: Sequence[Access]
    more: bool


async def add_document(
    db: Database, tenant_id: str, key: str, name: str | None, *, now: int, random: Random
) -> Document:
    """Make a document; Conflict where there is one of that key, NotFound where there is no tenant."""
    document = Document(new_id(now, random), tenant_id, key, name, now)

    async def job(tx: Transaction) -> bool:
        await hold(tx, tenant_id)
        return await documents.add_document(tx, document)

    if not await db.write(job):
        raise Conflict("there is a document of this id", code="document_exists")
    return document


async def get_document(db: Database, tenant_id: str, key: str) -> Document:
    """Return a document; NotFound."""
    return await db.read(lambda tx: _found(tx, tenant_id, key))


async def list_documents(db: Database, tenant_id: str, *, after: str, limit: int) -> DocumentPage:
    """Return a tenant's documents by key, from the one after `after` on."""
    found = await db.read(lambda tx: documents.list_documents(tx, tenant_id, after=after, limit=limit + 1))
    return DocumentPage(found[:limit], len(found) > limit)


async def name_document(db: Database, tenant_id: str, key: str, name: str | None) -> None:
    """Change what people are shown as a document's name; NotFound."""
    if not await db.write(lambda tx: documents.name_document(tx, tenant_id, key, name)):
        raise _no_document()


async def delete_document(
    db: Database, tenant_id: str, key: str, *, now: int, random: Random, wake: Callable[[], None]
) -> None:
    """Delete a document with its access list: its key is free, and what was sent stays where it is. NotFound.

    Of very much the rest is done by a task: nobody else's requests wait for that.
    """

    async def job(tx: Transaction) -> None:
        document_id = await documents.close_document(tx, tenant_id, key)
        if document_id is None:
            raise _no_document()
        task = Task(new_id(now, random), Kind.DISCARD, None, {"document": document_id}, now, 0, now)
        rest = await discard(tx, task, now, random)
        if rest is not None:
            await tasks.add_task(tx, rest)

    await db.write(job)
    wake()


async def discard(tx: Transaction, task: Task, now: int, _random: Random) -> Task | None:
    """Go on with the end of a document; return the task as it goes on, None where nothing is left."""
    document_id = task.payload["document"]
    if await documents.detach(tx, document_id, _DETACHED_AT_ONCE) == _DETACHED_AT_ONCE:
        return task.at(now)
    await documents.delete_document(tx, document_id)
    return None


async def add_access(
    db: Database,
    tenant_id: str,
    key: str,
    mentions: Sequence[Mention],
    fields: Sequence[tuple[str, str]],
    *,
    now: int,
    random: Random,
) -> None:
    """Put users on a document's access list, with access to these values besides those that they have; NotFound.

    Who is not known yet is made, and who is on the list stays on it.
    """

    async def job(tx: Transaction) -> None:
        await hold(tx, tenant_id)
        document = await _held(tx, tenant_id, key)
        found = await ensure_mentioned(tx, tenant_id, mentions, now, random)
        await documents.add_access(tx, document.id, list(found.values()), fields, now)

    await db.write(job)


async def remove_access(
    db: Database, tenant_id: str, key: str, names: Sequence[str], fields: Sequence[tuple[str, str]] | None
) -> Outcomes:
    """Take users off a document's access list, or with `fields` only their access to these values; NotFound.

    Refused are names that nobody has, and users who are not on the list.
    """

    async def job(tx: Transaction) -> Outcomes:
        document = await _held(tx, tenant_id, key)
        found = await find_named(tx, tenant_id, names)
        listed = await access.lock_listed(tx, document.id, list(found.values()))
        if fields is None:
            await access.remove_access(tx, document.id, sorted(listed))
        else:
            await access.remove_fields(tx, document.id, sorted(listed), fields)
        return {name: _why_not(found.get(name), listed) for name in names}

    return await db.write(job)


async def list_access(db: Database, tenant_id: str, key: str, *, after: str, limit: int) -> AccessPage:
    """Return who is on a document's access list by user id, from the one after `after` on; NotFound."""

    async def job(tx: Transaction) -> list[Access]:
        document = await _found(tx, tenant_id, key)
        return await access.list_access(tx, document.id, after=after, limit=limit + 1)

    found = await db.read(job)
    return AccessPage(found[:limit], len(found) > limit)


def _why_not(user_id: str | None, listed: set[str]) -> Refusal | None:
    if user_id is None:
        return NotFound("no such user", code="user_not_found")
    if user_id not in listed:
        return NotFound("the user is not on the document's access list", code="access_not_found")
    return None


async def _found(tx: Transaction, tenant_id: str, key: str) -> Document:
    found = await documents.find_document(tx, tenant_id, key)
    if found is None:
        raise _no_document()
    return found


async def _held(tx: Transaction, tenant_id: str, key: str) -> Document:
    """Return a document that nobody deletes until the transaction ends; NotFound."""
    found = await documents.hold_document(tx, tenant_id, key)
    if found is None:
        raise _no_document()
    return found


def _no_document() -> NotFound:
    return NotFound("no such document", code="document_not_found")
