"""Who is calling: from a credential in a request to the user or the device behind it.

What was found of users' credentials is remembered where this process would know of any change: the database's
`credentials_version` rises with each commit that changes or deletes users, sessions or access tokens, before
that commit is answered. What was remembered, or read, under another version is not used, so a credential ends at the
next request, as if it were looked up for each. Where other processes write too, it is looked up for each.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from server.commands.acting import find_acting, find_meant
from server.commands.mint import InboxSession, Mint, is_of_inbox
from server.commands.usage import Usage
from server.domain.account import Caller, CallingDevice, Role, User
from server.domain.errors import Unauthenticated
from server.domain.ports import Database, Transaction
from server.domain.scopes import INBOX_SESSION, Grant
from server.store.accounts import load_user
from server.store.devices import find_calling_device
from server.store.sessions import find_session
from server.store.tokens import find_token

ACCESS_TOKEN = "zat_"  # noqa: S105 - a prefix
DEVICE_TOKEN = "hpd_"  # noqa: S105 - a prefix
_REMEMBERED = 10_000


def token_hash(token: str) -> bytes:
    """Return what is stored of an access token, device token, refresh token or pairing code."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class _Known:
    caller: Caller
    expires_at: int | None

    def is_good(self, now: int) -> bool:
        return self.expires_at is None or self.expires_at > now


class Callers:
    """Finds out who calls."""

    def __init__(self, db: Database, mint: Mint, usage: Usage) -> None:
        self._db = db
        self._mint = mint
        self._usage = usage
        self._known: dict[bytes | str, _Known] = {}
        self._version = db.credentials_version

    async def user(self, credential: str, now: int) -> Caller:
        """Return the user behind an access token or a JWT; Unauthenticated."""
        if credential.startswith(ACCESS_TOKEN):
            return await self._owner(token_hash(credential), now)
        if credential.startswith(DEVICE_TOKEN):
            raise Unauthenticated(
                "a device's token is good for /api/v1/device only; use an access token", code="token_invalid"
            )
        if is_of_inbox(credential):
            return (await self.inbox(credential, now))[0]
        return await self._person(self._mint.read_access(credential, now), now)

    async def act(self, caller: Caller, tenant: str | None, user: str | None) -> Caller:
        """Return the caller as they act for a tenant and a user of it, by their names; Forbidden for another tenant than the token's."""
        return await self._db.read(lambda tx: find_acting(tx, caller, tenant, user))

    async def token(self, credential: str, now: int) -> Caller:
        """Return whose an access token is; Unauthenticated, also for anything that is not one."""
        if not credential.startswith(ACCESS_TOKEN):
            raise Unauthenticated("this is no access token, which begins with zat_", code="token_invalid")
        return await self._owner(token_hash(credential), now)

    async def on_behalf(self, caller: Caller, tenant: str, user: str | None) -> Caller:
        """Return the caller as they act for a tenant, and a user of it, that their request names; NotFound, Forbidden.

        Who may not act for others is themselves, in their own tenant, and nobody else is there.
        """
        return await self._db.read(lambda tx: find_meant(tx, caller, tenant, user))

    async def inbox(self, credential: str, now: int) -> tuple[Caller, int]:
        """Return whose inbox the token of an inbox session is good for, and when it ends; Unauthenticated, also for any other token."""
        session = self._mint.read_inbox(credential, now)
        key = f"{session.user_id} {session.session_id}"
        caller = await self._find(key, lambda tx: _inbox(tx, session, now), now)
        if caller is None:
            raise Unauthenticated("the session has ended; ask for another one", code="session_ended")
        return caller, session.expires_at

    async def device(self, credential: str, now: int) -> CallingDevice:
        """Return the device behind a device token; Unauthenticated, also for anything that is not one."""
        device = None
        if credential.startswith(DEVICE_TOKEN):
            device = await self._db.read(lambda tx: find_calling_device(tx, token_hash(credential)))
        if device is None:
            raise Unauthenticated("no device has this token; pair it again", code="device_token_invalid")
        self._usage.note_device(device.id, now)
        return device

    async def _person(self, session_id: str, now: int) -> Caller:
        caller = await self._find(session_id, lambda tx: _session(tx, session_id, now), now)
        if caller is None:
            raise Unauthenticated("the session has ended; sign in again", code="session_ended")
        return caller

    async def _owner(self, hashed: bytes, now: int) -> Caller:
        caller = await self._find(hashed, lambda tx: _token(tx, hashed, now), now)
        if caller is None or caller.token_id is None:
            raise Unauthenticated("the access token is unknown, deleted or expired", code="token_invalid")
        self._usage.note_token(caller.token_id, now)
        return caller

    async def _find(
        self, key: bytes | str, read: Callable[[Transaction], Awaitable[_Known | None]], now: int
    ) -> Caller | None:
        version = self._db.credentials_version
        if version != self._version or len(self._known) >= _REMEMBERED:
            self._known.clear()
            self._version = version
        known = self._known.get(key)
        if known is None or not known.is_good(now):
            known = await self._db.read(read)
            # What was read may be older than a change that was committed meanwhile.
            if known is not None and version is not None and version == self._db.credentials_version:
                self._known[key] = known
        return None if known is None else known.caller


async def _session(tx: Transaction, session_id: str, now: int) -> _Known | None:
    found = await find_session(tx, session_id, now)
    if found is None:
        return None
    user, expires_at = found
    return _Known(Caller(user, Grant(None, _operates(user)), session_id, None), expires_at)


async def _token(tx: Transaction, hashed: bytes, now: int) -> _Known | None:
    found = await find_token(tx, hashed, now)
    if found is None:
        return None
    token, user, tenant_id = found
    grant = Grant(frozenset(token.scopes), _operates(user), token.tenant, tenant_id)
    return _Known(Caller(user, grant, None, token.id), token.expires_at)


async def _inbox(tx: Transaction, session: InboxSession, now: int) -> _Known | None:
    """Return somebody who may do nothing but what an inbox needs, whatever else they may."""
    found = None if session.session_id is None else await find_session(tx, session.session_id, now)
    user = await load_user(tx, session.user_id)
    if user is None or (session.session_id is not None and found is None):
        return None
    grant = Grant(frozenset({INBOX_SESSION}), operator=False)
    return _Known(Caller(user, grant, None, None), None if found is None else found[1])


def _operates(user: User) -> bool:
    return user.role is Role.ADMIN
