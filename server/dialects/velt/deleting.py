"""Deleting notifications: `POST /v2/notifications/delete`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypedDict

from server.api.bodies import Body, note
from server.api.describe import describes
from server.commands.inbox import Marking
from server.commands.notifications import delete_named, delete_page
from server.dialects.velt.listing import VeltWhoseBody, reader_of, whose_of
from server.dialects.velt.results import VeltResultsView, show_results
from server.dialects.velt.rpc import Call
from server.domain.errors import Fault, Invalid, NotFound, Refusal

DELETED = "Notification deleted successfully."


class VeltDeleteBody(Body, frozen=True, kw_only=True):
    """Which notifications to delete."""

    data: Annotated[
        VeltWhoseBody,
        note("Which ones: `notificationIds`, or a page of those about a document, or of a user, or both."),
    ]


class VeltDeletedView(VeltResultsView, TypedDict):
    """What was deleted."""

    pageToken: Annotated[str | None, note("For the page after this one; null: there is none.")]


class VeltDeletedAnswer(TypedDict):
    """What was deleted."""

    result: Annotated[VeltDeletedView, note("What became of each notification.")]


@dataclass(frozen=True)
class Deleting:
    marking: Marking

    @describes(
        "Delete notifications",
        detail="They go from every inbox and every device; with `userId` from this user's alone. By `documentId` or `userId` a page at"
        " a time: go on with the `pageToken` until there is none.",
        takes=VeltDeleteBody,
        gives=VeltDeletedAnswer,
        errors=("tenant_not_found",),
    )
    async def delete(self, call: Call[VeltDeleteBody]) -> VeltDeletedAnswer:
        body = call.body.data
        _check(body)
        whose = whose_of(await reader_of(call, body), body)
        if body.notification_ids is not None:
            names = list(dict.fromkeys(body.notification_ids))
            gone = await delete_named(self.marking, whose, names)
            return _answer({name: None if name in gone else _no_such() for name in names}, None)
        page = await delete_page(self.marking, whose, before=body.before, limit=body.page_size)
        return _answer({one.name: None for one in page.notifications}, page.next)


def _check(body: VeltWhoseBody) -> None:
    if not (body.notification_ids or body.document_id or body.user_id):
        fix = "send notificationIds, a documentId or a userId"
        raise Invalid("nothing says which ones", faults=[Fault("data.notificationIds", "is missing", fix)])


def _no_such() -> NotFound:
    return NotFound("no such notification", code="notification_not_found")


def _answer(refused: Mapping[str, Refusal | None], page_token: str | None) -> VeltDeletedAnswer:
    results = show_results("Notifications deleted successfully.", DELETED, refused)
    return VeltDeletedAnswer(result=VeltDeletedView(**results, pageToken=page_token))
