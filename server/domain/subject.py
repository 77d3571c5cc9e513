"""What a message is about, for the APIs whose notifications are found by it: a document, a template, something of the app's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEANT = "meant"  # the word of details for the ids of the users whom a message concerns, whoever else gets it


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`name` is the app's own id of the notification, unique in its tenant, `fingerprint` of what was asked for under it.

    `label` is the app's own word for the kind of notification. `details` is what its API shows of it again (JSON).
    """

    document_id: str | None = None
    name: str | None = None
    fingerprint: bytes | None = None
    template_key: str | None = None
    label: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    details: Mapping[str, Any] = field(repr=False)
