"""Credentials end at the next request, however often and wherever they were good before."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from server.commands.accounts import prepare
from server.commands.acting import ensure_meant
from server.commands.callers import Callers, token_hash
from server.commands.mint import INBOX_SECONDS, Mint
from server.commands.usage import Usage
from server.domain.account import AccessToken, Role, User
from server.domain.errors import NotFound, Unauthenticated
from server.domain.ports import Database, Random, Transaction
from server.domain.scopes import Need
from server.store import sessions, tenants, tokens
from server.store.accounts import add_user, default_tenant, ensure_tenant, find_tenant
from server.store.database import open_database
from tests.harness.clock import SettableClock

T = TypeVar("T")
TOKEN = "zat_" + "a" * 43
LIFETIME = 60_000


class Paused:
    """Passes everything on to a database, and does something else after a read, before its reader knows."""

    exclusive = True

    def __init__(self, behind: Database, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._behind = behind
        self._meanwhile = meanwhile
        self.reads = 0

    @property
    def credentials_version(self) -> int | None:
        return self._behind.credentials_version

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._behind.write(job)

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        value = await self._behind.read(job)
        self.reads += 1
        await self._meanwhile()
        return value

    async def close(self) -> None:
        await self._behind.close()


async def nothing() -> None:
    pass


@pytest.fixture
async def person(database: Database, clock: SettableClock, random: Random) -> User:
    """Somebody with a token and a session."""
    await prepare(database, now=clock(), random=random)

    async def job(tx: Transaction) -> User:
        now = clock()
        user = User("u1", await default_tenant(tx), None, "ada", None, Role.ADMIN, {}, now)
        await add_user(tx, user, password_hash=None)
        token = AccessToken("t1", user.id, None, "CI", ("admin",), now, now + LIFETIME, None)
        await tokens.add_token(tx, token, token_hash=token_hash(TOKEN), tenant_id=None)
        await sessions.add_session(tx, "s1", user.id, refresh_hash=b"r", now=now, expires_at=now + LIFETIME)
        return user

    return await database.write(job)


@pytest.fixture
def mint(random: Random) -> Mint:
    return Mint(bytes(32), "issuer", random)


@pytest.fixture
def callers(database: Database, mint: Mint) -> Callers:
    return Callers(database, mint, Usage())


ENDS = {
    "the token is deleted": "DELETE FROM access_tokens",
    "the session is ended": "DELETE FROM sessions",
    "the account is deleted, and with it all it has": "DELETE FROM users",
}


@pytest.mark.usefixtures("person")
async def test_what_is_made_while_its_user_is_deleted_is_worthless(
    database: Database, callers: Callers, mint: Mint, clock: SettableClock
) -> None:
    """A sign-in, or a token, that is written after the end of a user is there until that is looked at again."""
    await database.write(lambda tx: tx.run("UPDATE users SET deleted_at = 1"))
    for credential in (TOKEN, mint.access("s1", clock())):
        with pytest.raises(Unauthenticated):
            await callers.user(credential, clock())


@pytest.mark.parametrize("end", ENDS)
async def test_a_credential_that_was_good_ends_at_once(
    database: Database, callers: Callers, mint: Mint, person: User, clock: SettableClock, end: str
) -> None:
    """For this process's requests, and for those of others on the same database."""
    given = {"access_tokens": TOKEN, "sessions": mint.access("s1", clock()), "users": TOKEN}
    credential = given[ENDS[end].rpartition(" ")[2]]
    others = Callers(database, mint, Usage())
    for known in (callers, others, callers):
        assert (await known.user(credential, clock())).user == person
    await database.write(lambda tx: tx.run(ENDS[end]))
    for known in (callers, others):
        with pytest.raises(Unauthenticated):
            await known.user(credential, clock())


ENDS_OF_INBOXES = {
    "the user is deleted": "UPDATE users SET deleted_at = 1",
    "the account is deleted, and with it all it has": "DELETE FROM users",
    "the sign-in that it was made with is ended": "DELETE FROM sessions",
}


@pytest.mark.parametrize("end", ENDS_OF_INBOXES)
async def test_an_inbox_session_ends_with_its_user_or_sign_in(
    database: Database, callers: Callers, mint: Mint, person: User, clock: SettableClock, end: str
) -> None:
    token = mint.inbox(person.id, "s1", clock())
    assert (await callers.user(token, clock())).user == person
    await database.write(lambda tx: tx.run(ENDS_OF_INBOXES[end]))
    with pytest.raises(Unauthenticated):
        await callers.user(token, clock())


async def test_an_inbox_session_of_no_sign_in_outlives_each(
    database: Database, callers: Callers, mint: Mint, person: User, clock: SettableClock
) -> None:
    token = mint.inbox(person.id, None, clock())
    await database.write(lambda tx: tx.run("DELETE FROM sessions"))
    assert (await callers.user(token, clock())).user == person


async def test_an_inbox_session_lasts_as_long_as_it_says(
    callers: Callers, mint: Mint, person: User, clock: SettableClock
) -> None:
    token = mint.inbox(person.id, None, clock())
    caller, ends = await callers.inbox(token, clock())
    assert (caller.user, ends) == (person, clock() // 1000 * 1000 + INBOX_SECONDS * 1000)
    assert (await callers.user(token, ends - 1)).user == person
    with pytest.raises(Unauthenticated) as refused:
        await callers.user(token, ends)
    assert refused.value.reason == "token_expired"


async def test_an_inbox_session_is_good_for_inboxes_alone_also_an_admins(
    callers: Callers, mint: Mint, person: User, clock: SettableClock
) -> None:
    grant = (await callers.user(mint.inbox(person.id, "s1", clock()), clock())).grant
    assert {need for need in Need if grant.meets(need)} == {Need.INBOX}
    assert not grant.acts


@pytest.mark.usefixtures("person")
async def test_no_kind_of_token_passes_for_another(
    callers: Callers, mint: Mint, clock: SettableClock
) -> None:
    access, refresh, inbox = (
        mint.access("s1", clock()),
        mint.refresh("s1", clock()),
        mint.inbox("u1", "s1", clock()),
    )
    for token, read in (
        (inbox, mint.read_access),
        (inbox, mint.read_refresh),
        (access, mint.read_inbox),
        (refresh, mint.read_inbox),
    ):
        with pytest.raises(Unauthenticated):
            read(token, clock())
    for token in (access, refresh, TOKEN, "garbage", ""):
        with pytest.raises(Unauthenticated):
            await callers.inbox(token, clock())


@pytest.mark.usefixtures("person")
async def test_a_change_of_role_or_scopes_holds_at_once(
    database: Database, callers: Callers, clock: SettableClock
) -> None:
    assert (await callers.user(TOKEN, clock())).grant.operator
    await database.write(lambda tx: tx.run("UPDATE users SET role = 'user'"))
    assert not (await callers.user(TOKEN, clock())).grant.operator
    await database.write(lambda tx: tx.run("UPDATE access_tokens SET scopes = '[]'"))
    assert (await callers.user(TOKEN, clock())).grant.scopes == frozenset()


async def test_what_is_remembered_expires_when_it_says(
    callers: Callers, mint: Mint, person: User, clock: SettableClock
) -> None:
    session = mint.access("s1", clock())
    for credential in (TOKEN, session):
        assert (await callers.user(credential, clock() + LIFETIME - 1)).user == person
        with pytest.raises(Unauthenticated):
            await callers.user(credential, clock() + LIFETIME)


async def test_what_was_read_before_a_change_is_not_remembered_after_it(
    database: Database, mint: Mint, person: User, clock: SettableClock
) -> None:
    """The read had begun when the token was good, so it may pass; the next does not."""
    paused = Paused(database, lambda: database.write(lambda tx: tx.run("DELETE FROM access_tokens")))
    callers = Callers(paused, mint, Usage())
    assert (await callers.user(TOKEN, clock())).user == person
    with pytest.raises(Unauthenticated):
        await callers.user(TOKEN, clock())


@pytest.mark.usefixtures("person")
async def test_a_credential_is_read_once_where_nobody_else_can_change_it(
    database: Database, mint: Mint, clock: SettableClock
) -> None:
    """Writes of other things do not make it read again."""
    paused = Paused(database, nothing)
    callers = Callers(paused, mint, Usage())
    for _ in range(5):
        await callers.user(TOKEN, clock())
        await database.write(lambda tx: tx.run("UPDATE tenants SET name = name"))
    assert paused.reads == (5 if database.credentials_version is None else 1)


@pytest.fixture
async def second(database_url: str, database: Database) -> AsyncIterator[Database]:
    """The same database as another server sees it; SQLite has no other, and a file no second process."""
    if database.exclusive:
        yield database
        return
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def test_a_server_knows_at_once_what_another_one_ended(
    database: Database, second: Database, mint: Mint, person: User, clock: SettableClock
) -> None:
    callers = Callers(database, mint, Usage())
    assert (await callers.user(TOKEN, clock())).user == person
    await second.write(lambda tx: tokens.delete_token(tx, "t1", person.id))
    with pytest.raises(Unauthenticated):
        await callers.user(TOKEN, clock())


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("made_anew", [True, False])
async def test_a_token_is_not_good_for_another_tenant_that_has_the_name_by_now(
    database: Database, callers: Callers, clock: SettableClock, random: Random, *, made_anew: bool
) -> None:
    """A request names its tenant in a body that may come long after the headers: the first is deleted meanwhile. Nor does it make one."""
    bound = "zat_" + "b" * 43

    async def begin(tx: Transaction) -> None:
        await ensure_tenant(tx, "first", "acme", 1)
        token = AccessToken("t2", "u1", "acme", "app", ("admin",), 1, None, None)
        await tokens.add_token(tx, token, token_hash=token_hash(bound), tenant_id="first")

    async def end(tx: Transaction) -> None:
        await tenants.close_tenant(tx, "first", 2)
        if made_anew:
            await ensure_tenant(tx, "second", "acme", 2)

    await database.write(begin)
    caller = await callers.user(bound, clock())
    assert (await callers.on_behalf(caller, "acme", None)).tenant_id == "first"
    await database.write(end)
    assert await database.read(lambda tx: find_tenant(tx, "acme")) == ("second" if made_anew else None)
    for user in (None, "ann"):
        with pytest.raises(NotFound):
            await callers.on_behalf(caller, "acme", user)
        with pytest.raises(NotFound):
            await callers.act(caller, None, user)

    async def make(tx: Transaction) -> str:
        return await ensure_meant(tx, caller, "acme", makes=True, now=3, random=random)

    with pytest.raises(NotFound):
        await database.write(make)
    assert await database.read(lambda tx: find_tenant(tx, "acme")) == ("second" if made_anew else None)
