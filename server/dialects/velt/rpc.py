"""A call: a path, who may, and a function from what `data` held to what `result` shows. It says itself what it takes and gives."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Generic, TypeVar

from aiohttp import web

from server.api.answers import JSON, show
from server.api.bodies import Body, read
from server.api.describe import Tag, description_of
from server.api.gate import ForUser, TwoKeys
from server.api.reading import read_json
from server.commands.callers import Callers
from server.dialects.velt.errors import VeltErrorView
from server.domain.account import Caller
from server.domain.errors import NotFound
from server.domain.ports import Clock
from server.domain.scopes import Need

B_co = TypeVar("B_co", bound=Body, covariant=True)
ROOT = "/v2/"
KEYS = TwoKeys("x-velt-api-key", "x-velt-auth-token")
TAG = Tag("velt", "Notifications of documents in organizations.")


@dataclass(frozen=True)
class Call(Generic[B_co]):
    """One call: who it is from, and what was read from its body. `now` in milliseconds."""

    caller: Caller
    body: B_co
    given: dict[str, Any]
    now: int
    callers: Callers

    async def on_behalf(self, organization: str, user: str | None = None) -> Caller:
        """Return the caller for an organization and a user of it (`Callers.on_behalf`)."""
        return await self.callers.on_behalf(self.caller, organization, user)

    async def within(self, organization: str, user: str | None = None) -> Caller:
        """Return the caller for an organization that is there, and a user of it; NotFound where it is not, or not for this caller."""
        caller = await self.on_behalf(organization, user)
        if not caller.tenant_id:
            raise NotFound("no such organization", code="tenant_not_found")
        return caller

    async def organization(self, organization: str) -> str:
        """Return the id of the tenant that an organization is; NotFound as `within`."""
        return (await self.within(organization)).tenant_id


@dataclass(frozen=True)
class Rpc:
    """`run` carries a call out."""

    name: str
    need: Need
    run: Callable[[Call[Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Rpcs:
    """Makes routes of calls."""

    callers: Callers
    clock: Clock

    def routes(self, table: Sequence[Rpc]) -> list[ForUser]:
        return [ForUser("POST", ROOT + rpc.name, rpc.need, self._handler(rpc), keys=KEYS) for rpc in table]

    def _handler(self, rpc: Rpc) -> Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]:
        description = description_of(rpc.run)
        if description is None or description.takes is None:
            raise TypeError(f"{rpc.name} does not say what it takes")
        takes = description.takes

        @wraps(rpc.run)
        async def handler(request: web.Request, caller: Caller) -> web.StreamResponse:
            given, now = await read_json(request), self.clock()
            body = read(takes, given, now=now)
            return show(await rpc.run(Call(caller, body, given, now, self.callers)))

        handler.description = replace(  # type: ignore[attr-defined] # functions have attributes
            description, tag=TAG, refuses=VeltErrorView, refuses_as=JSON
        )
        return handler
