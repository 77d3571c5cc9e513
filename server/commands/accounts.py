"""Making accounts. The first one is the operator's; who may make the others is configured.

Whether an account exists is looked at twice: before the password is hashed, so that a refused registration costs
nothing, and again in the transaction, behind a lock on the tenant, so that of two that are first only one is.
"""

from dataclasses import dataclass, field
from hmac import compare_digest

from server.commands.invitations import accept_account, check_invited
from server.commands.passwords import Passwords
from server.domain.account import DEFAULT_BUCKET, DEFAULT_TENANT, Registration, Role, User
from server.domain.bucket import ALL, Bucket
from server.domain.errors import Conflict, Fault, Forbidden
from server.domain.ids import new_id
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.store import accounts
from server.store.buckets import add_bucket


@dataclass(frozen=True)
class RegisterAccount:
    """`local` is a request that came in on a loopback listener, from this machine."""

    email: str
    username: str
    password: str = field(repr=False)
    code: str | None = field(repr=False)
    local: bool


@dataclass(frozen=True)
class AccountRules:
    registration: Registration
    first_code: str = field(repr=False)


async def prepare(db: Database, *, now: int, random: Random) -> bool:
    """Make what every server has, and say whether the first account is still to be made."""
    tenant_id = new_id(now, random)

    async def job(tx: Transaction) -> bool:
        await accounts.ensure_tenant(tx, tenant_id, DEFAULT_TENANT, now)
        return not await accounts.has_account(tx)

    return await db.write(job)


async def register(
    db: Database,
    command: RegisterAccount,
    *,
    rules: AccountRules,
    passwords: Passwords,
    now: int,
    random: Random,
) -> User:
    """Make an account with its default bucket; Forbidden, or Conflict where a name is taken."""
    invited = _admit(command, rules, first=not await db.read(accounts.has_account))
    if invited is not None:
        await check_invited(db, invited, now)
    password_hash = await passwords.hash(command.password)
    user_id, bucket_id = new_id(now, random), new_id(now, random)

    async def job(tx: Transaction) -> User:
        tenant_id = await accounts.default_tenant(tx, lock=True)
        first = not await accounts.has_account(tx)
        invited = _admit(command, rules, first=first)
        user = _new_user(command, user_id, tenant_id, Role.ADMIN if first else Role.USER, now)
        await accounts.add_user(tx, user, password_hash=password_hash)
        await add_bucket(tx, _default_bucket(user, bucket_id))
        if invited is not None:
            await accept_account(tx, user, invited, now)
        return user

    try:
        return await db.write(job)
    except NotUnique as error:
        raise taken(error) from None


def _admit(command: RegisterAccount, rules: AccountRules, *, first: bool) -> str | None:
    """Return the code of the invitation that has to be good, None where none is needed; Forbidden."""
    if first:
        _admit_first(command, rules)
    elif rules.registration is Registration.CLOSED:
        raise Forbidden("registration is closed; ask the operator for an account", code="registration_closed")
    elif rules.registration is Registration.INVITE:
        if command.code is None:
            detail = "registration is by invitation; send the code of one, as `code`"
            raise Forbidden(detail, code="registration_invite")
        return command.code
    return None


def _admit_first(command: RegisterAccount, rules: AccountRules) -> None:
    if command.local and command.code is None:
        return
    if command.code is None:
        raise Forbidden(
            "the first account needs the code that the server's log shows at its start, as `code`",
            code="first_account_code_required",
        )
    if not compare_digest(command.code.strip().upper().encode(), rules.first_code.encode()):
        raise Forbidden("that is not the code in the server's log", code="first_account_code_invalid")


def _new_user(command: RegisterAccount, user_id: str, tenant_id: str, role: Role, now: int) -> User:
    return User(
        id=user_id,
        tenant_id=tenant_id,
        external_id=user_id,  # until an admin sets one
        username=command.username,
        email=command.email,
        role=role,
        profile={},
        created_at=now,
    )


def _default_bucket(user: User, bucket_id: str) -> Bucket:
    return Bucket(
        id=bucket_id,
        tenant_id=user.tenant_id,
        owner_id=user.id,
        name=DEFAULT_BUCKET,
        description=None,
        icon=None,
        color=None,
        protected_at=user.created_at,
        public_at=None,
        created_at=user.created_at,
        permissions=frozenset(ALL),
    )


def taken(error: NotUnique) -> Conflict:
    """Return what to answer where the name of an account is another's."""
    name = "email" if "email_key" in error.constraint else "username"
    fault = Fault(name, "is taken", "sign in to that account, or choose another")
    return Conflict(f"an account with this {name} exists", code=f"{name}_taken", faults=[fault])
