"""The outermost layer of every request: refusals become problem documents, and one line is logged.

A line has the method, the route's template, the status and the time it took. The path itself is left out: it may hold
names. Of a failure nobody expected the log gets its type and the places in the code, not its text, which may quote values;
the client gets neither.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.api.answers import Face, Refused, nothing, problem, refused
from server.api.metrics import RequestMetrics
from server.domain.errors import Refusal
from server.domain.ports import DatabaseUnavailable, ReferenceMissing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
)  # others are a client's own words
_NO_ROUTE = "-"
KNOWN = {
    HTTPStatus.NOT_FOUND: ("not_found", "nothing is served at this path"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "this path takes the methods in the Allow header"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("body_too_large", "the body is too large"),
}


@dataclass(frozen=True)
class Outer:
    """`monotonic` is in seconds; `faces` show what is refused at a path, or below one that ends with a slash, in the form of the API that is there."""

    log: Any  # structlog's bound logger, which has no useful type
    monotonic: Callable[[], float]
    metrics: RequestMetrics
    faces: Mapping[str, Face]

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = self.monotonic()
            outcome = await self._answer(request, handler)
            response = self._face(request)(outcome) if isinstance(outcome, Refused) else outcome
            self._note(request, response.status, self.monotonic() - began)
            return response

        return outer

    def _note(self, request: web.Request, status: int, seconds: float) -> None:
        route = template(request)
        method = request.method if request.method in METHODS else _NO_ROUTE
        self.metrics.note(method, route, status, seconds)
        self.log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

    def _face(self, request: web.Request) -> Face:
        path = request.path
        return next((face for place, face in self.faces.items() if _is_at(path, place)), problem)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse | Refused:
        try:
            return await handler(request)
        except Refusal as refusal:
            return refused(refusal)
        except web.HTTPException as error:
            return _show_http(request, error)
        except ReferenceMissing:
            return Refused(
                HTTPStatus.CONFLICT, "conflict", "something that this refers to was deleted meanwhile"
            )
        except DatabaseUnavailable as error:
            self.log.warning("database unavailable", route=template(request), cause=str(error))
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "the database is away, busy or full; try again later",
                headers={"Retry-After": "2"},
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no trace
            self.log.error(  # noqa: TRY400 - the exception's text may quote values
                "request failed", route=template(request), **described(error)
            )
            return Refused(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says where"
            )


def _is_at(path: str, place: str) -> bool:
    """Say whether a path is a place, or below it where that ends with a slash."""
    return path.startswith(place) if place.endswith("/") else path == place


def template(request: web.Request) -> str:
    """Return a route as it is written in the table of routes."""
    resource = request.match_info.route.resource
    return _NO_ROUTE if resource is None else resource.canonical


def described(error: BaseException) -> dict[str, str]:
    """Return what may be logged of a failure: its type and where it came from."""
    places = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "at": " < ".join(f"{place.filename}:{place.lineno}" for place in reversed(places)),
    }


def _show_http(request: web.Request, error: web.HTTPException) -> web.StreamResponse | Refused:
    if request.method == "OPTIONS" and isinstance(error, web.HTTPMethodNotAllowed):
        # No route has this method: the router has found what the others are.
        methods = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        return nothing(headers={"Allow": methods})
    status = HTTPStatus(error.status)
    code, detail = KNOWN.get(status, ("bad_request", status.phrase))
    headers = {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}
    return Refused(status, code, detail, headers=headers)
