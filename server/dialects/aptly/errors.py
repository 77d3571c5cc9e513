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


_FIXES = {  # what would be right, of what commands find wrong that do not know how it is done here
    "template_not_found": "create it first with POST /v1/templates; GET lists those of a tenant",
    "tenant_not_found": "create a template in it, which makes it, with a token that is not bound to another tenant",
}


def message_of(what: Refused) -> str:
    """Return what is wrong in one line: every fault with its place and what would be right."""
    if what.faults:
        return "; ".join(map(str, what.faults))
    return f"{what.detail}: {_FIXES[what.code]}" if what.code in _FIXES else what.detail


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
