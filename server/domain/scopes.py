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
| `gateway`                    | nothing in the native API (the user-facing RPCs of the other APIs)        |
| `admin`                      | every need                                                                |
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

_SEND_TO = "messages:create:"
SIMPLE = ("messages:create", "messages:read", "gateway", "admin", "metrics")
OPERATORS = frozenset({"gateway", "admin", "metrics"})  # only an admin's token can hold these


class Need(Enum):
    """What a route asks of a caller who has authenticated as a user."""

    SEND = "messages:create"
    READ = "messages:read"
    ACCOUNT = "account"  # the rest: a token needs `admin` for it, a person only to be signed in
    METRICS = "metrics"  # the operator's: an admin, or a token with `metrics` that an admin made
    OPERATE = "operate"  # the rest of the operator's: an admin, or a token with `admin` that an admin made


@dataclass(frozen=True)
class Grant:
    """What one credential may do: `scopes` of a token, or None for a person who is signed in."""

    scopes: frozenset[str] | None
    operator: bool  # the account behind it is an admin

    def meets(self, need: Need) -> bool:
        """Say whether this credential is enough for a route with that need."""
        if self.scopes is None:
            return self.operator or need not in (Need.METRICS, Need.OPERATE)
        if self.operator and "admin" in self.scopes:
            return True
        if need is Need.SEND:
            return "messages:create" in self.scopes or bool(self.bound)
        if need is Need.METRICS:
            return self.operator and "metrics" in self.scopes
        return need is Need.READ and "messages:read" in self.scopes

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
