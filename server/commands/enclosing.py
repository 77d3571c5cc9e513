"""Enclosing: each file that a message names becomes, for each device, a claim of that device's (PROTOCOL.md, section 2).

A claim names the hash of its blob, so the whole file is sealed once for each frame and device, and only the hash is kept: the same
key and nonce make the same blob when it is fetched. Every attempt, and every fetch, names the same claim.

A file that is not there any more, such as after a disk was lost, has no claim: its message goes without it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any
from uuid import UUID

from crypto.claim import seal_pieces
from crypto.encoding import b64u
from crypto.errors import CryptoError
from server.domain.claim import Claim, FileClaim
from server.domain.delivery import Parcel
from server.domain.file import StoredFile
from server.domain.ids import new_id
from server.domain.ports import Database, Random
from server.store import attachments
from server.store.claims import find_file_claims, keep_file_claims
from server.store.files import Files, read_pieces

_MARK = '"attachmentUuid":'  # in JSON that this server wrote; what people write has another quote in front of the colon
_THREADS = 4
_AT_ONCE = 64  # claims that are made before they are kept

Key = tuple[str, str, str]  # of a claim on a file: frame, device, file
Enclosed = Mapping[str, Mapping[str, Claim]]
"""By a parcel's id: its device's claims, by the ids of the files."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    frame_id: str
    device_id: str
    message_id: str
    file_id: str

    @property
    def key(self) -> Key:
        return self.frame_id, self.device_id, self.file_id


@dataclass(frozen=True, slots=True)
class _Draft:
    """A claim that is about to be made; the blob's hash is not known yet."""

    wanted: _Wanted
    file: StoredFile
    key: bytes = field(repr=False)
    nonce: bytes


async def enclose(
    db: Database, parcels: Sequence[Parcel], files: Files, *, now: int, random: Random, log: Any
) -> Enclosed:
    """Return the claims of those parcels whose messages name files; most do not, and cost a look at their text."""
    wanted = {p.id: _wanted(p) for p in parcels if p.body is not None and _MARK in p.body}
    if not wanted:
        return {}
    everything = list(dict.fromkeys(chain.from_iterable(wanted.values())))
    claims = await _claims(db, everything, files, now=now, random=random)
    missing = sorted({one.file_id for one in everything if one.key not in claims})
    if missing:
        log.warning("messages go without attachments whose files are not there", attachments=missing)
    return {
        id_: {one.file_id: claims[one.key] for one in ones if one.key in claims}
        for id_, ones in wanted.items()
    }


def enclosed_in(attachment: Mapping[str, Any], claims: Mapping[str, Claim]) -> dict[str, Any]:
    """Return an attachment of a message as a device is given it, with a claim in the place of a file."""
    shown = {name: value for name, value in attachment.items() if name != "attachmentUuid"}
    claim = claims.get(attachment.get("attachmentUuid", ""))
    return shown if claim is None else shown | {"claim": show_claim(claim)}


def show_claim(claim: Claim) -> dict[str, Any]:
    """Return a claim as a body names it."""
    return {"id": claim.id, "key": b64u(claim.key), "sha256": b64u(claim.sha256), "size": claim.size}


async def sealed_pieces(claim: FileClaim, files: Files) -> AsyncIterator[bytes]:
    """Make the blob of a claim on a file, with one piece of it in memory."""
    pieces = seal_pieces(
        read_pieces(files.path(claim.file_id)),
        claim.claim.size,
        message_id=UUID(claim.claim.frame_id),
        device_id=UUID(claim.claim.device_id),
        key=claim.claim.key,
        nonce=claim.nonce,
    )
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _wanted(parcel: Parcel) -> list[_Wanted]:
    content = json.loads(parcel.body or "{}")
    named = [attachment.get("attachmentUuid") for attachment in content.get("attachments", ())]
    return [
        _Wanted(parcel.frame_id, parcel.device_id, parcel.message_id or "", file_id)
        for file_id in named
        if file_id is not None
    ]


async def _claims(
    db: Database, wanted: Sequence[_Wanted], files: Files, *, now: int, random: Random
) -> dict[Key, Claim]:
    frames = [one.frame_id for one in wanted]
    there = _by_key(await db.read(lambda tx: find_file_claims(tx, frames)))
    missing = [one for one in wanted if one.key not in there]
    if not missing:
        return there
    named = sorted({one.file_id for one in missing})
    rows = await db.read(lambda tx: attachments.load_files(tx, named))
    drafts = [
        _Draft(one, rows[one.file_id], random(32), random(12)) for one in missing if one.file_id in rows
    ]
    for start in range(0, len(drafts), _AT_ONCE):
        made = await _make(drafts[start : start + _AT_ONCE], files, now=now, random=random)
        await db.write(partial(keep_file_claims, claims=made))
    return _by_key(await db.read(lambda tx: find_file_claims(tx, frames)))


def _by_key(claims: Sequence[FileClaim]) -> dict[Key, Claim]:
    return {(one.claim.frame_id, one.claim.device_id, one.file_id): one.claim for one in claims}


async def _make(drafts: Sequence[_Draft], files: Files, *, now: int, random: Random) -> list[FileClaim]:
    """Seal the files and keep the hashes; a file that is not there, or not whole, has none."""
    shares = [drafts[number::_THREADS] for number in range(_THREADS)]
    hashed = await asyncio.gather(*(asyncio.to_thread(_hashes, share, files) for share in shares if share))
    return [
        _claim(draft, blob, now, random)
        for draft, blob in zip(chain.from_iterable(shares), chain.from_iterable(hashed), strict=True)
        if blob is not None
    ]


def _hashes(drafts: Sequence[_Draft], files: Files) -> list[bytes | None]:
    return [_hash(draft, files) for draft in drafts]


def _hash(draft: _Draft, files: Files) -> bytes | None:
    digest = sha256()
    try:
        for piece in seal_pieces(
            read_pieces(files.path(draft.file.id)),
            draft.file.size,
            message_id=UUID(draft.wanted.frame_id),
            device_id=UUID(draft.wanted.device_id),
            key=draft.key,
            nonce=draft.nonce,
        ):
            digest.update(piece)
    except (OSError, CryptoError):
        return None
    return digest.digest()


def _claim(draft: _Draft, blob_sha256: bytes, now: int, random: Random) -> FileClaim:
    wanted = draft.wanted
    claim = Claim(
        id=new_id(now, random),
        frame_id=wanted.frame_id,
        device_id=wanted.device_id,
        key=draft.key,
        sha256=blob_sha256,
        size=draft.file.size,
    )
    return FileClaim(claim, wanted.file_id, wanted.message_id, draft.nonce, now)
