"""Documents: what an app's users work on, with those who have access to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """`key` is the app's own name for it, unique in its tenant, `name` the one that people are shown."""

    id: str
    tenant_id: str
    key: str
    name: str | None
    created_at: int


@dataclass(frozen=True)
class Access:
    """Somebody on a document's access list: `name` is the one by which the tenant's own servers know them.

    `values` has those of the document's fields to which they have access.
    """

    user_id: str
    name: str
    values: Mapping[str, Sequence[str]]
    created_at: int
