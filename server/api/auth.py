"""`/api/v1/auth`: accounts, signing in, staying signed in, signing out; and `/api/v1/users/me`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.api.address import Network, client_address, is_local
from server.api.answers import nothing, rate_limit, show
from server.api.reading import Fields, read_json
from server.commands.accounts import AccountRules, RegisterAccount, register
from server.commands.mint import ACCESS_SECONDS, Mint
from server.commands.passwords import Passwords
from server.commands.sessions import (
    SignedIn,
    SignIn,
    SignInLimits,
    begin_session,
    refresh,
    sign_in,
    sign_out,
)
from server.domain import rules
from server.domain.account import (
    LONGEST_EMAIL,
    LONGEST_NAME,
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    Caller,
    User,
)
from server.domain.errors import Forbidden, Limited
from server.domain.ports import Clock, Database, Random
from server.domain.rules import Wrong
from server.domain.throttle import Throttling
from server.domain.times import show_time

_LONGEST_TOKEN = 4096
_SHORTEST_USERNAME = 2


@dataclass(frozen=True)
class Auth:
    db: Database
    clock: Clock
    random: Random
    passwords: Passwords
    mint: Mint
    rules: AccountRules
    sign_ins: SignInLimits
    registrations: Throttling
    loopback: bool
    proxies: Sequence[Network]

    async def register(self, request: web.Request) -> web.Response:
        command = read_registration(await read_json(request), local=is_local(request, loopback=self.loopback))
        now, address = self.clock(), client_address(request, self.proxies)
        if await self.registrations.take(address, now) is None:
            raise Limited("too many registrations from this address", self.registrations.left(address, now))
        user = await register(
            self.db, command, rules=self.rules, passwords=self.passwords, now=now, random=self.random
        )
        signed_in = await begin_session(
            self.db, user, mint=self.mint, now=now, random=self.random, password_hash=None
        )
        return show(show_signed_in(signed_in), status=201)

    async def login(self, request: web.Request) -> web.Response:
        command = read_sign_in(await read_json(request), client_address(request, self.proxies))
        now = self.clock()
        signed_in = await sign_in(
            self.db,
            command,
            passwords=self.passwords,
            limits=self.sign_ins,
            mint=self.mint,
            now=now,
            random=self.random,
        )
        return show(show_signed_in(signed_in), headers=rate_limit(self.sign_ins.left(command, now)))

    async def refresh(self, request: web.Request) -> web.Response:
        fields = Fields(await read_json(request))
        token = fields.required("refreshToken", most=_LONGEST_TOKEN)
        fields.check()
        return show(show_signed_in(await refresh(self.db, token, mint=self.mint, now=self.clock())))

    async def logout(self, _request: web.Request, caller: Caller) -> web.Response:
        if caller.session_id is None:
            raise Forbidden("an access token has no session; delete it instead", code="no_session")
        await sign_out(self.db, caller.session_id)
        return nothing()

    async def me(self, _request: web.Request, caller: Caller) -> web.Response:
        return show(show_user(caller.user))


def read_registration(values: dict[str, Any], *, local: bool) -> RegisterAccount:
    fields = Fields(values)
    command = RegisterAccount(
        email=fields.required("email", most=LONGEST_EMAIL, rule=rules.email),
        username=fields.required(
            "username", least=_SHORTEST_USERNAME, most=LONGEST_NAME, rule=rules.username
        ),
        password=fields.required("password", least=SHORTEST_PASSWORD, most=LONGEST_PASSWORD, rule=_anything),
        code=fields.optional("code", most=LONGEST_NAME),
        local=local,
    )
    fields.check()
    return command


def read_sign_in(values: dict[str, Any], address: str) -> SignIn:
    """Read `email` or `username`; either takes what was registered as the other."""
    fields = Fields(values)
    by = "username" if fields.value("email") is None and fields.value("username") is not None else "email"
    command = SignIn(
        name=fields.required(by, most=LONGEST_EMAIL),
        password=fields.required("password", most=LONGEST_PASSWORD, rule=_anything),
        address=address,
    )
    fields.check()
    return command


def show_signed_in(signed_in: SignedIn) -> dict[str, Any]:
    return {
        "accessToken": signed_in.access_token,
        "refreshToken": signed_in.refresh_token,
        "tokenType": "Bearer",
        "expiresIn": ACCESS_SECONDS,
        "user": show_user(signed_in.user),
    }


def show_user(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "externalId": user.external_id,
        "role": user.role.value,
        **{name: user.profile.get(name) for name in ("firstName", "lastName", "phone", "locale", "timezone")},
        "createdAt": show_time(user.created_at),
    }


def _anything(_text: str) -> Wrong | None:
    return None  # a password may hold any character
