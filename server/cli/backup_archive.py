"""The archive of a backup: a tar with the database, the keys and the attachments, and a manifest that says what is in it.

The manifest comes last, because it has the SHA-256 of every other member: an archive that was cut off has none. A reader
takes nothing from a tar but plain files by the names below, once each; it never extracts by the tar's own word.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from server.cli.terminal import CommandError

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database.db"
SERVER_KEY = "keys/server.key"
SERVER_SECRET = "keys/server.secret"  # noqa: S105 - a member's name
RELAY_KEYS = "keys/relay.keys"
RELAY_PASS = "keys/relay.pass"  # noqa: S105 - a member's name
VAPID = "vapid/"
ATTACHMENTS = "attachments/"
_NAMED = (MANIFEST, DATABASE, SERVER_KEY, SERVER_SECRET, RELAY_KEYS, RELAY_PASS)
_VAPID = re.compile(r"vapid/(?!\.{1,2}$)[^/\0\\]+")
_ATTACHMENT = re.compile(r"attachments(/(?!\.{1,2}(/|$))[^/\0\\]+)+")
_SMALL = 64 * 1024 * 1024  # bytes: what is read into memory; a manifest names each attachment
_PIECE = 1024 * 1024

Moved = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""
Content = Path | bytes


class Table(msgspec.Struct, frozen=True):
    rows: int
    sum: str


class Member(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`server` is the key id of the server whose backup it is; `taken_at` RFC 3339, UTC."""

    format: int
    program: str
    taken_at: str
    engine: str
    revision: str
    server: str
    tables: dict[str, Table]
    members: dict[str, Member]


class _Hashed:
    """A file that is hashed, and counted, as it is read."""

    def __init__(self, content: IO[bytes], moved: Callable[[int], None]) -> None:
        self._content = content
        self._moved = moved
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self.sha256.update(piece)
        self._moved(len(piece))
        return piece


def _counter(total: int, moved: Moved) -> Callable[[int], None]:
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        moved(done, total)

    return count


def write(archive: Path, contents: Mapping[str, Content], described: Manifest, moved: Moved) -> Manifest:
    """Write a new archive, for its owner only, and sync it; the manifest with its members."""
    count = _counter(sum(map(_size, contents.values())), moved)
    with open(archive, "xb", opener=_private) as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            members = {
                name: _add(tar, name, content, count)
                for name, content in contents.items()
                if isinstance(content, bytes) or content.exists()  # a running server may have deleted it
            }
            manifest = msgspec.structs.replace(described, members=members)
            text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
            _add(tar, MANIFEST, text, lambda _more: None)
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _size(content: Content) -> int:
    if isinstance(content, bytes):
        return len(content)
    return content.stat().st_size if content.exists() else 0


def _add(tar: tarfile.TarFile, name: str, content: Content, count: Callable[[int], None]) -> Member:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as opened:
        info = tarfile.TarInfo(name)
        info.size = opened.seek(0, io.SEEK_END)
        info.mode = 0o600
        opened.seek(0)
        hashed = _Hashed(opened, count)
        tar.addfile(info, hashed)
    return Member(info.size, hashed.sha256.hexdigest())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@dataclass(frozen=True)
class Archive:
    """An opened archive whose members have allowed names; nothing of their contents was looked at yet."""

    path: Path
    manifest: Manifest
    _tar: tarfile.TarFile
    _infos: Mapping[str, tarfile.TarInfo]

    @property
    def names(self) -> list[str]:
        """All members but the manifest."""
        return [name for name in self._infos if name != MANIFEST]

    @property
    def size(self) -> int:
        return sum(info.size for info in self._infos.values())

    def read(self, name: str) -> bytes:
        """Return a small member."""
        with self._opened(name) as content:
            return content.read(_SMALL)

    def look(self, name: str, moved: Callable[[int], None], to: Path | None = None) -> Member:
        """Read a member to its end, and write it into a new file where one is named; what it is."""
        with self._opened(name) as content, open(to or os.devnull, "wb", opener=_private) as file:
            hashed = _Hashed(content, moved)
            while piece := hashed.read(_PIECE):
                file.write(piece)
            file.flush()
            if to is not None:
                os.fsync(file.fileno())
        return Member(self._infos[name].size, hashed.sha256.hexdigest())

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        content = self._tar.extractfile(self._infos[name])
        assert content is not None, "a plain file"  # noqa: S101 - checked when it was opened
        try:
            with content:
                yield content
        except (tarfile.TarError, EOFError):
            raise CommandError(f"{self.path}: {name} is cut off; take another copy of the backup") from None


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive; `CommandError` where it is none of ours."""
    try:
        with tarfile.open(path, "r:") as tar:
            infos = _infos(path, tar)
            yield Archive(path, _manifest(path, tar, infos), tar, infos)
    except tarfile.TarError:
        raise CommandError(f"{path}: is no backup of Hushpost, or was cut off") from None


def _infos(path: Path, tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    infos: dict[str, tarfile.TarInfo] = {}
    for info in tar:
        if info.name not in _NAMED and not any(form.fullmatch(info.name) for form in (_VAPID, _ATTACHMENT)):
            raise CommandError(f"{path}: {info.name!r} does not belong into a backup; it was tampered with")
        if info.type != tarfile.REGTYPE or info.sparse is not None or info.name in infos:
            raise CommandError(f"{path}: {info.name} is not one plain file; the backup was tampered with")
        infos[info.name] = info
    return infos


def _manifest(path: Path, tar: tarfile.TarFile, infos: Mapping[str, tarfile.TarInfo]) -> Manifest:
    if MANIFEST not in infos:
        raise CommandError(f"{path}: has no manifest: it was cut off, or is no backup of Hushpost")
    content = tar.extractfile(infos[MANIFEST])
    try:
        manifest = msgspec.json.decode(content.read(_SMALL) if content else b"", type=Manifest)
    except msgspec.MsgspecError as error:
        raise CommandError(f"{path}: its manifest cannot be read ({error})") from None
    if manifest.format != FORMAT:
        raise CommandError(
            f"{path}: is of format {manifest.format}, this program reads {FORMAT}; use a newer version of Hushpost"
        )
    return manifest
