"""The files that come with a form: onto the disk as they come, and off it again where nothing comes of the request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.api.forms import FilePart
from server.commands.attachments import Storage, discard, receive
from server.domain.errors import Refusal, invalid
from server.domain.file import ReceivedFile
from server.domain.message import MOST_PARTS, Attachment, MediaType
from server.domain.ports import Clock, Random

PART = "attachments"
"""What the parts that are files are called."""

_MEDIA = {"image": MediaType.IMAGE, "video": MediaType.VIDEO, "audio": MediaType.AUDIO}


class Uploads:
    """The files of one request."""

    def __init__(self, storage: Storage, clock: Clock, random: Random) -> None:
        self._storage = storage
        self._clock = clock
        self._random = random
        self.received: list[ReceivedFile] = []

    async def take(self, part: FilePart) -> None:
        """Receive a file; Invalid for one in the place of a text and for one too many, TooLarge, Unavailable."""
        if part.part != PART:
            fix = f"call it {PART}, or send it as text; with curl, < instead of @ before a file's name"
            raise invalid(part.part, "is a file", fix)
        if len(self.received) == MOST_PARTS:
            raise invalid(PART, f"has more than {MOST_PARTS} files", "send fewer")
        received = await receive(
            self._storage.files,
            part.chunks,
            name=part.name,
            content_type=part.content_type,
            largest=self._storage.largest,
            now=self._clock(),
            random=self._random,
        )
        self.received.append(received)

    async def discard(self) -> None:
        """Delete what was received: nothing names it."""
        await discard(self._storage.files, self.received)

    @property
    def attachments(self) -> list[Attachment]:
        """What a message says of them."""
        return [Attachment(_media(one), one.name, None, one.id, save=False) for one in self.received]

    @property
    def meant(self) -> list[list[str]]:
        """What they are, to tell the same request from another one."""
        return [[one.name, one.content_type, one.sha256.hex()] for one in self.received]


@asynccontextmanager
async def discarded_if_refused(uploads: Uploads) -> AsyncIterator[None]:
    """Delete the files of a request that is refused.

    Where it is not known what became of it, such as a lost connection to the database, they stay: what no row names is swept later.
    """
    try:
        yield
    except Refusal:
        await uploads.discard()
        raise


def _media(file: ReceivedFile) -> MediaType:
    if file.content_type == "image/gif":
        return MediaType.GIF
    return _MEDIA.get(file.content_type.partition("/")[0], MediaType.FILE)
