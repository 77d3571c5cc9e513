"""Access tokens: made, listed, changed and deleted by their owner."""

from dataclasses import dataclass, field, replace

from msgspec import UnsetType

from crypto.encoding import b64u
from server.commands.callers import ACCESS_TOKEN, token_hash
from server.commands.people import ensure_tenant
from server.domain.account import AccessToken, Role, User
from server.domain.bucket import Permission
from server.domain.errors import Fault, Forbidden, Invalid, NotFound
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.domain.scopes import ACTING, OPERATORS, bucket_of, covers
from server.store import tokens
from server.store.buckets import find_bucket

_SECRET_BYTES = 32


@dataclass(frozen=True)
class CreateToken:
    """`tenant` is the name of the one tenant that it is to be good for, None for all that its scopes reach."""

    name: str
    scopes: tuple[str, ...]  # known ones, as `server.domain.scopes.normal` returns them
    expires_at: int | None
    tenant: str | None


@dataclass(frozen=True)
class ChangeToken:
    """None and UNSET: as it is. `expires_at` None: never."""

    name: str | None
    scopes: tuple[str, ...] | None
    expires_at: int | UnsetType | None

    def of(self, token: AccessToken) -> AccessToken:
        """Return the token as it is afterwards."""
        return replace(
            token,
            name=token.name if self.name is None else self.name,
            scopes=token.scopes if self.scopes is None else self.scopes,
            expires_at=token.expires_at if isinstance(self.expires_at, UnsetType) else self.expires_at,
        )


@dataclass(frozen=True)
class NewToken:
    token: AccessToken
    secret: str = field(repr=False)  # shown once


async def create_token(
    db: Database, user: User, command: CreateToken, *, now: int, random: Random
) -> NewToken:
    """Make a token; Forbidden for scopes that only an admin can give, Invalid for buckets that are not there."""
    _check_operator(user, command)
    _check_tenant(command)
    secret = ACCESS_TOKEN + b64u(random(_SECRET_BYTES))
    token = AccessToken(
        id=new_id(now, random),
        user_id=user.id,
        tenant=command.tenant,
        name=command.name,
        scopes=command.scopes,
        created_at=now,
        expires_at=command.expires_at,
        last_used_at=None,
    )

    async def job(tx: Transaction) -> None:
        await _check_buckets(tx, user, command.scopes)
        tenant_id = None if command.tenant is None else await ensure_tenant(tx, command.tenant, now, random)
        await tokens.add_token(tx, token, token_hash=token_hash(secret), tenant_id=tenant_id)

    await db.write(job)
    return NewToken(token, secret)


async def list_tokens(db: Database, user: User) -> list[AccessToken]:
    return await db.read(lambda tx: tokens.list_tokens(tx, user.id))


async def get_token(db: Database, user: User, token_id: str) -> AccessToken:
    """Return a token; NotFound where this user has none of that id."""
    token = await db.read(lambda tx: tokens.load_token(tx, token_id, user.id))
    if token is None:
        raise _no_token()
    return token


async def change_token(db: Database, user: User, token_id: str, command: ChangeToken) -> AccessToken:
    """Change a token's name or end, or take scopes from it; NotFound, and Invalid for scopes that it has not."""

    async def job(tx: Transaction) -> AccessToken:
        token = await tokens.lock_token(tx, token_id, user.id)
        if token is None:
            raise _no_token()
        if command.scopes is not None:
            _check_narrower(token, command.scopes)
            await _check_buckets(tx, user, command.scopes)
        changed = command.of(token)
        await tokens.change_token(tx, changed)
        return changed

    return await db.write(job)


async def delete_token(db: Database, user: User, token_id: str) -> None:
    """Make a token worthless; NotFound where this user has none of that id."""
    if not await db.write(lambda tx: tokens.delete_token(tx, token_id, user.id)):
        raise _no_token()


def _no_token() -> NotFound:
    return NotFound("no such access token")


def _check_narrower(token: AccessToken, wanted: tuple[str, ...]) -> None:
    faults = [
        Fault(f"scopes[{index}]", "is none of the token's", "make another token for it")
        for index, scope in enumerate(wanted)
        if not covers(token.scopes, scope)
    ]
    if faults:
        raise Invalid("a token can only lose scopes", code="scope_wider", faults=faults)


def _check_operator(user: User, command: CreateToken) -> None:
    theirs = sorted(OPERATORS.intersection(command.scopes))
    if theirs and user.role is not Role.ADMIN:
        raise Forbidden(f"only an admin can make a token with {', '.join(theirs)}", code="scope_forbidden")


def _check_tenant(command: CreateToken) -> None:
    if command.tenant is not None and not (command.scopes and ACTING.issuperset(command.scopes)):
        fix = "leave it out, or give the token admin or gateway, and no other scopes"
        fault = Fault("tenantId", "is for tokens that act for a tenant", fix)
        raise Invalid("only a token with admin or gateway has a tenant", faults=[fault])


async def _check_buckets(tx: Transaction, user: User, scopes: tuple[str, ...]) -> None:
    faults = []
    for index, scope in enumerate(scopes):
        bucket_id = bucket_of(scope)
        if bucket_id is None:
            continue
        bucket = await find_bucket(tx, user.id, bucket_id)
        if bucket is None or not bucket.lets(Permission.WRITE):
            fix = "name a bucket that you may write to, by its id"
            faults.append(Fault(f"scopes[{index}]", "names no bucket of yours", fix))
    if faults:
        raise Invalid("a scope names no bucket of yours", faults=faults)
