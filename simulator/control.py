"""The control endpoint: JSON over plain HTTP, for tests in any language and for the simulated phone.

    GET    /control/addresses                 every address and file
    POST   /control/tokens                    {provider, app?, environment?}            -> 201 {token, ...}
                                              {"provider": "webpush", applicationServerKey, app?}
                                                                                        -> 201 {token, endpoint, ...}
    DELETE /control/tokens/{token}            the app is removed: the token is dead     -> 204
    PUT    /control/tokens/{token}/behaviour  {drop?, duplicate?, hold?}                -> 204
    GET    /control/tokens/{token}/stream     WebSocket: {"event": "ready"}, then each delivery
    POST   /control/faults                    {provider, reason?, kind?, status?, token?, times?, retryAfter?,
                                               since?, delay?, on?, size?, code?, form?, settings?}
                                                                                        -> 204
    DELETE /control/faults                                                              -> 204
    GET    /control/records?provider=&token=  {"records": [...]}: headers and payload as they came
    DELETE /control/records                   forgets records and faults                -> 204

A fault's `kind` is one of simulator.faults.Kind, which says what each does and needs; `on` is "push" or, for the next
new connections, "connect". `times` says how many meet it; without it, all do until faults are cleared. Anyone who reaches this port is trusted: it listens on loopback.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import WSCloseCode, web

from simulator.devices import Stream, Target
from simulator.exchange import Exchange, UnknownToken
from simulator.faults import BadScript
from simulator.webpush_rules import endpoint_of

MakeToken = Callable[[str, str | None, str, str | None], Target]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FAULT_FIELDS: Mapping[str, tuple[type, ...]] = {
    "provider": (str,),
    "reason": (str,),
    "kind": (str,),
    "status": (int,),
    "token": (str,),
    "times": (int,),
    "retryAfter": (int, str),
    "since": (int,),
    "delay": (int, float),
    "on": (str,),
    "size": (int,),
    "code": (str,),
    "form": (str,),
    "settings": (dict,),
}
NAMES = {"retryAfter": "retry_after"}
TOKEN_FIELDS: Mapping[str, tuple[type, ...]] = dict.fromkeys(
    ("provider", "app", "environment", "applicationServerKey"), (str,)
)
BEHAVIOUR_FIELDS: Mapping[str, tuple[type, ...]] = {"drop": (int,), "duplicate": (int,), "hold": (int,)}


class Control:
    """`make_token` also admits the token's app; `addresses` is what a client needs to know."""

    def __init__(
        self, exchange: Exchange, *, make_token: MakeToken, addresses: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._exchange = exchange
        self._make_token = make_token
        self._addresses = addresses
        self._open: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[explain])
        app.router.add_get("/control/addresses", self.addresses)
        app.router.add_post("/control/tokens", self.make_token)
        app.router.add_delete("/control/tokens/{token}", self.uninstall)
        app.router.add_put("/control/tokens/{token}/behaviour", self.behave)
        app.router.add_get("/control/tokens/{token}/stream", self.stream)
        app.router.add_post("/control/faults", self.script)
        app.router.add_delete("/control/faults", self.clear_faults)
        app.router.add_get("/control/records", self.records)
        app.router.add_delete("/control/records", self.clear)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        for stream in tuple(self._open):
            await stream.close(code=WSCloseCode.GOING_AWAY)

    async def addresses(self, _request: web.Request) -> web.Response:
        return web.json_response(self._addresses())

    async def make_token(self, request: web.Request) -> web.Response:
        fields = await _read(request, TOKEN_FIELDS)
        target = self._make_token(
            fields.get("provider", ""),
            fields.get("app"),
            fields.get("environment", "production"),
            fields.get("applicationServerKey"),
        )
        shown = {
            "token": target.token,
            "provider": target.provider,
            "app": target.app,
            "environment": target.environment,
        }
        if target.provider == "webpush":
            shown["endpoint"] = endpoint_of(target.token)
        return web.json_response(shown, status=201)

    async def uninstall(self, request: web.Request) -> web.Response:
        self._exchange.uninstall(request.match_info["token"])
        return web.Response(status=204)

    async def behave(self, request: web.Request) -> web.Response:
        fields = await _read(request, BEHAVIOUR_FIELDS)
        device = self._exchange.device(request.match_info["token"])
        device.behave(
            drop=fields.get("drop", 0), duplicate=fields.get("duplicate", 0), hold=fields.get("hold", 0)
        )
        return web.Response(status=204)

    async def script(self, request: web.Request) -> web.Response:
        fields = await _read(request, FAULT_FIELDS)
        provider = fields.pop("provider", "")
        self._exchange.script(provider, **{NAMES.get(name, name): value for name, value in fields.items()})
        return web.Response(status=204)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._exchange.scripts.clear()
        return web.Response(status=204)

    async def records(self, request: web.Request) -> web.Response:
        found = self._exchange.select(request.query.get("provider"), request.query.get("token"))
        return web.json_response({"records": [one.show() for one in found]})

    async def clear(self, _request: web.Request) -> web.Response:
        self._exchange.clear()
        return web.Response(status=204)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        device = self._exchange.device(request.match_info["token"])
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        stream = device.connect(self._exchange.clock())
        self._open.add(socket)
        sender = asyncio.create_task(_send(socket, stream))
        try:
            async for _ in socket:
                pass  # a phone says nothing; reading is how its going away is noticed
        finally:
            sender.cancel()
            await asyncio.wait([sender])
            device.disconnect(stream)
            self._open.discard(socket)
        return socket


async def _send(socket: web.WebSocketResponse, stream: Stream) -> None:
    await socket.send_json({"event": "ready"})
    while (delivery := await stream.get()) is not None:
        try:
            await socket.send_json(delivery.show())
        except ConnectionError:
            stream.put_nowait(delivery)
            return
    await socket.close(message=b"a newer connection took over")


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except UnknownToken as error:
        return web.json_response({"error": str(error)}, status=404)
    except BadScript as error:
        return web.json_response({"error": str(error)}, status=400)


async def _read(request: web.Request, known: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Read a JSON object whose fields are known and of the right type; null counts as left out."""
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise BadScript(f"body: not JSON ({error})") from error
    if not isinstance(body, dict):
        raise BadScript("body: a JSON object is expected")
    for name, value in body.items():
        _check(name, value, known)
    return {name: value for name, value in body.items() if value is not None}


def _check(name: str, value: Any, known: Mapping[str, tuple[type, ...]]) -> None:
    if name not in known:
        raise BadScript(f"{name}: unknown; use {', '.join(known)}")
    if isinstance(value, bool) or not isinstance(value, (*known[name], type(None))):
        kinds = " or ".join(kind.__name__ for kind in known[name])
        raise BadScript(f"{name}: {kinds} expected")
