"""How this API says that something was refused: the status, and every fault in one line."""

from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import Face, Refused, show
from server.api.bodies import Time, note
from server.domain.ports import Clock
from server.domain.times import show_time


class AptlyErrorView(TypedDict):
    """Why a request is refused."""

    statusCode: Annotated[int, note("The HTTP status.")]
    timestamp: Annotated[Time, note("When this was answered.")]
    message: Annotated[str, note("What is wrong, where, and what would be right: all that is wrong.")]
    error: Annotated[str, note("What the status is called.")]


def message_of(what: Refused) -> str:
    """Return what is wrong in one line: every fault with its place and what would be right."""
    return "; ".join(f"{one.path} {one.reason}: {one.fix}" for one in what.faults) or what.detail


def face(clock: Clock) -> Face:
    """Return what shows refusals in this API's form."""

    def show_error(what: Refused) -> web.Response:
        view = AptlyErrorView(
            statusCode=what.status.value,
            timestamp=show_time(clock()),
            message=message_of(what),
            error=what.status.phrase,
        )
        return show(view, status=what.status, headers=what.headers)

    return show_error
