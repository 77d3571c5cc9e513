"""Tenants: whose users, messages and documents are kept apart from all others'."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tenant:
    """`name` is the operator's own name for it, `display_name` the one that people are shown."""

    id: str
    name: str
    display_name: str | None
    created_at: int
