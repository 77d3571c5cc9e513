"""Buckets: named audiences with members, each with permissions."""

from dataclasses import dataclass
from enum import StrEnum

from server.domain.quiet import QuietTime

LONGEST_DESCRIPTION = 500
LONGEST_RETENTION = 3650  # days
MOST_RETAINED = 1_000_000  # messages
DIRECT = ""  # the topic key of the one bucket of a tenant for messages to users who are named
DIRECT_NAME = "direct"


class Permission(StrEnum):
    """What a member may do in a bucket."""

    READ = "READ"  # receives its messages
    WRITE = "WRITE"  # sends to it
    DELETE = "DELETE"  # retracts what others sent
    ADMIN = "ADMIN"  # all of these, and its members


ALL = tuple(Permission)


@dataclass(frozen=True)
class Bucket:
    """A bucket as one user sees it: permissions, snooze and quiet times are that user's; who is no member has none."""

    id: str
    tenant_id: str
    owner_id: str | None  # None: the tenant's, a topic or its direct messages
    name: str
    description: str | None
    icon: str | None
    color: str | None
    protected_at: int | None
    public_at: int | None
    created_at: int
    permissions: frozenset[Permission]
    retention_days: int | None = None  # it keeps messages for so long
    retention_count: int | None = None  # it keeps so many messages
    swept: int = 0  # messages that it did not keep, so far
    swept_at: int | None = None  # when the last of them went, milliseconds
    snoozed_until: int | None = None  # milliseconds
    quiet_times: tuple[QuietTime, ...] = ()
    members: int | None = None  # counted where that user is told: who is ADMIN; MOST_COUNTED at most
    topic_key: str | None = None  # of a topic; DIRECT of what is sent to users by their names

    def lets(self, permission: Permission) -> bool:
        """Say whether the member may do that."""
        return permission in self.permissions or Permission.ADMIN in self.permissions


@dataclass(frozen=True)
class Member:
    """A user in a bucket. Its owner has every permission, whatever happens."""

    user_id: str
    username: str | None
    permissions: frozenset[Permission]
    is_owner: bool
    created_at: int


@dataclass(frozen=True)
class Invitation:
    """An invitation to a bucket, or to the server alone. Its code was shown once; accepted once, it is spent."""

    id: str
    tenant_id: str
    bucket_id: str | None
    permissions: frozenset[Permission]
    created_by: str
    created_at: int
    expires_at: int
    accepted_at: int | None = None
    accepted_by: str | None = None
