"""What every answer has: a problem document where it failed, RateLimit fields, no caching, a measured time.

One middleware, since each costs every request. An answer that is signed brings its own RateLimit fields; the
others show what their address has left.
"""

import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay import limits as limiting
from relay.address import client_address
from relay.config import RelayConfig
from relay.errors import Problem, origin
from relay.limits import Limits
from relay.metrics import Metrics
from relay.wire import ERROR_STATUS, PROBLEM_TYPE


def frame(
    config: RelayConfig,
    *,
    limits: Limits,
    metrics: Metrics,
    draining: Callable[[], bool],
    clock: Callable[[], float],
    log: structlog.stdlib.BoundLogger,
) -> Middleware:
    @web.middleware
    async def framed(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        try:
            response = await handler(request)
        except Problem as problem:
            response = show(problem, metrics)
        except web.HTTPException as error:
            response = show(_translate(error), metrics)
            response.headers.extend(
                {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            )
        except Exception as error:  # noqa: BLE001  the caller is told that it failed, and never a trace
            log.error("internal", error=origin(error))  # noqa: TRY400  a message may quote what was sent
            response = show(Problem("internal", "the relay failed; try again"), metrics)
        if "RateLimit" not in response.headers:
            address = client_address(request, config.trusted_proxies)
            response.headers.update(limiting.headers(limits.address_rules(address), clock()))
        response.headers["Cache-Control"] = "no-store"
        if draining():
            response.force_close()  # and says so: whoever sends on this connection would send into one that is closed
        route = request.match_info.route.name or "unknown"
        metrics.requests(route, str(response.status)).observe(time.perf_counter() - began)
        return response

    return framed


def show(problem: Problem, metrics: Metrics) -> web.Response:
    metrics.refused(problem.code).inc()
    headers = {"Content-Type": PROBLEM_TYPE, **problem.headers}
    response = web.Response(status=problem.status, body=problem.body, headers=headers)
    if problem.code == "encoding_unsupported":
        # aiohttp decodes what it must skip to reach the next request, and drops the connection where that
        # fails.
        response.force_close()
    return response


def _translate(error: web.HTTPException) -> Problem:
    """A refusal of aiohttp's own: routing, and what it finds wrong with a message."""
    if error.status == HTTPStatus.NOT_FOUND:
        return Problem("not_found", "there is nothing at this address")
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem("method_not_allowed", "this address does not take this method")
    known = next((code for code, status in ERROR_STATUS.items() if status == error.status), "bad_request")
    return Problem(known, "the request is not acceptable")
