"""Accounts: who a caller is, and under which names people find each other."""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from server.domain.scopes import Grant, Need

DEFAULT_BUCKET = "default"  # every user has one
DEFAULT_TENANT = "default"  # a fresh server has no other
LONGEST_NAME = 100
LONGEST_EMAIL = 254  # RFC 5321, errata 1690
SHORTEST_PASSWORD = 8  # NIST SP 800-63B, section 5.1.1.2
LONGEST_PASSWORD = 256
PROFILE = ("firstName", "lastName", "phone", "locale", "timezone")  # what a user's profile may hold


class Role(StrEnum):
    """What an account may do: `admin` operates the server."""

    ADMIN = "admin"  # the operator: the first account
    USER = "user"


class Registration(StrEnum):
    """Who may make an account once there is one."""

    CLOSED = "closed"
    INVITE = "invite"
    OPEN = "open"


@dataclass(frozen=True)
class User:
    id: str
    tenant_id: str
    external_id: str | None
    username: str | None
    email: str | None
    role: Role
    profile: dict[str, str]  # any of PROFILE
    created_at: int


@dataclass(frozen=True)
class Session:
    """One sign-in, which goes on for as long as it is given new tokens before it expires."""

    id: str
    created_at: int
    refreshed_at: int
    expires_at: int


@dataclass(frozen=True)
class AccessToken:
    """What is known of a token after it was shown. `tenant` is the name of the one tenant that it is good for, None for all."""

    id: str
    user_id: str
    tenant: str | None
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None
    last_used_at: int | None


@dataclass(frozen=True)
class Acting:
    """For whom an operator's token calls: a tenant and, where it names one, a user of it.

    `tenant_id` is empty where there is no tenant of that name yet, `known` false where there is no such user.
    """

    tenant: str
    tenant_id: str
    user: str | None
    known: bool


@dataclass(frozen=True)
class Caller:
    """A user who calls, and what the credential in the request may do.

    Where the token acts for others `user` is the one that is named, with an empty id where there is none of that name: nothing is
    theirs, and nothing is found. Where it acts for a tenant alone it is nobody, too.
    """

    user: User
    grant: Grant
    session_id: str | None  # of a person who is signed in
    token_id: str | None  # of an access token
    acting: Acting | None = None

    @property
    def tenant_id(self) -> str:
        """Return the tenant whose things are meant; empty where there is no such tenant."""
        return self.user.tenant_id if self.acting is None else self.acting.tenant_id

    @property
    def manages(self) -> str | None:
        """Return the id of the tenant that this caller manages, None where they manage none: in a user's name they do what that one may."""
        named = self.acting is not None and self.acting.user is not None
        return self.tenant_id if self.grant.meets(Need.MANAGE) and not named else None

    @property
    def credential_id(self) -> str:
        """Return what tells this credential from every other."""
        return self.token_id or self.session_id or self.user.id


@dataclass(frozen=True)
class CallingDevice:
    """A device that calls with its own token."""

    id: str
    user_id: str


def matching_key(name: str) -> str:
    """Return the form in which usernames and email addresses are compared: case and width do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
