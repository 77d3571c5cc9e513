"""Signing in, staying signed in, signing out.

An attempt is counted before the password is looked at, so that attempts at the same moment are counted too, and given back
where it was right. An account that does not exist is counted and costs the same as one that does. What an account has for each
address is small, and what it has for all of them large: who guesses from elsewhere does not lock its owner out, and many who
guess together are bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.commands.callers import token_hash
from server.commands.mint import REFRESH_SECONDS, Mint
from server.commands.passwords import Passwords
from server.domain.account import Session, User, matching_key
from server.domain.errors import Allowance, Limited, NotFound, Unauthenticated
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.domain.throttle import Throttling
from server.store import accounts, sessions


@dataclass(frozen=True)
class SignIn:
    """`name` is an email address or a username, `address` where the request came from."""

    name: str
    password: str = field(repr=False)
    address: str


@dataclass(frozen=True)
class SignedIn:
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    user: User


@dataclass(frozen=True)
class SignInLimits:
    """How often one may try: from an address, at an account from one address, at an account from all of them."""

    by_address: Throttling
    by_pair: Throttling
    by_account: Throttling

    async def take(self, command: SignIn, now: int) -> None:
        """Count an attempt; Limited where none is left. What an address is refused does not count for the account."""
        address, account = command.address, matching_key(command.name)
        for throttle, key, where in (
            (self.by_address, address, "from this address"),
            (self.by_pair, _pair(command), "at this account from this address"),
            (self.by_account, account, "at this account"),
        ):
            if await throttle.take(key, now) is None:
                raise Limited(f"too many attempts {where}", throttle.left(key, now))

    def left(self, command: SignIn, now: int) -> Allowance:
        """Return what the account has left from this address."""
        return self.by_pair.left(_pair(command), now)

    async def give_back(self, command: SignIn, now: int) -> None:
        """Uncount an attempt whose password was right, and those of its address at its account."""
        await self.by_pair.forget(_pair(command))
        await self.by_address.give_back(command.address, now)
        await self.by_account.give_back(matching_key(command.name), now)


def _pair(command: SignIn) -> str:
    return f"{command.address} {matching_key(command.name)}"  # no address has a space


async def sign_in(
    db: Database,
    command: SignIn,
    *,
    passwords: Passwords,
    limits: SignInLimits,
    mint: Mint,
    now: int,
    random: Random,
) -> SignedIn:
    """Check a password and begin a session; Unauthenticated, Limited."""
    await limits.take(command, now)
    found = await db.read(lambda tx: accounts.find_sign_in(tx, command.name))
    stored = None if found is None else found.password_hash
    matches = await passwords.match(stored, command.password)
    if found is None or stored is None or not matches:
        raise Unauthenticated("the email address or the password is wrong", code="credentials_invalid")
    await limits.give_back(command, now)
    fresh = await passwords.hash(command.password) if passwords.outdated(stored) else None
    return await begin_session(db, found.user, mint=mint, now=now, random=random, password_hash=fresh)


async def begin_session(
    db: Database, user: User, *, mint: Mint, now: int, random: Random, password_hash: str | None
) -> SignedIn:
    """Begin a session of a user who has proved who they are; `password_hash` replaces an outdated one."""
    session_id = new_id(now, random)
    signed_in = SignedIn(mint.access(session_id, now), mint.refresh(session_id, now), user)

    async def job(tx: Transaction) -> None:
        if password_hash is not None:
            await accounts.set_password_hash(tx, user.id, password_hash)
        await sessions.add_session(
            tx,
            session_id,
            user.id,
            refresh_hash=token_hash(signed_in.refresh_token),
            now=now,
            expires_at=now + REFRESH_SECONDS * 1000,
        )

    await db.write(job)
    return signed_in


async def refresh(db: Database, refresh_token: str, *, mint: Mint, now: int) -> SignedIn:
    """Exchange a refresh token for new tokens; one that was spent before ends its family, for its thief too."""
    session_id = mint.read_refresh(refresh_token, now)
    access_token, fresh = mint.access(session_id, now), mint.refresh(session_id, now)

    async def job(tx: Transaction) -> User | None:
        rotated = await sessions.rotate(
            tx,
            session_id,
            spent=token_hash(refresh_token),
            fresh=token_hash(fresh),
            now=now,
            expires_at=now + REFRESH_SECONDS * 1000,
        )
        if rotated:
            found = await sessions.find_session(tx, session_id, now)
            return None if found is None else found[0]
        await sessions.end_session(tx, session_id)  # committed: the refusal is raised after it
        return None

    user = await db.write(job)
    if user is None:
        raise Unauthenticated("the refresh token was used before; sign in again", code="session_ended")
    return SignedIn(access_token, fresh, user)


async def sign_out(db: Database, session_id: str) -> None:
    """End a session with all of its tokens."""
    await db.write(lambda tx: sessions.end_session(tx, session_id))


async def list_sessions(db: Database, user: User, now: int) -> Sequence[Session]:
    """Return where a user is signed in."""
    return await db.read(lambda tx: sessions.list_sessions(tx, user.id, now))


async def revoke(db: Database, user: User, session_id: str) -> None:
    """End one of a user's sessions with all of its tokens; NotFound where they have none of that id."""
    if not await db.write(lambda tx: sessions.end_session_of(tx, session_id, user.id)):
        raise NotFound("no such session", code="session_not_found")
