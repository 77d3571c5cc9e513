"""What messages are about (`server/domain/subject.py`): written with them, and gone when they are taken back."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from server.domain.message import Message
from server.domain.ports import Row, Transaction
from server.domain.subject import Subject
from server.store.dialect import chunks, holes


async def add_subject(tx: Transaction, message: Message, subject: Subject) -> None:
    """Store what a message is about; NotUnique where its tenant has another one of that name."""
    await tx.run(
        "INSERT INTO subjects (message_id, tenant_id, document_id, name, fingerprint, template_key, label, entity_type,"
        " entity_id, details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        message.id,
        message.tenant_id,
        subject.document_id,
        subject.name,
        subject.fingerprint,
        subject.template_key,
        subject.label,
        subject.entity_type,
        subject.entity_id,
        orjson.dumps(subject.details).decode(),
    )


async def subjects_of(tx: Transaction, message_ids: Sequence[str]) -> dict[str, Subject]:
    """Return what messages are about, by their ids; those that say nothing of it are not there."""
    found: dict[str, Subject] = {}
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(f"SELECT * FROM subjects WHERE message_id IN ({holes(len(chunk))})", *chunk)
        found |= {row["message_id"]: subject_of(row) for row in rows}
    return found


async def lock_subjects(tx: Transaction, message_ids: Sequence[str]) -> dict[str, Subject]:
    """Return what messages are about, by their ids; nobody else changes that until the end of the transaction."""
    found: dict[str, Subject] = {}
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            f"SELECT * FROM subjects WHERE message_id IN ({holes(len(chunk))}) ORDER BY message_id FOR UPDATE",
            *chunk,
        )
        found |= {row["message_id"]: subject_of(row) for row in rows}
    return found


async def write_all_details(tx: Transaction, details: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what APIs show of messages now, by their ids."""
    await tx.many(
        "UPDATE subjects SET details = $2 WHERE message_id = $1",
        [(message_id, orjson.dumps(one).decode()) for message_id, one in details.items()],
    )


async def write_details(tx: Transaction, message_id: str, details: Mapping[str, Any]) -> None:
    """Write what an API shows of a message now."""
    await write_all_details(tx, {message_id: details})


async def drop_subject(tx: Transaction, message_id: str) -> None:
    """Forget what a message is about that was taken back; its name is free."""
    await tx.run("DELETE FROM subjects WHERE message_id = $1", message_id)


def subject_of(row: Row) -> Subject:
    """Return the subject of a row that has its columns."""
    return Subject(
        document_id=row["document_id"],
        name=row["name"],
        fingerprint=None if row["fingerprint"] is None else bytes(row["fingerprint"]),
        template_key=row["template_key"],
        label=row["label"],
        entity_type=row["entity_type"],
        entity_id=row["entity_id"],
        details=orjson.loads(row["details"]),
    )
