"""`/api/v1/access-tokens`: create (the only time that a token is shown), list, delete."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.api.answers import nothing, show
from server.api.reading import Fields, read_json
from server.commands.tokens import CreateToken, create_token, delete_token, list_tokens
from server.domain import scopes
from server.domain.account import LONGEST_NAME, AccessToken, Caller
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time

_MOST_SCOPES = 100
_LONGEST_SCOPE = 100


@dataclass(frozen=True)
class Tokens:
    db: Database
    clock: Clock
    random: Random

    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        now = self.clock()
        command = read_token(await read_json(request), now)
        new = await create_token(self.db, caller.user, command, now=now, random=self.random)
        shown = show_token(new.token)
        return show({"id": shown.pop("id"), "token": new.secret, **shown}, status=201)

    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        tokens = await list_tokens(self.db, caller.user)
        return show({"accessTokens": [show_token(token) for token in tokens]})

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await delete_token(self.db, caller.user, request.match_info["id"].lower())
        return nothing()


def read_token(values: dict[str, Any], now: int) -> CreateToken:
    fields = Fields(values)
    name = fields.required("name", most=LONGEST_NAME)
    expires_at = fields.instant("expiresAt", after=now)
    wanted = _read_scopes(fields)
    if fields.value("tenantId") is not None:  # passing over it would give a token more than was asked for
        fields.fault("tenantId", "cannot be chosen on this server", "leave it out")
    fields.check()
    return CreateToken(name, wanted, expires_at)


def _read_scopes(fields: Fields) -> tuple[str, ...]:
    known = f"use {', '.join(scopes.SIMPLE)} or messages:create:<bucketId>"
    if fields.value("scopes") is None:
        fields.fault("scopes", "is missing", f"send a list; {known}")
    found = []
    for index, value in enumerate(fields.items("scopes", most=_MOST_SCOPES) or []):
        scope = fields.text(f"scopes[{index}]", value, most=_LONGEST_SCOPE)
        if scope is not None and not scopes.known(scope):
            fields.fault(f"scopes[{index}]", "is not a known scope", known)
        found.append(scope or "")
    return scopes.normal(found)


def show_token(token: AccessToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "createdAt": show_time(token.created_at),
        "expiresAt": None if token.expires_at is None else show_time(token.expires_at),
        "lastUsedAt": None if token.last_used_at is None else show_time(token.last_used_at),
    }
