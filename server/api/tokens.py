"""`/api/v1/access-tokens`: create (the only time that a token is shown), list, get, change, delete."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, instant, note, own, read, text
from server.api.describe import describes
from server.api.reading import Fields, read_json
from server.commands import tokens as commands
from server.commands.tokens import ChangeToken, CreateToken
from server.domain import scopes
from server.domain.account import LONGEST_NAME, AccessToken, Caller
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time, show_when

_MOST_SCOPES = 100
_LONGEST_SCOPE = 100
_KNOWN = f"use {', '.join(scopes.SIMPLE)} or messages:create:<bucketId>"


def _read_scopes(fields: Fields, name: str) -> tuple[str, ...]:
    if fields.value(name) is None:
        fields.fault(name, "is missing", f"send a list; {_KNOWN}")
    return _scopes(fields, name)


def _read_fewer_scopes(fields: Fields, name: str) -> tuple[str, ...] | None:
    return None if fields.value(name) is None else _scopes(fields, name)


def _scopes(fields: Fields, name: str) -> tuple[str, ...]:
    found = []
    for index, value in enumerate(fields.items(name, most=_MOST_SCOPES) or []):
        scope = fields.text(f"{name}[{index}]", value, most=_LONGEST_SCOPE)
        if scope is not None and not scopes.known(scope):
            fields.fault(f"{name}[{index}]", "is not a known scope", _KNOWN)
        found.append(scope or "")
    return scopes.normal(found)


def _read_expiry(fields: Fields, name: str) -> int | msgspec.UnsetType | None:
    return fields.instant(name, after=fields.now) if fields.among([name]) else msgspec.UNSET


def _refuse_tenant(fields: Fields, name: str) -> None:
    if fields.value(name) is not None:  # passing over it would give a token more than was asked for
        fields.fault(name, "cannot be changed", "leave it out, or make another token")


_NAME = text("What the token is for, as people see it.", most=LONGEST_NAME)
_SCOPE_LIST = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_SCOPES}
_NULLABLE_TIME = {"type": ["string", "null"], "format": "date-time"}


class TokenBody(Body, frozen=True, kw_only=True):
    """A token that is to be made."""

    name: Annotated[str, _NAME]
    scopes: Annotated[
        tuple[str, ...], own(_read_scopes, "What the token may do; none: nothing.", **_SCOPE_LIST)
    ]
    expires_at: Annotated[int, instant("When it ends; left out: never.", future=True)] | None = None
    tenant_id: (
        Annotated[
            str,
            text(
                "The one tenant that a token with `admin` or `gateway` is good for; it is made where it is new. Left out: every tenant.",
                most=LONGEST_NAME,
            ),
        ]
        | None
    ) = None


class TokenChange(Body, frozen=True, kw_only=True):
    """What is to be different about a token; what is left out stays."""

    name: Annotated[str, _NAME] | None = None
    scopes: Annotated[
        tuple[str, ...] | None,
        own(_read_fewer_scopes, "Fewer scopes than it has, which take the place of those.", **_SCOPE_LIST),
    ] = None
    expires_at: Annotated[
        int | msgspec.UnsetType | None,
        own(_read_expiry, "When it ends; null: never.", **_NULLABLE_TIME),
    ] = msgspec.UNSET
    tenant_id: Annotated[None, own(_refuse_tenant, "Cannot be changed.", type="null")] = None


class TokenView(TypedDict):
    """What is known of a token after it was shown."""

    id: Id
    name: Annotated[str, note("What the token is for, as people see it.")]
    scopes: Annotated[list[str], note("What the token may do.")]
    tenantId: Annotated[
        str | None, note("The one tenant that it is good for; null: all that its scopes reach.")
    ]
    createdAt: Time
    expiresAt: Annotated[Time | None, note("When it ends; null: never.")]
    lastUsedAt: Annotated[Time | None, note("When it was last used, as of half a minute ago.")]


class NewTokenView(TokenView):
    """A token that was just made."""

    token: Annotated[str, note("The token itself. It is shown this once.")]


class TokenList(TypedDict):
    """One's access tokens."""

    accessTokens: Annotated[list[TokenView], note("The caller's tokens, the newest first.")]


@dataclass(frozen=True)
class Tokens:
    db: Database
    clock: Clock
    random: Random

    @describes(
        "Make an access token",
        detail="The answer is the only place where the token itself is shown. Only an admin can give `admin`, `gateway` and `metrics`.",
        takes=TokenBody,
        gives=NewTokenView,
        status=201,
        errors=("scope_forbidden",),
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        now = self.clock()
        command = read_token(await read_json(request), now)
        new = await commands.create_token(self.db, caller.user, command, now=now, random=self.random)
        return show(show_new_token(new.token, new.secret), status=201)

    @describes("List one's access tokens", gives=TokenList)
    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        found = await commands.list_tokens(self.db, caller.user)
        return show(TokenList(accessTokens=[show_token(token) for token in found]))

    @describes("Get an access token", detail="Without the token itself.", gives=TokenView)
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        token = await commands.get_token(self.db, caller.user, request.match_info["id"].lower())
        return show(show_token(token))

    @describes(
        "Change an access token",
        detail="Its name, its end, and its scopes as long as there are fewer: whoever holds a token never gets more than it was made for.",
        takes=TokenChange,
        gives=TokenView,
        errors=("scope_wider",),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        command = read_change(await read_json(request), self.clock())
        token = await commands.change_token(self.db, caller.user, request.match_info["id"].lower(), command)
        return show(show_token(token))

    @describes("Delete an access token", detail="It is worthless at once.", status=204)
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await commands.delete_token(self.db, caller.user, request.match_info["id"].lower())
        return nothing()


def read_token(values: dict[str, Any], now: int) -> CreateToken:
    body = read(TokenBody, values, now=now)
    return CreateToken(body.name, body.scopes, body.expires_at, body.tenant_id)


def read_change(values: dict[str, Any], now: int) -> ChangeToken:
    body = read(TokenChange, values, now=now)
    return ChangeToken(body.name, body.scopes, body.expires_at)


def show_token(token: AccessToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=[*token.scopes],
        tenantId=token.tenant,
        createdAt=show_time(token.created_at),
        expiresAt=show_when(token.expires_at),
        lastUsedAt=show_when(token.last_used_at),
    )


def show_new_token(token: AccessToken, secret: str) -> NewTokenView:
    return NewTokenView(**show_token(token), token=secret)
