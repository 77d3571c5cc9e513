"""Files that people attach: what is known of one, and what is left of the name and type that its sender gave it. Pure."""

import re
import unicodedata
from dataclasses import dataclass, field

from server.domain.message import DAY, LONGEST_LABEL

UNNAMED_FOR = DAY  # what no message names by then is deleted
# A file has no row until its request is over: of an upload that is 600 s at most (UPLOAD_SECONDS in server/api/forms.py), and of a
# copy from elsewhere less. Twice that, so that clocks which differ and a database that is slow to answer cost nobody a file.
ORPHAN_AFTER = 1_200_000  # milliseconds
OCTETS = "application/octet-stream"
NAMELESS = "file"
_LONGEST_TYPE = 127  # RFC 6838, section 4.2
_LONGEST_SUFFIX = 16
_MOST_BYTES = 240  # of a name in UTF-8: file systems end at 255
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
# Controls, marks that turn the direction round, halves of pairs, private use, breaks.
_NO_CHARACTER = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that lies on disk, whole. `size` in bytes, `sha256` of the bytes as they came."""

    id: str
    name: str = field(repr=False)
    content_type: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that has a row, and so an owner."""

    id: str
    owner_id: str
    name: str = field(repr=False)
    content_type: str
    size: int
    sha256: bytes
    created_at: int


def clean_name(given: str | None) -> str:
    """Return what is good as a file's name on any system: the last part of a path, on one line, its suffix kept."""
    last = re.split(r"[/\\]", given or "")[-1]
    shown = "".join(one for one in last if unicodedata.category(one) not in _NO_CHARACTER)
    return _shortened(shown.strip(" .")) or NAMELESS


def clean_type(given: str | None) -> str:
    """Return a media type without its parameters; what is none is a row of bytes."""
    plain = (given or "").partition(";")[0].strip().lower()
    return plain if len(plain) <= _LONGEST_TYPE and _TYPE.fullmatch(plain) else OCTETS


def _shortened(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    while len(stem) > 1 and _too_long(stem + dot + suffix):
        stem = stem[:-1]
    return stem.rstrip() + dot + suffix


def _too_long(name: str) -> bool:
    return len(name) > LONGEST_LABEL or len(name.encode()) > _MOST_BYTES
