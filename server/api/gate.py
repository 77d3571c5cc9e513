"""The gate: every route says who may pass, and nobody reaches a handler in another way.

`Open` routes are for anyone. `ForUser` routes are for a person who is signed in or an access token, as far as their grant
meets the route's need. `ForDevice` routes are for a paired device with its own token, and for nothing else. `ForEither` routes are
for a user and, with the same handler, for a device of a user's. Each request is counted (`limits.py`), but what watches the server is not. Where `when` names a parameter, a route is for requests whose
query has it, and another of the same path for the others.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from server.api.limits import RequestLimits
from server.commands.callers import DEVICE_TOKEN, Callers
from server.domain.account import Caller, CallingDevice
from server.domain.errors import Forbidden, Unauthenticated
from server.domain.ports import Clock
from server.domain.scopes import Need

T = TypeVar("T")
Answer = Awaitable[web.StreamResponse]
_BEARER = "bearer."
_ACTING_FOR_OTHERS = ("X-User-ID", "X-Tenant-ID")


@dataclass(frozen=True)
class Open:
    """`counted` False: however often, as what watches over the server may have to ask."""

    method: str
    path: str
    handler: Callable[[web.Request], Answer]
    counted: bool = True


@dataclass(frozen=True)
class ForUser:
    method: str
    path: str
    need: Need
    handler: Callable[[web.Request, Caller], Answer]
    when: str | None = None


@dataclass(frozen=True)
class ForDevice:
    method: str
    path: str
    handler: Callable[[web.Request, CallingDevice], Answer]


@dataclass(frozen=True)
class ForEither:
    """`need` is what a user's grant must meet; a device's token is enough by itself."""

    method: str
    path: str
    need: Need
    handler: Callable[[web.Request, Caller | CallingDevice], Answer]


Route = Open | ForUser | ForDevice | ForEither
TABLE = web.AppKey("table", list[Route])  # of an application: its routes, as they were installed


@dataclass(frozen=True)
class Gate:
    """Finds out who calls and compares it with what the route needs."""

    callers: Callers
    clock: Clock
    limits: RequestLimits

    def guard(self, route: Route) -> Callable[[web.Request], Answer]:
        """Return the handler that the router is given."""
        if isinstance(route, Open):
            return self._open(route) if route.counted else route.handler
        if isinstance(route, ForDevice):
            return self._for_device(route)
        if isinstance(route, ForEither):
            return self._for_either(route)
        return self._for_user(route)

    def _open(self, route: Open) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.limits.count_stranger(request)
            return await route.handler(request)

        return guarded

    def _for_user(self, route: ForUser) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            return await route.handler(request, await self.user(request, route.need))

        return guarded

    def _for_either(self, route: ForEither) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if _is_of_device(request):
                return await route.handler(request, await self._device(request))
            return await route.handler(request, await self.user(request, route.need))

        return guarded

    async def user(self, request: web.Request, need: Need) -> Caller:
        """Return the user behind a request; Unauthenticated, Forbidden."""
        caller = await self._known(request, self.callers.user)
        self.limits.count(request, caller.credential_id)
        if not caller.grant.meets(need):
            raise Forbidden(_lacking(need, caller), code="scope_missing")
        _refuse_acting_for_others(request)
        return caller

    def _for_device(self, route: ForDevice) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            return await route.handler(request, await self._device(request))

        return guarded

    async def _device(self, request: web.Request) -> CallingDevice:
        device = await self._known(request, self.callers.device)
        self.limits.count(request, device.id)
        return device

    async def _known(self, request: web.Request, find: Callable[[str, int], Awaitable[T]]) -> T:
        """Return who calls; who is nobody is counted by their address. Unauthenticated, Limited."""
        try:
            return await find(credential(request), self.clock())
        except Unauthenticated:
            self.limits.count_stranger(request)
            raise


def credential(request: web.Request) -> str:
    """Return the token of an Authorization header, or of a WebSocket's subprotocols; tokens travel nowhere else. Unauthenticated."""
    given = request.headers.getall("Authorization", []) or _of_protocols(request)
    scheme, _, token = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send one header, Authorization: Bearer <token>")
    return token.strip()


def _of_protocols(request: web.Request) -> list[str]:
    """Return the credentials among the subprotocols of a WebSocket, for which a page can set no other header."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return []
    given = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    words = [word.strip() for word in given]
    return [f"Bearer {word.removeprefix(_BEARER)}" for word in words if word.startswith(_BEARER)]


def _is_of_device(request: web.Request) -> bool:
    try:
        return credential(request).startswith(DEVICE_TOKEN)
    except Unauthenticated:
        return False


def _refuse_acting_for_others(request: web.Request) -> None:
    for name in _ACTING_FOR_OTHERS:
        if name in request.headers:
            raise Forbidden(f"{name} is not honoured here; leave it out", code="acting_forbidden")


def _lacking(need: Need, caller: Caller) -> str:
    if caller.grant.scopes is None:
        return "only an admin may do this"
    wanted = "admin" if need in (Need.ACCOUNT, Need.OPERATE) else need.value
    return f"this access token lacks the scope {wanted}"
