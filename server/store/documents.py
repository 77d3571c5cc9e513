"""Documents as a tenant's own servers see them: by key, with the access list of each."""

from collections.abc import Sequence

from server.domain.document import Document
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes

_VALUES_AT_ONCE = 250


async def find_document(tx: Transaction, tenant_id: str, key: str) -> Document | None:
    """Return a tenant's document by its key."""
    row = await tx.one("SELECT * FROM documents WHERE tenant_id = $1 AND key = $2", tenant_id, key)
    return None if row is None else _document_of(row)


async def add_document(tx: Transaction, document: Document) -> bool:
    """Store a document; False where its tenant has one of that key."""
    written = await tx.run(
        "INSERT INTO documents (id, tenant_id, key, name, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (tenant_id, key) DO NOTHING",
        document.id,
        document.tenant_id,
        document.key,
        document.name,
        document.created_at,
    )
    return written == 1


async def ensure_document(tx: Transaction, document: Document) -> Document:
    """Return the document of that key, stored where its tenant has none; of two who do so at once both get the one that is there.

    Nobody deletes it until the end of the transaction.
    """
    while not await add_document(tx, document):
        found = await hold_document(tx, document.tenant_id, document.key)
        if found is not None:  # else it was deleted in between
            return found
    return document


async def hold_document(tx: Transaction, tenant_id: str, key: str) -> Document | None:
    """Return a tenant's document by its key, which nobody deletes until the end of the transaction."""
    row = await tx.one(
        "SELECT * FROM documents WHERE tenant_id = $1 AND key = $2 FOR KEY SHARE", tenant_id, key
    )
    return None if row is None else _document_of(row)


async def list_documents(tx: Transaction, tenant_id: str, *, after: str, limit: int) -> list[Document]:
    """Return a tenant's documents by key, from the one after `after` on."""
    rows = await tx.all(
        "SELECT * FROM documents WHERE tenant_id = $1 AND key > $2 AND key NOT LIKE ' %' ORDER BY key LIMIT $3",
        tenant_id,
        after,
        limit,
    )
    return [_document_of(row) for row in rows]


async def name_document(tx: Transaction, tenant_id: str, key: str, name: str | None) -> bool:
    """Write what people are shown as a document's name; False where it is not there."""
    written = await tx.run(
        "UPDATE documents SET name = $3 WHERE tenant_id = $1 AND key = $2", tenant_id, key, name
    )
    return written == 1


async def close_document(tx: Transaction, tenant_id: str, key: str) -> str | None:
    """Take a document away from everybody, and free its key: no key that anybody may give begins with a space. Return its id.

    Who had access to it, and what was sent about it, is still there.
    """
    row = await tx.one(
        "UPDATE documents SET key = ' ' || id, name = NULL WHERE tenant_id = $1 AND key = $2 RETURNING id",
        tenant_id,
        key,
    )
    return None if row is None else str(row["id"])


async def detach(tx: Transaction, document_id: str, limit: int) -> int:
    """Take at most so many users off a document's access list, and have as many messages be about none; return how many at the most."""
    taken_off = await tx.run(
        "DELETE FROM document_access WHERE document_id = $1 AND user_id IN"
        " (SELECT user_id FROM document_access WHERE document_id = $1 ORDER BY user_id LIMIT $2)",
        document_id,
        limit,
    )
    about_none = await tx.run(
        "UPDATE subjects SET document_id = NULL WHERE message_id IN"
        " (SELECT message_id FROM subjects WHERE document_id = $1 ORDER BY message_id LIMIT $2)",
        document_id,
        limit,
    )
    return max(taken_off, about_none)


async def delete_document(tx: Transaction, document_id: str) -> None:
    """Delete a document. What was sent about it in this moment is about none."""
    await tx.run("DELETE FROM documents WHERE id = $1", document_id)


async def add_access(
    tx: Transaction, document_id: str, user_ids: Sequence[str], fields: Sequence[tuple[str, str]], now: int
) -> None:
    """Put users on a document's access list, with access to these values of its fields besides those that they have.

    Who was deleted, or is in this moment, does not come onto it.
    """
    for chunk in chunks(sorted(set(user_ids))):
        await tx.run(
            "INSERT INTO document_access (document_id, user_id, created_at) SELECT $1, u.id, $2 FROM users u"
            f" WHERE u.id IN ({holes(len(chunk), after=2)}) AND u.deleted_at IS NULL ORDER BY u.id"
            " FOR KEY SHARE OF u ON CONFLICT DO NOTHING",
            document_id,
            now,
            *chunk,
        )
        await _add_fields(tx, document_id, chunk, sorted(set(fields)))


async def _add_fields(
    tx: Transaction, document_id: str, user_ids: Sequence[str], fields: Sequence[tuple[str, str]]
) -> None:
    """Give those of the users who are on the access list access to values of fields, however many at a time."""
    for start in range(0, len(fields), _VALUES_AT_ONCE):
        some = fields[start : start + _VALUES_AT_ONCE]
        first = 1 + len(user_ids)
        pairs = ", ".join(
            f"(CAST(${first + 2 * i + 1} AS TEXT), CAST(${first + 2 * i + 2} AS TEXT))"
            for i in range(len(some))
        )
        await tx.run(
            "INSERT INTO document_fields (document_id, user_id, field, value)"
            " SELECT a.document_id, a.user_id, f.column1, f.column2 FROM document_access a"
            f" CROSS JOIN (VALUES {pairs}) AS f WHERE a.document_id = $1"
            f" AND a.user_id IN ({holes(len(user_ids), after=1)}) ORDER BY a.user_id, f.column1, f.column2"
            " FOR KEY SHARE OF a ON CONFLICT DO NOTHING",
            document_id,
            *user_ids,
            *(text for pair in some for text in pair),
        )


def _document_of(row: Row) -> Document:
    return Document(row["id"], row["tenant_id"], row["key"], row["name"], row["created_at"])
