"""Who has access to a document: `POST /v2/documents/access/{add,remove,get}`."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from server.api.bodies import Body, items, note, own
from server.api.describe import describes
from server.api.pages import PAGE
from server.commands import documents
from server.commands.documents import AccessPage
from server.dialects.velt.documents import DocumentBody
from server.dialects.velt.fields import (
    ACCESS,
    MESSAGE,
    SUCCESS,
    DoneAnswer,
    UserBody,
    UserId,
    done,
    read_access,
)
from server.dialects.velt.lists import (
    MOST_AT_ONCE,
    TOKEN,
    PageSize,
    PageToken,
)
from server.dialects.velt.people import NamedUserBody
from server.dialects.velt.results import VeltResultsAnswer, show_results
from server.dialects.velt.rpc import Call
from server.domain.document import Access
from server.domain.ports import Database, Random

Values = tuple[tuple[str, str], ...]


class AddAccessBody(DocumentBody, frozen=True, kw_only=True):
    """Who is to have access to a document."""

    users: Annotated[
        tuple[UserBody, ...], items("The users; who is not known yet is made.", least=1, most=MOST_AT_ONCE)
    ]
    access: Annotated[
        Values | None,
        own(read_access, "To which values of its fields, besides those that they have.", **ACCESS),
    ] = None


class RemoveAccessBody(DocumentBody, frozen=True, kw_only=True):
    """Who is to have access to a document no more."""

    users: Annotated[tuple[NamedUserBody, ...], items("The users.", least=1, most=MOST_AT_ONCE)]
    access: Annotated[
        Values | None,
        own(read_access, "Only to these values of its fields; left out: to all of it.", **ACCESS),
    ] = None


class GetAccessBody(DocumentBody, frozen=True, kw_only=True):
    """Whose access is asked for."""

    page_size: PageSize = PAGE
    page_token: PageToken | None = None


class AddAccessRequest(Body, frozen=True, kw_only=True):
    """Access to give."""

    data: Annotated[AddAccessBody, note("The access.")]


class RemoveAccessRequest(Body, frozen=True, kw_only=True):
    """Access to take away."""

    data: Annotated[RemoveAccessBody, note("The access.")]


class GetAccessRequest(Body, frozen=True, kw_only=True):
    """Access to show."""

    data: Annotated[GetAccessBody, note("Which.")]


class AccessEntryView(TypedDict):
    """Somebody with access to a document."""

    userId: UserId
    access: Annotated[
        dict[str, list[str]], note("The values of each field to which they have access, as texts.")
    ]


class AccessView(TypedDict):
    """A page of those who have access to a document."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[list[AccessEntryView], note("Who has access.")]
    pageToken: Annotated[str | None, TOKEN]


class AccessAnswer(TypedDict):
    """The answer with those who have access."""

    result: Annotated[AccessView, note("Who has access.")]


@dataclass(frozen=True)
class AccessLists:
    db: Database
    random: Random

    @describes(
        "Give access to a document",
        detail="All of them or none. What somebody has access to already stays.",
        takes=AddAccessRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def add(self, call: Call[AddAccessRequest]) -> DoneAnswer:
        body = call.body.data
        await documents.add_access(
            self.db,
            await call.organization(body.organization_id),
            body.document_id,
            [user.mention for user in body.users],
            body.access or (),
            now=call.now,
            random=self.random,
        )
        return done("Access added successfully.")

    @describes(
        "Take access to a document away",
        detail="Each for itself: from who has none, or is nobody, it cannot be taken.",
        takes=RemoveAccessRequest,
        gives=VeltResultsAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def remove(self, call: Call[RemoveAccessRequest]) -> VeltResultsAnswer:
        body = call.body.data
        outcomes = await documents.remove_access(
            self.db,
            await call.organization(body.organization_id),
            body.document_id,
            list(dict.fromkeys(user.user_id for user in body.users)),
            body.access,
        )
        return VeltResultsAnswer(
            result=show_results("Access removed successfully.", "Access removed successfully.", outcomes)
        )

    @describes(
        "Get who has access to a document",
        takes=GetAccessRequest,
        gives=AccessAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def get(self, call: Call[GetAccessRequest]) -> AccessAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        page = await documents.list_access(
            self.db, tenant_id, body.document_id, after=body.page_token or "", limit=body.page_size
        )
        return _show_page(page)


def _show_page(page: AccessPage) -> AccessAnswer:
    return AccessAnswer(
        result=AccessView(
            status="success",
            message="Access retrieved successfully.",
            data=[_show(entry) for entry in page.entries],
            pageToken=page.entries[-1].user_id if page.more else None,
        )
    )


def _show(entry: Access) -> AccessEntryView:
    values = {field: [*values] for field, values in entry.values.items()}
    return AccessEntryView(userId=entry.name, access=values)
