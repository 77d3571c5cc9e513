"""What a device fetches: the deliveries after a number, sealed like a push, and what else brings it up to date.

What is fetched is authoritative: every number up to the head is named, as an envelope or as cancelled or expired, so that
what is not named does not exist (PROTOCOL.md, section 2). A device without a key gets the content over its TLS connection.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crypto.claim import sealed_size
from server.commands.enclosing import sealed_pieces
from server.commands.resolving import fill_parcels
from server.commands.sealing import Sealed, Sealer, body_of, seal_parcels
from server.domain.account import CallingDevice
from server.domain.delivery import Address, Parcel, State
from server.domain.errors import NotFound
from server.domain.message import LONGEST_TTL
from server.domain.ports import Database, Transaction
from server.domain.resolver import Resolver
from server.store import parcels
from server.store.claims import find_blob, find_file_claim
from server.store.devices import find_address
from server.store.files import Files

_LOOKS = 3  # at what is changed again and again while it is sealed


@dataclass(frozen=True)
class Fetch:
    after: int
    limit: int


@dataclass(frozen=True)
class Named:
    """One number: exactly one of `envelope`, `content` (for a device without a key) and `state` is there."""

    sequence: int
    message_id: str
    kind: int
    sent_at: int
    envelope: bytes | None = field(repr=False)
    content: dict[str, Any] | None = field(repr=False)
    state: State | None


@dataclass(frozen=True)
class Fetched:
    messages: list[Named]
    retracted: list[str]
    read: list[str]
    head: int
    more: bool


@dataclass(frozen=True)
class Blob:
    """What a claim names: so many bytes, in pieces."""

    size: int
    pieces: AsyncIterator[bytes] = field(repr=False)


@dataclass(frozen=True)
class _Found:
    address: Address
    parcels: list[Parcel]
    retracted: list[str]
    read: list[str]
    head: int
    more: bool


async def fetch(
    db: Database, device: CallingDevice, command: Fetch, *, sealer: Sealer, resolver: Resolver, now: int
) -> Fetched:
    """Return what the device does not have; NotFound where it was unpaired meanwhile."""
    found, sealed = await _look(db, device, command, sealer, resolver, now)
    for _ in range(_LOOKS - 1):
        if not _has_changed(found, sealed, now):
            break
        found, sealed = await _look(db, device, command, sealer, resolver, now)
    keyless = found.address.public_key is None
    named = [_name(parcel, sealed.envelopes, now, keyless=keyless) for parcel in found.parcels]
    return Fetched(named, found.retracted, found.read, found.head, found.more)


async def fetch_claim(db: Database, device: CallingDevice, claim_id: str, files: Files) -> Blob:
    """Return the blob of a claim of this device; NotFound, also where it is another's, or the file is lost."""
    body = await db.read(lambda tx: find_blob(tx, claim_id, device.id))
    if body is not None:
        return Blob(len(body), _one(body))
    claim = await db.read(lambda tx: find_file_claim(tx, claim_id, device.id))
    if claim is None or not await files.has(claim.file_id, claim.claim.size):
        raise NotFound("no such claim", code="claim_not_found")
    return Blob(sealed_size(claim.claim.size), sealed_pieces(claim, files))


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def _look(
    db: Database, device: CallingDevice, command: Fetch, sealer: Sealer, resolver: Resolver, now: int
) -> tuple[_Found, Sealed]:
    found = await db.read(lambda tx: _find(tx, device, command, now))
    alive = await fill_parcels(
        db, resolver, [parcel for parcel in found.parcels if _dead(parcel, now) is None]
    )
    filled = {parcel.id: parcel for parcel in alive}
    found = replace(found, parcels=[filled.get(parcel.id, parcel) for parcel in found.parcels])
    return found, await seal_parcels(db, alive, {device.id: found.address}, sealer)


async def _find(tx: Transaction, device: CallingDevice, command: Fetch, now: int) -> _Found:
    address = await find_address(tx, device.id)
    if address is None:
        raise NotFound("this device is not paired any more")
    page = await parcels.list_parcels(tx, device.id, after=command.after, limit=command.limit + 1)
    return _Found(
        address=address,
        parcels=page[: command.limit],
        retracted=await parcels.list_retracted(tx, device.id, now - LONGEST_TTL),
        read=await parcels.list_read(tx, device.id, now - LONGEST_TTL),
        head=await parcels.head_of(tx, device.id),
        more=len(page) > command.limit,
    )


def _has_changed(found: _Found, sealed: Sealed, now: int) -> bool:
    """Say whether a message was retracted, or says something else, since it was read: no claim on it was kept."""
    return found.address.public_key is not None and any(
        parcel.message_id is not None
        and _dead(parcel, now) is None
        and parcel.id not in sealed.envelopes
        and parcel.id not in sealed.bad_keys
        for parcel in found.parcels
    )


def _dead(parcel: Parcel, now: int) -> State | None:
    """Return the state of a parcel that holds nothing to show any more."""
    if parcel.state is State.CANCELLED or parcel.body is None:
        return State.CANCELLED
    if parcel.state is State.EXPIRED or parcel.expires_at <= now:
        return State.EXPIRED
    return None


def _name(parcel: Parcel, envelopes: Mapping[str, bytes], now: int, *, keyless: bool) -> Named:
    dead, envelope = _dead(parcel, now), envelopes.get(parcel.id)
    shown = keyless and dead is None
    if envelope is None and not shown:
        dead = dead or State.CANCELLED  # retracted while it was being sealed, or its key is none
    return Named(
        sequence=parcel.sequence,
        message_id=parcel.frame_id,
        kind=parcel.kind.value,
        sent_at=parcel.created_at,
        envelope=envelope,
        content=json.loads(body_of(parcel, None)) if shown else None,
        state=dead,
    )
