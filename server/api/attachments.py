"""`/api/v1/attachments`: upload a file, list one's own, download, delete.

Nothing that people upload is ever a page of this server's: a file is given back as a download, in a sandbox, whatever it says it is,
and only to whoever uploaded it or may see a message that names it.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, TypedDict
from urllib.parse import quote

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, note, read_query, text
from server.api.describe import describes
from server.api.forms import MULTIPART, UPLOAD_SECONDS, FilePart, read_multipart
from server.api.pages import PageQuery
from server.api.reading import media_type, refuse_encoding, too_slow
from server.commands import attachments as commands
from server.commands.attachments import Storage
from server.domain.account import Caller, CallingDevice
from server.domain.errors import Invalid, Refusal, TooLarge, invalid
from server.domain.file import OCTETS, ReceivedFile, StoredFile
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time

PART = "file"
"""What the part of a form that is the file is called."""

_LONGEST_NAME = 255
_CHUNK = 64 * 1024
_DOWNLOAD = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_ATTR_CHAR = (
    "!#$&+.^`|~"  # what a name may have as it is beside letters, digits, - and _ (RFC 8187, section 3.2.1)
)


class UploadForm(Body, frozen=True, kw_only=True):
    """A form with one file."""

    file: Annotated[str, note("The file, with its name and its type.", format="binary")]


class UploadQuery(Body, frozen=True, kw_only=True):
    """What a file is called that comes as the body itself; a form says so beside it."""

    name: Annotated[str, text("The file's name; left out: `file`.", most=_LONGEST_NAME)] | None = None


class AttachmentView(TypedDict):
    """A file on this server."""

    id: Annotated[Id, note("What a message names in `attachmentUuid`.")]
    name: Annotated[str, note("Its name: of what its sender gave, what is good on any system.")]
    contentType: Annotated[str, note("What its sender says it is, without parameters.")]
    size: Annotated[int, note("Its size in bytes.")]
    sha256: Annotated[str, note("The SHA-256 of its bytes, in hexadecimal digits.")]
    createdAt: Time


class AttachmentsView(TypedDict):
    """A page of one's files."""

    attachments: Annotated[list[AttachmentView], note("The caller's files, the newest first.")]
    nextCursor: Annotated[Id | None, note("Where the next page begins; null: there is none.")]


@dataclass(frozen=True)
class Attachments:
    db: Database
    clock: Clock
    random: Random
    storage: Storage

    @describes(
        "Upload a file",
        detail="As a form, or any other body is the file itself, of its `Content-Type`. What no message names a day later is deleted.",
        takes=UploadForm,
        media=(MULTIPART, OCTETS),
        query=UploadQuery,
        gives=AttachmentView,
        status=201,
        errors=("attachment_too_large", "attachments_full", "bad_form", "storage_unavailable"),
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        with self.storage.receiving(caller.user.id):
            file = await self._keep(request, caller)
        return show(show_file(file), status=201, headers={"Location": f"/api/v1/attachments/{file.id}"})

    async def _keep(self, request: web.Request, caller: Caller) -> StoredFile:
        received: list[ReceivedFile] = []
        try:
            await self._receive(request, received)
            return await commands.keep_upload(
                self.db, self.storage, caller.user.id, received[0], now=self.clock()
            )
        except Refusal:
            await commands.discard(self.storage.files, received)
            raise
        except ConnectionError:  # there is nobody to answer any more
            await commands.discard(self.storage.files, received)
            raise Invalid("the body was cut off", code="bad_request") from None

    async def _receive(self, request: web.Request, received: list[ReceivedFile]) -> None:
        query = read_query(UploadQuery, request)
        if media_type(request) == MULTIPART:
            await self._receive_part(request, received)
            return
        refuse_encoding(request)
        if (request.content_length or 0) > self.storage.largest:
            raise TooLarge(
                f"the file is larger than {self.storage.largest} bytes", code="attachment_too_large"
            )
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                chunks = request.content.iter_chunked(_CHUNK)
                received.append(
                    await self._one(chunks, query.name or "", request.headers.get("Content-Type", ""))
                )
        except TimeoutError:
            raise too_slow(UPLOAD_SECONDS) from None

    async def _receive_part(self, request: web.Request, received: list[ReceivedFile]) -> None:
        async def take(part: FilePart) -> None:
            if part.part != PART or received:
                raise invalid(part.part, "is one file too many", f"send one file, in the part {PART}")
            received.append(await self._one(part.chunks, part.name, part.content_type))

        await read_multipart(request, take)
        if not received:
            raise invalid(PART, "is missing", f"send the file in the part {PART}, with a file name")

    async def _one(self, chunks: AsyncIterator[bytes], name: str, content_type: str) -> ReceivedFile:
        return await commands.receive(
            self.storage.files,
            chunks,
            name=name,
            content_type=content_type,
            largest=self.storage.largest,
            now=self.clock(),
            random=self.random,
        )

    @describes("List one's files", query=PageQuery, gives=AttachmentsView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(PageQuery, request)
        page = await commands.list_files(self.db, caller.user, before=query.place, limit=query.limit)
        cursor = page.files[-1].id if page.more else None
        return show(AttachmentsView(attachments=[show_file(file) for file in page.files], nextCursor=cursor))

    @describes(
        "Download a file",
        detail="For who uploaded it and who may see a message that names it; a device for its user. Takes `Range`.",
        produces="*/*",
        gives=bytes,
        errors=("attachment_not_found", "attachment_lost"),
    )
    async def get(self, request: web.Request, caller: Caller | CallingDevice) -> web.StreamResponse:
        user_id = caller.user_id if isinstance(caller, CallingDevice) else caller.user.id
        file = await commands.find_file(self.db, self.storage, user_id, request.match_info["id"].lower())
        headers = {
            "Content-Type": file.content_type,
            "Content-Disposition": disposition(file.name),
            **_DOWNLOAD,
        }
        return web.FileResponse(self.storage.files.path(file.id), headers=headers)

    @describes(
        "Delete a file",
        detail="Its owner may, while no message names it: with the last message that does, it goes by itself.",
        status=204,
        errors=("attachment_not_found", "attachment_in_use"),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await commands.delete_file(self.db, self.storage, caller.user, request.match_info["id"].lower())
        return nothing()


def disposition(name: str) -> str:
    """Return a header that has a browser save a file under this name, and never show it (RFC 6266)."""
    plain = "".join(one if " " <= one <= "~" and one not in '"\\%' else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHAR)}"


def show_file(file: StoredFile) -> AttachmentView:
    return AttachmentView(
        id=file.id,
        name=file.name,
        contentType=file.content_type,
        size=file.size,
        sha256=file.sha256.hex(),
        createdAt=show_time(file.created_at),
    )
