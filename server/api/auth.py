"""`/api/v1/auth`: accounts, signing in, staying signed in, signing out."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from aiohttp import web

from server.api.address import Proxies, client_address, is_local
from server.api.answers import nothing, rate_limit, show
from server.api.bodies import Body, note, own, read, text
from server.api.describe import describes
from server.api.reading import Fields, read_json
from server.api.users import EMAIL, NEW_PASSWORD, USERNAME, UserView, anything, show_user
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
from server.domain.account import LONGEST_EMAIL, LONGEST_NAME, LONGEST_PASSWORD, Caller
from server.domain.errors import Forbidden, Limited
from server.domain.ports import Clock, Database, Random
from server.domain.throttle import Throttling

_LONGEST_TOKEN = 4096


class RegistrationBody(Body, frozen=True, kw_only=True):
    """An account that is to be made."""

    email: Annotated[str, EMAIL]
    username: Annotated[str, USERNAME]
    password: Annotated[str, NEW_PASSWORD]
    code: (
        Annotated[
            str,
            text(
                "An invitation's code, where registration is by invitation; for the first account the one in the server's log.",
                most=LONGEST_NAME,
            ),
        ]
        | None
    ) = None


def _read_email(fields: Fields, name: str) -> str | None:
    if fields.value("username") is None:
        return fields.required(name, most=LONGEST_EMAIL)
    return fields.optional(name, most=LONGEST_EMAIL)


class SignInBody(Body, frozen=True, kw_only=True):
    """Who signs in: by `email` or by `username`, either of which takes what was registered as the other."""

    email: Annotated[
        str | None,
        own(_read_email, "The account's email address.", type="string", maxLength=LONGEST_EMAIL),
    ] = None
    username: Annotated[str, text("Its username, in the place of `email`.", most=LONGEST_EMAIL)] | None = None
    password: Annotated[str, text("The account's password.", most=LONGEST_PASSWORD, rule=anything)]


class RefreshBody(Body, frozen=True, kw_only=True):
    """A refresh token that is exchanged for new tokens; it is spent then."""

    refresh_token: Annotated[str, text("The newest one of the session.", most=_LONGEST_TOKEN)]


class SignedInView(TypedDict):
    """The tokens of a session, and whose it is."""

    accessToken: Annotated[str, note("For the header `Authorization: Bearer`.")]
    refreshToken: Annotated[str, note("Good once, for new tokens of this session.")]
    tokenType: Annotated[Literal["Bearer"], note("Always this.")]
    expiresIn: Annotated[int, note("For how many seconds the access token is good.")]
    user: Annotated[UserView, note("Whose it is.")]


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
    proxies: Proxies

    @describes(
        "Register",
        detail="The first account is the operator's. Who may make others is configured: anybody, who has an invitation, or nobody.",
        takes=RegistrationBody,
        gives=SignedInView,
        status=201,
        errors=(
            "first_account_code_required",
            "first_account_code_invalid",
            "registration_closed",
            "registration_invite",
            "invitation_invalid",
            "email_taken",
            "username_taken",
            "limited",
            "unavailable",
        ),
    )
    async def register(self, request: web.Request) -> web.Response:
        body = read(RegistrationBody, await read_json(request))
        local = is_local(request, loopback=self.loopback)
        command = RegisterAccount(body.email, body.username, body.password, body.code, local)
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

    @describes(
        "Sign in",
        takes=SignInBody,
        gives=SignedInView,
        errors=("credentials_invalid", "limited", "unavailable"),
    )
    async def login(self, request: web.Request) -> web.Response:
        body = read(SignInBody, await read_json(request))
        name = body.email or body.username or ""
        command, now = SignIn(name, body.password, client_address(request, self.proxies)), self.clock()
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

    @describes(
        "Stay signed in",
        detail="A refresh token is good once. One that comes a second time was stolen by somebody: its session ends.",
        takes=RefreshBody,
        gives=SignedInView,
        errors=("token_invalid", "token_expired", "session_ended"),
    )
    async def refresh(self, request: web.Request) -> web.Response:
        token = read(RefreshBody, await read_json(request)).refresh_token
        return show(show_signed_in(await refresh(self.db, token, mint=self.mint, now=self.clock())))

    @describes("Sign out", detail="Both tokens are worthless at once.", status=204, errors=("no_session",))
    async def logout(self, _request: web.Request, caller: Caller) -> web.Response:
        if caller.session_id is None:
            raise Forbidden("an access token has no session; delete it instead", code="no_session")
        await sign_out(self.db, caller.session_id)
        return nothing()


def show_signed_in(signed_in: SignedIn) -> SignedInView:
    return SignedInView(
        accessToken=signed_in.access_token,
        refreshToken=signed_in.refresh_token,
        tokenType="Bearer",
        expiresIn=ACCESS_SECONDS,
        user=show_user(signed_in.user),
    )
