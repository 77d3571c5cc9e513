"""Key files: typed text, one key on each line, readable by their owner only (PROTOCOL.md, section 1).

A file that others can read is refused, since a copied identity key lets anybody speak as this server for ever. A file is
written whole under a temporary name, synced and renamed, and never over one that is there: a lost identity key means
that every phone pairs anew.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crypto.encoding import b64u, unb64u
from crypto.errors import CryptoError, Malformed
from crypto.keys import AnyKey, DeviceKey, EpochKey, IdentityKey, Random, read_keys
from crypto.vapid import VapidKey

SECRET_LENGTH = 32
MAKE_SERVER = "make it with: hushpost keys new server"
MAKE_RELAY = "make it with: hushpost keys new relay"
_VAPID = re.compile(r"-----BEGIN |[A-Za-z0-9_-]{43}$")


class KeyFileError(Exception):
    """A key file that cannot be used; the text names it and what to do."""


@dataclass(frozen=True)
class ServerSecret:
    """The 32 random bytes from which the server derives what is its own business: JWTs, collapse values, codes."""

    PREFIX = "hushpost-secret-1:"

    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls, random: Random) -> "ServerSecret":
        return cls(random(SECRET_LENGTH))

    @classmethod
    def from_text(cls, line: str) -> "ServerSecret":
        if not line.startswith(cls.PREFIX):
            raise Malformed("not a server's secret")
        return cls(unb64u(line.removeprefix(cls.PREFIX), SECRET_LENGTH))

    @property
    def text(self) -> str:
        return f"{self.PREFIX}{b64u(self.raw)}"


Key = AnyKey | ServerSecret | VapidKey


def read_private(path: Path, *, hint: str) -> str:
    """The text of a file that only its owner may read; `hint` says how one is made where it is missing."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        raise KeyFileError(f"{path}: there is no such key file; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyFileError(f"{path}: cannot be read ({reason})") from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"{path}: others may read this key file (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
        )
    return text


def parse(path: Path, text: str) -> list[Key]:
    """The keys in a file's text. A secret has a file of its own, and so has a VAPID key, in PEM or as a bare scalar."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    try:
        if kept and kept[0].startswith(ServerSecret.PREFIX):
            return [ServerSecret.from_text(line) for line in kept]
        if kept and _VAPID.match(kept[0]):
            return [VapidKey.from_text(text)]
        return list(read_keys(text))
    except CryptoError as error:
        raise KeyFileError(f"{path}: {error}; take the file from a backup") from None


def read_keys_of(path: Path, *, hint: str) -> list[Key]:
    return parse(path, read_private(path, hint=hint))


def read_identity(path: Path) -> IdentityKey:
    found = [key for key in read_keys_of(path, hint=MAKE_SERVER) if isinstance(key, IdentityKey)]
    if len(found) != 1:
        raise KeyFileError(f"{path}: holds {len(found)} identity keys, a server has exactly one")
    return found[0]


def read_secret(path: Path) -> ServerSecret:
    found = [key for key in read_keys_of(path, hint=MAKE_SERVER) if isinstance(key, ServerSecret)]
    if len(found) != 1:
        raise KeyFileError(f"{path}: holds {len(found)} secrets, a server has exactly one")
    return found[0]


def write_new(path: Path, keys: Sequence[Key]) -> None:
    """Write a key file that is not there yet; a crash leaves all of it or none."""
    _write(path, "".join(f"{key.text}\n" for key in keys), replace=False)


def append(path: Path, keys: Sequence[Key]) -> None:
    """Write keys behind those that a file holds."""
    text = read_private(path, hint=MAKE_RELAY)
    separator = "" if not text or text.endswith("\n") else "\n"
    _write(path, text + separator + "".join(f"{key.text}\n" for key in keys), replace=True)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only; those that are there stay as they are."""
    if not folder.exists():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _write(path: Path, text: str, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make_private_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # unlike a rename, this never takes the place of a file that is there
        _sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(f"{path}: is there already; move it away first if it is not needed") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(key: Key) -> dict[str, str]:
    """What may be shown of a key: what it is, and by what others know it."""
    match key:
        case IdentityKey():
            return {"type": "identity", "id": key.public.id, "publicKey": b64u(key.public.raw)}
        case EpochKey():
            return {"type": "epoch", "id": str(key.number)}
        case DeviceKey():
            return {"type": "device", "id": key.public.key_id.hex(), "publicKey": b64u(key.public.raw)}
        case ServerSecret():
            return {"type": "secret", "id": "-"}
        case VapidKey():
            return {"type": "vapid", "id": "-", "applicationServerKey": key.application_server_key}
