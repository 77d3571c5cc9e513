"""Documents' access lists: who is on them, with access to which values, and taken off. They are put on by `documents.add_access`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from server.domain.document import Access
from server.domain.ports import Transaction
from server.store.dialect import chunks, holes

_PAIRS_AT_ONCE = 250


async def lock_listed(tx: Transaction, document_id: str, user_ids: Sequence[str]) -> set[str]:
    """Return who of some users is on a document's access list; nobody else changes their access until the end of the transaction."""
    found: set[str] = set()
    for chunk in chunks(sorted(set(user_ids))):
        rows = await tx.all(
            "SELECT user_id FROM document_access WHERE document_id = $1"
            f" AND user_id IN ({holes(len(chunk), after=1)}) ORDER BY user_id FOR UPDATE",
            document_id,
            *chunk,
        )
        found.update(row["user_id"] for row in rows)
    return found


async def remove_access(tx: Transaction, document_id: str, user_ids: Sequence[str]) -> None:
    """Take users off a document's access list."""
    for chunk in chunks(sorted(set(user_ids))):
        some = holes(len(chunk), after=1)
        await tx.run(
            f"DELETE FROM document_access WHERE document_id = $1 AND user_id IN ({some})", document_id, *chunk
        )


async def remove_fields(
    tx: Transaction, document_id: str, user_ids: Sequence[str], fields: Sequence[tuple[str, str]]
) -> None:
    """Take from users their access to these values of a document's fields."""
    for chunk in chunks(sorted(set(user_ids))):
        for start in range(0, len(fields), _PAIRS_AT_ONCE):
            some = fields[start : start + _PAIRS_AT_ONCE]
            first = 1 + len(chunk)
            pairs = ", ".join(f"(${first + 2 * i + 1}, ${first + 2 * i + 2})" for i in range(len(some)))
            await tx.run(
                f"DELETE FROM document_fields WHERE document_id = $1 AND user_id IN ({holes(len(chunk), after=1)})"
                f" AND (field, value) IN (VALUES {pairs})",
                document_id,
                *chunk,
                *(text for pair in some for text in pair),
            )


async def list_access(tx: Transaction, document_id: str, *, after: str, limit: int) -> list[Access]:
    """Return who is on a document's access list by user id, from the one after `after` on."""
    rows = await tx.all(
        "SELECT p.user_id, COALESCE(u.external_id, u.id) AS name, p.created_at FROM (SELECT user_id, created_at"
        " FROM document_access WHERE document_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3) p"
        " JOIN users u ON u.id = p.user_id ORDER BY p.user_id",
        document_id,
        after,
        limit,
    )
    values = await _values(tx, document_id, [row["user_id"] for row in rows])
    return [
        Access(row["user_id"], row["name"], values.get(row["user_id"], {}), row["created_at"]) for row in rows
    ]


async def _values(
    tx: Transaction, document_id: str, user_ids: Sequence[str]
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return by user and field the values to which users have access."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for chunk in chunks(user_ids):
        rows = await tx.all(
            "SELECT user_id, field, value FROM document_fields WHERE document_id = $1"
            f" AND user_id IN ({holes(len(chunk), after=1)}) ORDER BY user_id, field, value",
            document_id,
            *chunk,
        )
        for row in rows:
            found[row["user_id"]][row["field"]].append(row["value"])
    return found
