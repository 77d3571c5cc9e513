"""The gate: every route says who may pass, and nobody reaches a handler in another way.

`Open` routes are for anyone. `ForUser` routes are for a person who is signed in or an access token, as far as their grant
meets the route's need. `ForDevice` routes are for a paired device with its own token, and for nothing else. `ForEither` routes are
for a user and, with the same handler, for a device of a user's. Each request is counted (`limits.py`), but what watches the server is not. Where `when` names a parameter, a route is for requests whose
query has it, and another of the same path for the others. Where `acts` is set, a token that may act for others may name the user and the
tenant for whom it calls in X-User-ID and X-Tenant-ID; everywhere else these are refused. Where `managed` is set as well, who manages the
tenant need not name a user of it. Where `keys` is set, these two headers take the place of Authorization, and the body says for whom
it is (`Callers.on_behalf`).
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from aiohttp import web

from server.api.limits import RequestLimits
from server.commands.callers import DEVICE_TOKEN, Callers
from server.domain.account import DEFAULT_TENANT, LONGEST_NAME, Caller, CallingDevice
from server.domain.errors import Forbidden, Unauthenticated, invalid
from server.domain.ports import Clock
from server.domain.rules import label
from server.domain.scopes import Need, scope_for

T = TypeVar("T")
Answer = Awaitable[web.StreamResponse]
_BEARER = "bearer."
_USER, _TENANT = "X-User-ID", "X-Tenant-ID"
ACTING_HEADERS = {
    _USER: "For which user this is; only from a token with `gateway` or `admin`.",
    _TENANT: "Of which tenant; only from such a token. `default` where it is left out.",
}
_NO_TEXT = re.compile(r"[\ud800-\udfff]")  # what is left of bytes that are not UTF-8
# What is a tenant's, or may be sent without a user.
_OF_TENANTS = frozenset({Need.MANAGE, Need.SEND})


@dataclass(frozen=True)
class Open:
    """`counted` False: however often, as what watches over the server may have to ask."""

    method: str
    path: str
    handler: Callable[[web.Request], Answer]
    counted: bool = True


@dataclass(frozen=True)
class TwoKeys:
    """The names of the two headers of an API that authenticates with two.

    The `key` is an access token, whoever's: it is there to be bound to a tenant. The `token` says who calls: an access token or a session's.
    """

    key: str
    token: str


@dataclass(frozen=True)
class ForUser:
    method: str
    path: str
    need: Need
    handler: Callable[[web.Request, Caller], Answer]
    when: str | None = None
    acts: bool = False
    managed: bool = False
    keys: TwoKeys | None = None


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
            return await route.handler(request, await self._user(request, route))

        return guarded

    def _for_either(self, route: ForEither) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if _is_of_device(request):
                return await route.handler(request, await self._device(request))
            return await route.handler(request, await self.user(request, route.need))

        return guarded

    async def _user(self, request: web.Request, route: ForUser) -> Caller:
        if route.keys is not None:
            return await self._keyed(request, route.keys, route.need)
        return await self.user(request, route.need, acts=route.acts, managed=route.managed)

    async def user(
        self, request: web.Request, need: Need, *, acts: bool = False, managed: bool = False
    ) -> Caller:
        """Return the user behind a request, or for whom it is made; Unauthenticated, Forbidden, Invalid."""
        caller = await self._known(request, self.callers.user)
        grant = caller.grant
        self.limits.count(request, _quota(request, caller))
        if not grant.meets(need):
            raise Forbidden(_lacking(need, caller), code="scope_missing")
        if not (acts and grant.acts):
            _refuse_acting_for_others(request)
            if grant.tenant is not None:
                raise Forbidden("a token that is bound to a tenant may not do this", code="scope_missing")
            return caller
        tenant, user = _named(request, _TENANT), _named(request, _USER)
        nameless = need in _OF_TENANTS or (managed and grant.meets(Need.MANAGE))
        if user is None and not nameless and (tenant or not _is_own(caller)):
            raise invalid(_USER, "is missing", "name the user for whom this is, or use a token of their own")
        if tenant is None and user is None and grant.tenant is None:
            return caller
        return await self.callers.act(caller, tenant, user)

    async def _keyed(self, request: web.Request, keys: TwoKeys, need: Need) -> Caller:
        """Return who calls with a key and a token, bound to the tenant that either is bound to; Unauthenticated, Forbidden."""
        key = await self._known(request, self.callers.token, header=keys.key)
        caller = await self._known(request, self.callers.user, header=keys.token)
        self.limits.count(request, caller.credential_id)
        if not caller.grant.meets(need):
            raise Forbidden(f"{keys.token}: {_lacking(need, caller)}", code="scope_missing")
        _refuse_acting_for_others(request)
        bound = {
            grant.tenant: grant.tenant_id for grant in (key.grant, caller.grant) if grant.tenant is not None
        }
        if len(bound) > 1:
            raise Forbidden(f"{keys.key} and {keys.token} are for two tenants", code="acting_forbidden")
        tenant, tenant_id = next(iter(bound.items()), (None, None))
        return replace(caller, grant=replace(caller.grant, tenant=tenant, tenant_id=tenant_id))

    def _for_device(self, route: ForDevice) -> Callable[[web.Request], Answer]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            return await route.handler(request, await self._device(request))

        return guarded

    async def _device(self, request: web.Request) -> CallingDevice:
        device = await self._known(request, self.callers.device)
        self.limits.count(request, device.id)
        return device

    async def _known(
        self, request: web.Request, find: Callable[[str, int], Awaitable[T]], *, header: str | None = None
    ) -> T:
        """Return who calls, by a header of their own or Authorization; who is nobody is counted by their address. Unauthenticated, Limited."""
        try:
            given = credential(request) if header is None else _only(request, header)
            return await find(given, self.clock())
        except Unauthenticated as error:
            self.limits.count_stranger(request)
            if header is None:
                raise
            raise Unauthenticated(f"{header}: {error.detail}", code=error.reason, header=header) from None


GATE = web.AppKey("gate", Gate)  # of an application: what its routes are behind


def credential(request: web.Request) -> str:
    """Return the token of an Authorization header, or of a WebSocket's subprotocols; tokens travel nowhere else. Unauthenticated."""
    given = request.headers.getall("Authorization", []) or _of_protocols(request)
    scheme, _, token = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send one header, Authorization: Bearer <token>")
    return token.strip()


def _only(request: web.Request, header: str) -> str:
    """Return what a header says that is sent once; Unauthenticated."""
    given = request.headers.getall(header, [])
    if len(given) != 1 or not given[0].strip():
        raise Unauthenticated("is missing, or there more than once; send it once, with an access token")
    return given[0].strip()


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


def _is_own(caller: Caller) -> bool:
    """Say whether a token is good for what is its owner's own."""
    return caller.grant.tenant is None and caller.grant.meets(Need.ACCOUNT)


def _quota(request: web.Request, caller: Caller) -> str:
    """Return whose quota a request counts for: of each tenant that a token serves, so that none takes from another's.

    A token that is bound to one has no other's to take from, whatever it names.
    """
    grant, given = caller.grant, request.headers.getall(_TENANT, [])
    if not grant.acts or grant.tenant is not None or not _is_name(given) or given[0] == DEFAULT_TENANT:
        return caller.credential_id
    return f"{caller.credential_id} {given[0]}"


def _named(request: web.Request, header: str) -> str | None:
    """Return the name in a header, None where there is none; Invalid."""
    given = request.headers.getall(header, [])
    if given and not _is_name(given):
        raise invalid(
            header,
            "is no name",
            f"send one name of 1 to {LONGEST_NAME} characters without control characters",
        )
    return given[0] if given else None


def _is_name(given: Sequence[str]) -> bool:
    """Say whether a header was sent once, and is a name; its bytes may be no text at all."""
    if len(given) != 1 or not 0 < len(given[0]) <= LONGEST_NAME or _NO_TEXT.search(given[0]):
        return False
    return label(given[0]) is None


def _refuse_acting_for_others(request: web.Request) -> None:
    for name in (_USER, _TENANT):
        if name in request.headers:
            raise Forbidden(f"{name} is not honoured here; leave it out", code="acting_forbidden")


def _lacking(need: Need, caller: Caller) -> str:
    if caller.grant.scopes is None:
        return "only an admin may do this"
    return f"this access token lacks the scope {scope_for(need)}"
