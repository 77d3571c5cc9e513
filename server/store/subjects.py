"""What messages are about (`server/domain/subject.py`): written with them, and gone when they are taken back."""

import orjson

from server.domain.message import Message
from server.domain.ports import Transaction
from server.domain.subject import Subject


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


async def drop_subject(tx: Transaction, message_id: str) -> None:
    """Forget what a message is about that was taken back; its name is free."""
    await tx.run("DELETE FROM subjects WHERE message_id = $1", message_id)
