"""A relay below a path of the server's own address.

By itself a relay keeps its figures inside, as its operator's proxy does for it. Here it shares an address with a server that anybody
may reach, so they need what the server's own need.
"""

import asyncio

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from relay.app import METRICS
from server.api.gate import GATE, ForUser
from server.domain.account import Caller
from server.domain.scopes import Need


def mount_relay(app: web.Application, path: str, relay: web.Application) -> None:
    """Have a server answer for a relay below a path; neither may run yet."""

    async def metrics(_request: web.Request, _caller: Caller) -> web.Response:
        body = await asyncio.to_thread(generate_latest, relay[METRICS].shown)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    route = ForUser("GET", f"{path}/metrics", Need.METRICS, metrics)
    guarded = app[GATE].guard(route)
    for method in ("GET", "HEAD"):  # a path as a whole goes before what is mounted below a part of it
        app.router.add_route(method, route.path, guarded)
    app.add_subapp(path, relay)
