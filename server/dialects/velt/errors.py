"""How this API says that something was refused: a message, and a status of google.rpc.Code."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import Refused, show
from server.api.bodies import note
from server.domain.errors import Fault


class Status(StrEnum):
    """What is wrong, for programs."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class VeltErrorBody(TypedDict):
    """What is wrong."""

    message: Annotated[str, note("What is wrong, where, and what would be right.")]
    status: Annotated[Status, note("What is wrong, for programs.")]


class VeltErrorView(TypedDict):
    """Why a call is refused."""

    error: Annotated[VeltErrorBody, note("What is wrong.")]


_STATUS = {
    HTTPStatus.UNAUTHORIZED: Status.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: Status.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: Status.NOT_FOUND,
    HTTPStatus.GONE: Status.NOT_FOUND,
    HTTPStatus.CONFLICT: Status.ALREADY_EXISTS,
    HTTPStatus.TOO_MANY_REQUESTS: Status.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: Status.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: Status.INTERNAL,
}
_PRECONDITIONS = frozenset({"subscriber_admin", "tenant_default", "conflict"})  # 409 elsewhere
_PLACES = {  # of what commands find wrong that do not know how it is called here
    "tenant_exists": Fault(
        "data.organizationId", "is another organization's", "choose another id, or use that one"
    ),
    "tenant_not_found": Fault(
        "data.organizationId",
        "is no organization, or none for these tokens",
        "add it first, set createOrganization where a call takes that, or use tokens that are not bound to another one",
    ),
    "document_exists": Fault(
        "data.documentId", "is another document's", "choose another id, or use that document"
    ),
    "document_not_found": Fault(
        "data.documentId",
        "is no document of the organization",
        "add it first, or set createDocument where a call takes that",
    ),
    "notification_exists": Fault(
        "data.notificationId",
        "is the id of another notification",
        "choose another one; the same body again would do nothing",
    ),
}


def status_of(what: Refused) -> Status:
    """Return this API's word for a refusal."""
    if what.code in _PRECONDITIONS:
        return Status.FAILED_PRECONDITION
    return _STATUS.get(what.status, Status.INVALID_ARGUMENT)


def message_of(what: Refused) -> str:
    """Return what is wrong in one line: every fault with its place and what would be right."""
    named = what.faults or ([_PLACES[what.code]] if what.code in _PLACES else [])
    return "; ".join(map(str, named)) or what.detail


def show_error(what: Refused) -> web.Response:
    """Answer with an error (`server.api.answers.Face`)."""
    status = status_of(what)
    http = {
        Status.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
        Status.NOT_FOUND: HTTPStatus.NOT_FOUND,
    }.get(status, what.status)
    view = VeltErrorView(error=VeltErrorBody(message=message_of(what), status=status))
    return show(view, status=http, headers=what.headers)
