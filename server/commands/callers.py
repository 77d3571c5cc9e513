"""Who is calling: from a credential in a request to the user or the device behind it."""

from hashlib import sha256

from server.commands.mint import Mint
from server.commands.usage import Usage
from server.domain.account import AccessToken, Caller, CallingDevice, Role, User
from server.domain.errors import Unauthenticated
from server.domain.ports import Database
from server.domain.scopes import Grant
from server.store.devices import find_calling_device
from server.store.sessions import find_session_user
from server.store.tokens import find_token

ACCESS_TOKEN = "zat_"  # noqa: S105 - a prefix
DEVICE_TOKEN = "hpd_"  # noqa: S105 - a prefix


def token_hash(token: str) -> bytes:
    """Return what is stored of an access token, device token, refresh token or pairing code."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


async def find_caller(db: Database, credential: str, *, mint: Mint, usage: Usage, now: int) -> Caller:
    """Return the user behind an access token or a JWT; Unauthenticated."""
    if credential.startswith(ACCESS_TOKEN):
        return await _owner(db, credential, usage, now)
    if credential.startswith(DEVICE_TOKEN):
        raise Unauthenticated(
            "a device's token is good for /api/v1/device only; use an access token", code="token_invalid"
        )
    return await _person(db, credential, mint, now)


async def find_device(db: Database, credential: str, *, usage: Usage, now: int) -> CallingDevice:
    """Return the device behind a device token; Unauthenticated, also for anything that is not one."""
    device = None
    if credential.startswith(DEVICE_TOKEN):
        device = await db.read(lambda tx: find_calling_device(tx, token_hash(credential)))
    if device is None:
        raise Unauthenticated("no device has this token; pair it again", code="device_token_invalid")
    usage.note_device(device.id, now)
    return device


async def _person(db: Database, credential: str, mint: Mint, now: int) -> Caller:
    session_id = mint.read_access(credential, now)
    user = await db.read(lambda tx: find_session_user(tx, session_id, now))
    if user is None:
        raise Unauthenticated("the session has ended; sign in again", code="session_ended")
    return Caller(user, Grant(None, _operates(user)), session_id, None)


async def _owner(db: Database, credential: str, usage: Usage, now: int) -> Caller:
    found: tuple[AccessToken, User] | None = await db.read(
        lambda tx: find_token(tx, token_hash(credential), now)
    )
    if found is None:
        raise Unauthenticated("the access token is unknown, deleted or expired", code="token_invalid")
    token, user = found
    usage.note_token(token.id, now)
    return Caller(user, Grant(frozenset(token.scopes), _operates(user)), None, token.id)


def _operates(user: User) -> bool:
    return user.role is Role.ADMIN
