"""Buckets: named audiences with members, each with permissions."""

from dataclasses import dataclass
from enum import StrEnum

LONGEST_DESCRIPTION = 500


class Permission(StrEnum):
    READ = "READ"  # receives its messages
    WRITE = "WRITE"  # sends to it
    DELETE = "DELETE"  # retracts what others sent
    ADMIN = "ADMIN"  # all of these, and its members


ALL = tuple(Permission)


@dataclass(frozen=True)
class Bucket:
    """A bucket as one member sees it: `permissions` are that member's."""

    id: str
    tenant_id: str
    owner_id: str
    name: str
    description: str | None
    icon: str | None
    color: str | None
    protected_at: int | None
    public_at: int | None
    created_at: int
    permissions: frozenset[Permission]

    def lets(self, permission: Permission) -> bool:
        """Say whether the member may do that."""
        return permission in self.permissions or Permission.ADMIN in self.permissions
