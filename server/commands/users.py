"""Accounts after they were made: changed by their owner, and in a few things by an admin."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from msgspec import UnsetType

from server.commands.accounts import taken
from server.commands.passwords import Passwords
from server.commands.sessions import SignIn, SignInLimits
from server.domain.account import Caller, Role, User
from server.domain.errors import Conflict, Fault, Forbidden, NotFound
from server.domain.ports import Database, NotUnique, Transaction
from server.store import accounts, sessions


@dataclass(frozen=True)
class ChangeUser:
    """UNSET: as it is. `profile` holds what is different of it, None where it is cleared."""

    username: str | UnsetType
    email: str | UnsetType
    profile: Mapping[str, str | None]

    def of(self, user: User) -> User:
        """Return the user as they are afterwards."""
        profile = {**user.profile, **self.profile}
        return replace(
            user,
            username=user.username if isinstance(self.username, UnsetType) else self.username,
            email=user.email if isinstance(self.email, UnsetType) else self.email,
            profile={name: value for name, value in profile.items() if value is not None},
        )


@dataclass(frozen=True)
class ChangePassword:
    """`address` is where the request came from."""

    current: str = field(repr=False)
    new: str = field(repr=False)
    address: str


@dataclass(frozen=True)
class SetUser:
    """UNSET: as it is. `external_id` None: the user's id."""

    user_id: str
    external_id: str | UnsetType | None
    role: Role | UnsetType

    def of(self, user: User) -> User:
        """Return the user as they are afterwards."""
        external_id = user.external_id if isinstance(self.external_id, UnsetType) else self.external_id
        role = user.role if isinstance(self.role, UnsetType) else self.role
        return replace(user, external_id=external_id or user.id, role=role)


async def change_user(db: Database, user_id: str, command: ChangeUser) -> User:
    """Change one's own account and return it; Conflict where a name is taken."""

    async def job(tx: Transaction) -> User:
        changed = command.of(await _lock(tx, user_id))
        await accounts.change_user(tx, changed)
        return changed

    try:
        return await db.write(job)
    except NotUnique as error:
        raise taken(error) from None


async def change_password(
    db: Database,
    caller: Caller,
    command: ChangePassword,
    *,
    passwords: Passwords,
    limits: SignInLimits,
    now: int,
) -> None:
    """Set a password, and end the other sessions; Forbidden where the current one is another, Limited."""
    user = caller.user
    attempt = SignIn(user.email or user.username or user.id, command.current, command.address)
    await limits.take(attempt, now)
    stored = await db.read(lambda tx: accounts.load_password_hash(tx, user.id))
    if not await passwords.match(stored, command.current):
        raise Forbidden("that is not the current password", code="password_wrong")
    await limits.give_back(attempt, now)
    password_hash = await passwords.hash(command.new)

    async def job(tx: Transaction) -> None:
        await accounts.set_password_hash(tx, user.id, password_hash)
        await sessions.end_others(tx, user.id, but=caller.session_id)

    await db.write(job)


async def set_user(db: Database, admin: User, command: SetUser) -> User:
    """Set what only an admin sets; NotFound, Conflict where the external id is another's, or the admin would be none."""

    async def job(tx: Transaction) -> User:
        user = await _lock(tx, command.user_id)
        if user.tenant_id != admin.tenant_id:
            raise _no_user()
        changed = command.of(user)
        if user.id == admin.id and changed.role is not Role.ADMIN:
            raise Conflict("another admin has to take this role from you", code="own_role")
        await accounts.change_user(tx, changed)
        return changed

    try:
        return await db.write(job)
    except NotUnique:
        fault = Fault("externalId", "is another user's", "give each user one of their own")
        raise Conflict(
            "another user has this external id", code="external_id_taken", faults=[fault]
        ) from None


async def _lock(tx: Transaction, user_id: str) -> User:
    user = await accounts.lock_user(tx, user_id)
    if user is None:
        raise _no_user()
    return user


def _no_user() -> NotFound:
    return NotFound("no such user", code="user_not_found")
