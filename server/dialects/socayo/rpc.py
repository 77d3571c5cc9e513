"""An RPC: a name, who may call it, and a function from a call to an answer. It says itself what it takes and gives (`describes`)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Generic, TypeVar

from aiohttp import web

from server.api.answers import JSON, show
from server.api.bodies import Body, read
from server.api.describe import Tag, description_of
from server.api.gate import ForUser
from server.api.reading import read_json
from server.commands.acting import settle
from server.dialects.socayo.errors import ErrorView
from server.domain.account import Caller
from server.domain.errors import Invalid
from server.domain.ports import Clock, Database, Random
from server.domain.scopes import Need

B_co = TypeVar("B_co", bound=Body | None, covariant=True)
ROOT = "/api/v1/notifications/"
TAG = Tag("socayo", "Notifications by RPC: what an app's own server, or a gateway before it, calls.")


@dataclass(frozen=True)
class Call(Generic[B_co]):
    """One call: who it is from or for, what was read from its body, and the body's JSON as it came. `now` in milliseconds.

    `route` is the path of the RPC, which is a part of the name of an idempotency key.
    """

    caller: Caller
    body: B_co
    given: dict[str, Any] = field(repr=False)
    now: int
    route: str = ""


@dataclass(frozen=True)
class Rpc:
    """`run` carries a call out. `creates`: it makes the tenant, and the user whom X-User-ID names, where they are new.

    `repeat` answers a call that is refused by now and was not when it came first (its time has passed meanwhile); None where it did not.
    """

    name: str
    need: Need
    run: Callable[[Call[Any]], Awaitable[Any]]
    creates: bool = False
    repeat: Callable[[Call[None]], Awaitable[Any]] | None = None

    @property
    def route(self) -> str:
        """Return its path."""
        return ROOT + self.name


@dataclass(frozen=True)
class Rpcs:
    """Makes routes of RPCs."""

    db: Database
    clock: Clock
    random: Random

    def routes(self, table: Sequence[Rpc]) -> list[ForUser]:
        return [ForUser("POST", rpc.route, rpc.need, self._handler(rpc), acts=True) for rpc in table]

    def _handler(self, rpc: Rpc) -> Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]:
        description = description_of(rpc.run)
        if description is None or description.takes is None:
            raise TypeError(f"{rpc.name} does not say what it takes")
        takes = description.takes

        @wraps(rpc.run)
        async def handler(request: web.Request, caller: Caller) -> web.StreamResponse:
            given, now = await read_json(request), self.clock()
            try:
                body = read(takes, given, now=now)
            except Invalid:
                repeated = rpc.repeat and await rpc.repeat(Call(caller, None, given, now, rpc.route))
                if not repeated:
                    raise
                return show(repeated)
            if rpc.creates:
                caller = await settle(self.db, caller, now=now, random=self.random)
            return show(await rpc.run(Call(caller, body, given, now, rpc.route)))

        handler.description = replace(  # type: ignore[attr-defined] # functions have attributes
            description, tag=TAG, refuses=ErrorView, refuses_as=JSON
        )
        return handler
