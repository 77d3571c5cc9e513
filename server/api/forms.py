"""Forms: their fields as texts, in the order in which they came, and the files among them as they come.

What is no form is refused (`bad_form`), whatever is wrong with it. Field names that are no ASCII are names of no field of ours.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    BodyPartReader,
    MultipartReader,
    web,
)
from aiohttp.http_exceptions import HttpProcessingError

from server.api.reading import MAX_BODY, read_body, refuse_encoding, too_slow
from server.domain.errors import Fault, Invalid, TooLarge

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MOST_FIELDS = 500
UPLOAD_SECONDS = 600.0  # for all of a form with files
_NO_DISPOSITION = (BadContentDispositionHeader, BadContentDispositionParam)
_MALFORMED = (ValueError, RuntimeError, LookupError, AssertionError, HttpProcessingError, *_NO_DISPOSITION)
"""What the library raises for what is no form: by its own checks, or stumbling in passing."""
_CHUNK = 64 * 1024
_AS_IT_IS = frozenset({"", "7bit", "8bit", "binary"})

for (
    _warning
) in _NO_DISPOSITION:  # it would write what was sent, names of files too, to standard error and go on
    warnings.simplefilter("error", _warning)

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class FilePart:
    """A file of a form: the name of its field, what its sender calls it, and what it is said to be; '' where that is not said."""

    part: str
    name: str = field(repr=False)
    content_type: str
    chunks: AsyncIterator[bytes] = field(repr=False)


TakeFile = Callable[[FilePart], Awaitable[None]]
"""Called with each file in turn; it reads the chunks to their end, or raises."""


async def read_urlencoded(request: web.Request) -> Pairs:
    """Return the fields of a form that were filled in; Invalid."""
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except ValueError:
        raise _too_many() from None
    return _filled_in(pairs)


async def read_multipart(
    request: web.Request, take_file: TakeFile, *, seconds: float = UPLOAD_SECONDS
) -> Pairs:
    """Return the texts of a form that were filled in, having given its files away; Invalid, TooLarge, TooSlow."""
    refuse_encoding(request)
    try:
        async with asyncio.timeout(seconds):
            return _filled_in(await _read_parts(request, take_file))
    except TimeoutError:
        raise too_slow(seconds) from None


async def _read_parts(request: web.Request, take_file: TakeFile) -> Pairs:
    form = await _reading(request.multipart())
    pairs: Pairs = []
    room, count = MAX_BODY, 0
    while (part := await _reading(form.next())) is not None:
        count += 1
        if count > MOST_FIELDS:
            raise _too_many()
        plain, name = _named(part)
        if plain.filename is None:
            text = await _read_text(plain, room)
            room -= len(text.encode())
            pairs.append((name, text))
        elif plain.filename:  # a browser sends an empty one where no file was chosen
            kind = plain.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            await take_file(FilePart(name, plain.filename, kind, _chunks(plain)))
    return pairs


def _named(part: MultipartReader | BodyPartReader) -> tuple[BodyPartReader, str]:
    """Return a part and the name of its field."""
    if not isinstance(part, BodyPartReader):
        raise _malformed()
    with _malformed_otherwise():
        name, _ = part.name, part.filename
        (name or "").encode()  # a name of bytes that are no UTF-8 is none
    if name is None or part.headers.get("Content-Transfer-Encoding", "").strip().lower() not in _AS_IT_IS:
        raise _malformed()
    return part, name


async def _read_text(part: BodyPartReader, room: int) -> str:
    """Return a part's text; TooLarge where it is more than there is room for."""
    text = bytearray()
    async for chunk in _chunks(part):
        text += chunk
        if len(text) > room:
            raise TooLarge(f"the texts of the form are larger than {MAX_BODY} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await _reading(part.read_chunk(_CHUNK)):
        yield chunk


async def _reading(work: Awaitable[T]) -> T:
    with _malformed_otherwise():
        return await work


@contextmanager
def _malformed_otherwise() -> Iterator[None]:
    try:
        yield
    except _MALFORMED:
        raise _malformed() from None


def _filled_in(pairs: Pairs) -> Pairs:
    """Leave out what is empty: a browser sends the fields that nobody filled in, too."""
    return [(name, text) for name, text in pairs if text and name.isascii()]


def _malformed() -> Invalid:
    return _bad("is malformed", "send its parts as RFC 7578 says, with the boundary that the header names")


def _not_utf8() -> Invalid:
    return _bad("is not UTF-8", "send its texts in UTF-8")


def _too_many() -> Invalid:
    return _bad(f"has more than {MOST_FIELDS} fields", "send fewer")


def _bad(reason: str, fix: str) -> Invalid:
    return Invalid(f"the form {reason}", code="bad_form", faults=[Fault("", reason, fix)])
