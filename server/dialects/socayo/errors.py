"""How this API says that something was refused."""

from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import Fault, Refused, show, shown_faults
from server.api.bodies import note


class ErrorBody(TypedDict):
    """What is wrong."""

    code: Annotated[str, note("What is wrong, for programs.")]
    message: Annotated[str, note("What is wrong, for people.")]
    details: Annotated[list[Fault], note("Every fault of the request; empty where it is none of its fields.")]


class ErrorView(TypedDict):
    """Why an RPC is refused."""

    error: Annotated[ErrorBody, note("What is wrong.")]


def show_error(what: Refused) -> web.Response:
    """Answer with an error (`server.api.answers.Face`)."""
    error = ErrorBody(code=what.code, message=what.detail, details=shown_faults(what.faults))
    return show(ErrorView(error=error), status=what.status, headers=what.headers)
