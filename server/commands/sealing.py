"""Sealing: a delivery's content becomes an envelope for one device, whatever its size.

A key that is none (a row that was damaged, a key of a suite that this version does not know) costs its own delivery, never the batch.

What does not fit the largest envelope goes as a preview: the title and as much of the text as there is room for, with a
claim on the whole body, which is sealed once for each frame and device and stored before the preview leaves. Every
attempt, and every fetch, names the same claim. Nothing is cut off silently. Texts that are not kept here are in no claim either: they are
cut, and end in "…".

The functions that compute are plain and take plain values; `_compute` is the one seam to wherever they run.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hashlib import sha256
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from crypto.claim import seal_claim
from crypto.envelope import LARGEST_WEB_PUSH, SIZES, seal
from crypto.errors import CryptoError, TooLarge
from crypto.frame import Frame
from crypto.keys import DevicePublicKey, IdentityKey, Suite
from server.commands.enclosing import enclose, enclosed_in
from server.commands.previews import preview, shorten, write_json
from server.domain.claim import Claim, StoredClaim
from server.domain.delivery import Address, Parcel
from server.domain.errors import Unavailable
from server.domain.ids import new_id
from server.domain.message import NEW, UNRESOLVED, DeliveryType
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time
from server.store.claims import find_claims, keep_claims
from server.store.files import Files

T = TypeVar("T")

_AT_ONCE = 64  # letters to one process: some milliseconds of its time
_TRIES = 3
_AGAIN = 2  # seconds


@dataclass(frozen=True, slots=True)
class Sealer:
    """What sealing needs beside the delivery; `pool` runs what would hold up the event loop. `log` is a structlog logger."""

    identity: IdentityKey
    pool: Executor
    clock: Clock
    random: Random
    files: Files
    log: Any


@dataclass(frozen=True, slots=True)
class Letter:
    """One frame to seal: the whole body, a preview of it where there is a claim, or what fits of one that is `fleeting`."""

    frame_id: str
    sequence: int
    sent_at: int
    kind: int
    device_id: str
    suite: int
    public_key: bytes = field(repr=False)
    largest: int
    body: bytes = field(repr=False)
    claim: Claim | None
    fleeting: bool = False


class Unsealed(Enum):
    """Why there is no envelope for a letter."""

    TOO_LARGE = auto()
    BAD_KEY = auto()


@dataclass(frozen=True, slots=True)
class Sealed:
    """Envelopes by delivery id, and the deliveries to keys that nothing can be sealed for.

    What is in neither was retracted or changed while this ran, or is of a kind that has no preview.
    """

    envelopes: Mapping[str, bytes] = field(repr=False)
    bad_keys: frozenset[str]


async def seal_parcels(
    db: Database, parcels: Sequence[Parcel], addresses: Mapping[str, Address], sealer: Sealer
) -> Sealed:
    """Seal for devices that have a key what has content that is still there."""
    open_ = [p for p in parcels if p.body is not None and addresses[p.device_id].public_key is not None]
    enclosed = await enclose(
        db, open_, sealer.files, now=sealer.clock(), random=sealer.random, log=sealer.log
    )
    shared = {(p.frame_id, p.quiet): body_of(p, {}) for p in open_ if p.id not in enclosed}
    letters = {
        p.id: letter_for(
            p,
            addresses[p.device_id],
            body_of(p, enclosed[p.id]) if p.id in enclosed else shared[p.frame_id, p.quiet],
        )
        for p in open_
    }
    done = await _seal(letters, sealer)
    large = [
        p for p in open_ if done[p.id] is Unsealed.TOO_LARGE and p.message_id is not None and not p.fleeting
    ]
    if not large:
        return _sealed(done)
    claims = await _claims_for(db, large, letters, sealer)
    previews = {
        p.id: _with_claim(letters[p.id], claims[p.frame_id, p.device_id])
        for p in large
        if (p.frame_id, p.device_id) in claims
    }
    return _sealed(done | await _seal(previews, sealer))


def body_of(parcel: Parcel, claims: Mapping[str, Claim] | None) -> bytes:
    """Return a frame's whole body in JSON: the content as stored, when it stops being news, and what it is about.

    `claims` take the place of the files that it names; None where the device has no key and gets the files' ids.
    """
    text = parcel.body or "{}"
    if parcel.message_id is None:
        return text.encode()
    body = json.loads(text) | {"expiresAt": show_time(parcel.expires_at)}
    if parcel.of is not None:
        body["of"] = parcel.of
    if parcel.quiet is not None:
        body["deliveryType"] = DeliveryType.SILENT.value
    if UNRESOLVED in body and "title" not in body:
        body = {"title": NEW, **body}
    if "attachments" in body:
        body["attachments"] = [_attachment(attachment, claims) for attachment in body["attachments"]]
    return write_json(body)


def _attachment(attachment: Mapping[str, Any], claims: Mapping[str, Claim] | None) -> dict[str, Any]:
    shown = {name: value for name, value in attachment.items() if name != "saveOnServer"}
    return shown if claims is None else enclosed_in(shown, claims)


def letter_for(parcel: Parcel, address: Address, body: bytes) -> Letter:
    if address.suite is None or address.public_key is None:
        raise ValueError("a device without a key is woken, nothing is sealed for it")
    return Letter(
        frame_id=parcel.frame_id,
        sequence=parcel.sequence,
        sent_at=parcel.created_at,
        kind=parcel.kind.value,
        device_id=parcel.device_id,
        suite=address.suite,
        public_key=address.public_key,
        largest=LARGEST_WEB_PUSH if address.is_web else SIZES[-1],
        body=body,
        claim=None,
        fleeting=parcel.fleeting,
    )


def seal_letters(identity: IdentityKey, letters: Sequence[Letter]) -> list[bytes | Unsealed]:
    """Seal each, or say why that cannot be."""
    return [_seal_one(identity, letter) for letter in letters]


def make_claim(letter: Letter, message_id: str, *, now: int, random: Random) -> StoredClaim:
    """Seal a whole body for the device's own fetching, with a key of its own."""
    key = random(32)
    blob = seal_claim(
        letter.body,
        message_id=UUID(letter.frame_id),
        device_id=UUID(letter.device_id),
        key=key,
        nonce=random(12),
    )
    claim = Claim(
        id=new_id(now, random),
        frame_id=letter.frame_id,
        device_id=letter.device_id,
        key=key,
        sha256=sha256(blob).digest(),
        size=len(letter.body),
    )
    return StoredClaim(claim, message_id, blob, now)


def _sealed(done: Mapping[str, bytes | Unsealed]) -> Sealed:
    return Sealed(
        {id_: envelope for id_, envelope in done.items() if isinstance(envelope, bytes)},
        frozenset(id_ for id_, envelope in done.items() if envelope is Unsealed.BAD_KEY),
    )


async def _seal(letters: Mapping[str, Letter], sealer: Sealer) -> dict[str, bytes | Unsealed]:
    """Seal a few at a time, so that one batch is shared by all processes."""
    todo = list(letters.values())
    pieces = [todo[start : start + _AT_ONCE] for start in range(0, len(todo), _AT_ONCE)]
    sealed = await asyncio.gather(
        *(_compute(sealer, seal_letters, sealer.identity, piece) for piece in pieces)
    )
    return dict(zip(letters, chain.from_iterable(sealed), strict=True))


async def _claims_for(
    db: Database, parcels: Sequence[Parcel], letters: Mapping[str, Letter], sealer: Sealer
) -> dict[tuple[str, str], Claim]:
    pairs = [(parcel.frame_id, parcel.device_id) for parcel in parcels]
    claims = await db.read(lambda tx: find_claims(tx, pairs))
    there = {(claim.frame_id, claim.device_id) for claim in claims}
    missing = [parcel for parcel in parcels if (parcel.frame_id, parcel.device_id) not in there]
    if missing:
        made = await _compute(
            sealer,
            _make_claims,
            [(letters[parcel.id], parcel.message_id or "") for parcel in missing],
            sealer.clock(),
            sealer.random,
        )
        contents = {parcel.message_id or "": parcel.body or "" for parcel in missing}
        claims += await db.write(lambda tx: keep_claims(tx, made, contents))
    return {(claim.frame_id, claim.device_id): claim for claim in claims}


async def _compute(sealer: Sealer, work: Callable[..., T], *args: object) -> T:
    """Run work in the pool; Unavailable. A process that is killed takes along what was under way, so that is done again."""
    loop = asyncio.get_running_loop()
    for _ in range(_TRIES):
        with suppress(BrokenExecutor):
            return await loop.run_in_executor(sealer.pool, work, *args)
    raise Unavailable("the processes that encrypt are killed again and again", retry_after=_AGAIN)


def _make_claims(letters: Sequence[tuple[Letter, str]], now: int, random: Random) -> list[StoredClaim]:
    return [make_claim(letter, message_id, now=now, random=random) for letter, message_id in letters]


def _seal_one(identity: IdentityKey, letter: Letter) -> bytes | Unsealed:
    try:
        device = DevicePublicKey(Suite(letter.suite), letter.public_key)
    except (CryptoError, ValueError):  # ValueError: of a suite that is unknown
        return Unsealed.BAD_KEY
    body, smallest = letter.body, SIZES[0]
    if letter.claim is not None:  # the size must not tell how much of it is text
        body, smallest = preview(body, letter.claim, device.suite, letter.largest), letter.largest
    frame = Frame(UUID(letter.frame_id), letter.sequence, letter.sent_at, letter.kind, body)
    try:
        return seal(
            frame,
            signer=identity,
            device=device,
            device_id=UUID(letter.device_id),
            largest=letter.largest,
            smallest=smallest,
        )
    except TooLarge:
        if not letter.fleeting:
            return Unsealed.TOO_LARGE
    short = shorten(letter.body, device.suite, letter.largest)
    return _seal_one(identity, replace(letter, body=short, fleeting=False))


def _with_claim(letter: Letter, claim: Claim) -> Letter:
    return replace(letter, claim=claim)
