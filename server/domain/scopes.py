"""Who may do what: the scopes of access tokens, and the needs of routes that they meet.

This is the one mechanism. A route states its need (`server/api/routes.py`), a caller brings a grant, and
`Grant.meets` decides. A grant holds what was given and nothing else: a token without a scope meets no need. A person
who is signed in may do what their account may, which is every need but those of the operator.

| scope                        | meets                                                                     |
|------------------------------|---------------------------------------------------------------------------|
| `messages:create`            | SEND, to every bucket that its owner may write                            |
| `messages:create:<bucketId>` | SEND, to that bucket                                                      |
| `messages:read`              | READ                                                                      |
| `metrics`                    | METRICS                                                                   |
| `gateway`                    | ACT and INBOX, for the user that it names                                 |
| `admin`                      | every need; bound to a tenant, all but METRICS and OPERATE                |
| `inbox`                      | INBOX; not of an access token: of an inbox session's, which lasts 15 min  |
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

_SEND_TO = "messages:create:"
SIMPLE = ("messages:create", "messages:read", "gateway", "admin", "metrics")
OPERATORS = frozenset({"gateway", "admin", "metrics"})  # only an admin's token can hold these
ACTING = frozenset({"gateway", "admin"})  # a token with one of these may name whom it calls for
INBOX_SESSION = "inbox"  # no token has it: it is what a short-lived one for one inbox is good for


class Need(Enum):
    """What a route asks of a caller who has authenticated as a user."""

    SEND = "messages:create"
    READ = "messages:read"
    ACCOUNT = "account"  # the rest: a token needs `admin` for it, a person only to be signed in
    INBOX = "inbox"  # of the user who calls or is named
    ACT = "gateway"  # what else concerns that user
    MANAGE = "manage"  # a tenant's: an admin, or a token with `admin` that an admin made
    METRICS = "metrics"  # the operator's: an admin, or a token with `metrics` that an admin made
    OPERATE = "operate"  # the rest of the operator's: an admin, or a token with `admin` that an admin made


@dataclass(frozen=True)
class Grant:
    """What one credential may do: `scopes` of a token, or None for a person who is signed in.

    `tenant` is the name of the one tenant that a token is good for, and `tenant_id` its id: another one may have that name by now.
    """

    scopes: frozenset[str] | None
    operator: bool  # the account behind it is an admin
    tenant: str | None = None
    tenant_id: str | None = None

    def meets(self, need: Need) -> bool:
        """Say whether this credential is enough for a route with that need."""
        if self.scopes is None:
            return self.operator or need not in (Need.METRICS, Need.OPERATE, Need.MANAGE)
        if self.operator and "admin" in self.scopes:
            return self.tenant is None or need not in (Need.METRICS, Need.OPERATE)
        if need in (Need.ACT, Need.INBOX):
            return self.acts or (need is Need.INBOX and INBOX_SESSION in self.scopes)
        if need is Need.SEND:
            return "messages:create" in self.scopes or bool(self.bound)
        if need is Need.METRICS:
            return self.operator and "metrics" in self.scopes
        return need is Need.READ and "messages:read" in self.scopes

    @property
    def acts(self) -> bool:
        """Say whether it may name the user and the tenant that it calls for."""
        return self.operator and self.scopes is not None and not ACTING.isdisjoint(self.scopes)

    @property
    def bound(self) -> frozenset[str]:
        """The ids of the buckets that this token names one by one."""
        return frozenset(s.removeprefix(_SEND_TO) for s in self.scopes or () if s.startswith(_SEND_TO))

    def sends_to(self, bucket_id: str) -> bool:
        """Say whether a message to this bucket is within the grant; the owner's permissions come on top."""
        scopes = self.scopes
        if scopes is None or "messages:create" in scopes or (self.operator and "admin" in scopes):
            return True
        return bucket_id in self.bound

    @property
    def only_bucket(self) -> str | None:
        """The bucket of a token that can send to one bucket only: it may leave `bucketId` out."""
        bound = self.bound
        return next(iter(bound)) if len(bound) == 1 and not self.sends_to("") else None


def scope_for(need: Need) -> str:
    """Return the narrowest scope of an access token that meets a need."""
    if need is Need.INBOX:
        return Need.ACT.value
    return need.value if need.value in SIMPLE else "admin"


def bucket_of(scope: str) -> str | None:
    """Return the bucket id that a scope names, None where it names none."""
    return scope.removeprefix(_SEND_TO) if scope.startswith(_SEND_TO) else None


def covers(held: Collection[str], scope: str) -> bool:
    """Say whether a token with these scopes may do all that the scope lets."""
    return scope in held or (bucket_of(scope) is not None and "messages:create" in held)


def known(scope: str) -> bool:
    """Say whether a scope is one of the table; whether its bucket exists is for the command to see."""
    bucket = bucket_of(scope)
    return scope in SIMPLE if bucket is None else _is_id(bucket)


def normal(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without repetitions, ids in lowercase, in the order in which they were given."""
    lowered = (s.lower() if s.startswith(_SEND_TO) else s for s in scopes)
    return tuple(dict.fromkeys(lowered))


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
