"""An operation: a method, a path, who may, and a function from a call to what the answer's `data` holds. It says itself what it takes and gives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Annotated, Any, TypedDict, TypeVar

from aiohttp import web

from server.api.answers import JSON, show
from server.api.bodies import Body, Time, note, read, read_query
from server.api.describe import Tag, description_of
from server.api.gate import ForUser
from server.api.reading import read_json
from server.commands.callers import Callers
from server.dialects.aptly.errors import AptlyErrorView
from server.dialects.aptly.fields import TenantQuery
from server.domain.account import Caller
from server.domain.errors import invalid
from server.domain.ports import Clock
from server.domain.scopes import Need
from server.domain.times import show_time

B = TypeVar("B", bound=Body)
ROOT = "/v1/"
ROOTS = (ROOT, "/notification/v1/")
ID = "{id:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}}"
TAG = Tag(
    "aptly",
    "Notifications from templates, for the servers and the pages of an app. Every path stands below /notification/v1/ as well.",
)
_USER, _TENANT = "X-User-ID", "X-Tenant-ID"


class Envelope(TypedDict):
    """What stands around every answer."""

    statusCode: Annotated[int, note("Always 200.")]
    timestamp: Annotated[Time, note("When this was answered.")]
    message: Annotated[str, note("Always `Success`.")]


class NothingAnswer(Envelope):
    """That it was done."""

    data: Annotated[None, note("There is nothing to show.")]


@dataclass(frozen=True)
class Call:
    """One call, and who it is from or for. `now` in milliseconds."""

    request: web.Request
    caller: Caller
    now: int
    callers: Callers

    @property
    def id(self) -> str:
        """Return the id in the path."""
        return self.request.match_info["id"].lower()

    async def body(self, kind: type[B]) -> B:
        """Return what was sent; Invalid names every fault."""
        return read(kind, await read_json(self.request), now=self.now)

    def query(self, kind: type[B]) -> B:
        """Return what the URL's query asks for; Invalid names every fault."""
        return read_query(kind, self.request, now=self.now)

    async def manager(self, tenant: str | None, place: str = "?tenantId") -> Caller:
        """Return the caller for a tenant that is named at a place, and no user of it; None: for the one that they call for."""
        return self.caller if tenant is None else await self._in_tenant(tenant, None, place)

    async def reader(self) -> Caller:
        """Return whose inbox is meant, in the tenant that the query names; NotFound, Invalid where nobody is named."""
        tenant = self.query(TenantQuery).tenant_id
        if tenant is None:
            return self.caller
        acting = self.caller.acting
        if acting is not None:
            return await self._in_tenant(tenant, acting.user, "?tenantId")
        if self.caller.grant.acts:
            raise invalid(_USER, "is missing", "name the user for whom this is, or use a token of their own")
        return await self._in_tenant(tenant, self.caller.user.id, "?tenantId")

    async def _in_tenant(self, tenant: str, user: str | None, place: str) -> Caller:
        if self.request.headers.get(_TENANT, tenant) != tenant:
            raise invalid(
                place, f"is not the tenant of {_TENANT}", "name one tenant, or leave out one of the two"
            )
        return await self.callers.on_behalf(self.caller, tenant, user)


@dataclass(frozen=True)
class Operation:
    """`path` is below each of ROOTS. `run` carries a call out."""

    method: str
    path: str
    need: Need
    run: Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Operations:
    """Makes routes of operations."""

    callers: Callers
    clock: Clock

    def routes(self, table: Sequence[Operation]) -> list[ForUser]:
        return [
            ForUser(one.method, root + one.path, one.need, self._handler(one, root), acts=True)
            for root in ROOTS
            for one in table
        ]

    def _handler(
        self, operation: Operation, root: str
    ) -> Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]:
        description = description_of(operation.run)
        if description is None:
            raise TypeError(f"{operation.path} does not say what it is for")

        @wraps(operation.run)
        async def handler(request: web.Request, caller: Caller) -> web.StreamResponse:
            now = self.clock()
            data = await operation.run(Call(request, caller, now, self.callers))
            return show(_envelope(data, now), status=description.status)

        handler.description = replace(  # type: ignore[attr-defined] # functions have attributes
            description, tag=TAG, refuses=AptlyErrorView, refuses_as=JSON, listed=root == ROOT
        )
        return handler


def _envelope(data: Any, now: int) -> Mapping[str, Any]:
    return {**Envelope(statusCode=200, timestamp=show_time(now), message="Success"), "data": data}
