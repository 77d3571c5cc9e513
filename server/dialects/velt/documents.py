"""Documents: `POST /v2/documents/{add,get,update,delete}`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from msgspec import UNSET, UnsetType

from server.api.bodies import Body, Time, note, text
from server.api.describe import describes
from server.api.pages import PAGE
from server.commands import documents
from server.commands.documents import DocumentPage
from server.dialects.velt.fields import LONGEST_DOCUMENT, MESSAGE, SUCCESS, DocumentId, DoneAnswer, done
from server.dialects.velt.lists import TOKEN, PageSize, PageToken
from server.dialects.velt.organizations import OrganizationBody
from server.dialects.velt.rpc import Call
from server.domain.account import LONGEST_NAME
from server.domain.document import Document
from server.domain.ports import Database, Random
from server.domain.times import show_time

_NAME = text("The document's name, for people.", most=LONGEST_NAME, examples=["Visitors"])


class DocumentBody(OrganizationBody, frozen=True, kw_only=True):
    """A document of an organization."""

    document_id: DocumentId


class AddDocumentBody(DocumentBody, frozen=True, kw_only=True):
    """A document that is to be made."""

    name: Annotated[str, _NAME] | None = None


class UpdateDocumentBody(DocumentBody, frozen=True, kw_only=True):
    """What is to be different about a document; what is left out stays as it is, null clears."""

    name: Annotated[str, _NAME] | UnsetType | None = UNSET


class GetDocumentsBody(OrganizationBody, frozen=True, kw_only=True):
    """Which documents are asked for."""

    page_size: PageSize = PAGE
    page_token: PageToken | None = None
    document_id: (
        Annotated[str, text("The only one; left out: all of the organization's.", most=LONGEST_DOCUMENT)]
        | None
    ) = None


class DocumentRequest(Body, frozen=True, kw_only=True):
    """A document."""

    data: Annotated[DocumentBody, note("The document.")]


class AddDocumentRequest(Body, frozen=True, kw_only=True):
    """A document to make."""

    data: Annotated[AddDocumentBody, note("The document.")]


class UpdateDocumentRequest(Body, frozen=True, kw_only=True):
    """A document to change."""

    data: Annotated[UpdateDocumentBody, note("What is to be different.")]


class GetDocumentsRequest(Body, frozen=True, kw_only=True):
    """Documents to show."""

    data: Annotated[GetDocumentsBody, note("Which ones.")]


class DocumentView(TypedDict):
    """A document."""

    documentId: DocumentId
    name: Annotated[str | None, note("Its name, for people.")]
    createdAt: Annotated[Time, note("When it was made here.")]


class DocumentsView(TypedDict):
    """A page of documents."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[list[DocumentView], note("The documents, by their ids.")]
    pageToken: Annotated[str | None, TOKEN]


class DocumentsAnswer(TypedDict):
    """The answer with documents."""

    result: Annotated[DocumentsView, note("The documents.")]


@dataclass(frozen=True)
class Documents:
    """`wake` has workers look for what is to be done."""

    db: Database
    random: Random
    wake: Callable[[], None]

    @describes(
        "Add a document",
        detail="Nobody has access to it until somebody is given it.",
        takes=AddDocumentRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found", "document_exists"),
    )
    async def add(self, call: Call[AddDocumentRequest]) -> DoneAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        await documents.add_document(
            self.db, tenant_id, body.document_id, body.name, now=call.now, random=self.random
        )
        return done("Document added successfully.")

    @describes(
        "Get documents",
        detail="One, or all of an organization's.",
        takes=GetDocumentsRequest,
        gives=DocumentsAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def get(self, call: Call[GetDocumentsRequest]) -> DocumentsAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        if body.document_id is not None:
            found = await documents.get_document(self.db, tenant_id, body.document_id)
            return _show_page(DocumentPage([found], more=False))
        page = await documents.list_documents(
            self.db, tenant_id, after=body.page_token or "", limit=body.page_size
        )
        return _show_page(page)

    @describes(
        "Update a document",
        takes=UpdateDocumentRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def update(self, call: Call[UpdateDocumentRequest]) -> DoneAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        if isinstance(body.name, UnsetType):
            await documents.get_document(self.db, tenant_id, body.document_id)
        else:
            await documents.name_document(self.db, tenant_id, body.document_id, body.name)
        return done("Document updated successfully.")

    @describes(
        "Delete a document",
        detail="With its access list. What was sent about it stays where it is.",
        takes=DocumentRequest,
        gives=DoneAnswer,
        errors=("tenant_not_found", "document_not_found"),
    )
    async def delete(self, call: Call[DocumentRequest]) -> DoneAnswer:
        body = call.body.data
        tenant_id = await call.organization(body.organization_id)
        await documents.delete_document(
            self.db, tenant_id, body.document_id, now=call.now, random=self.random, wake=self.wake
        )
        return done("Document deleted successfully.")


def _show_page(page: DocumentPage) -> DocumentsAnswer:
    return DocumentsAnswer(
        result=DocumentsView(
            status="success",
            message="Documents retrieved successfully.",
            data=[_show(one) for one in page.documents],
            pageToken=page.documents[-1].key if page.more else None,
        )
    )


def _show(document: Document) -> DocumentView:
    return DocumentView(documentId=document.key, name=document.name, createdAt=show_time(document.created_at))
