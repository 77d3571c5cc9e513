"""Documents: what an app's users work on, with those who have access to it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """`key` is the app's own name for it, unique in its tenant, `name` the one that people are shown."""

    id: str
    tenant_id: str
    key: str
    name: str | None
    created_at: int
