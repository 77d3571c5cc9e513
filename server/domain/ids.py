"""Ids are made by the application, before the transaction that writes them (RFC 9562)."""

from uuid import UUID

from server.domain.ports import Random

LAST_ID = "g"
"""Sorts after every id: where a list that goes down begins."""

_VARIANT = 0b10 << 62
_FIXED = 0xF << 76 | 0b11 << 62


def new_id(now: int, random: Random) -> str:
    """Return a UUIDv7 for the time `now` (milliseconds): it sorts by time of creation, roughly."""
    noise = int.from_bytes(random(10), "big")
    high = (now & (1 << 48) - 1) << 80 | 7 << 76 | (noise >> 64 & 0xFFF) << 64
    return _text(high | _VARIANT | noise & (1 << 62) - 1)


def new_push_id(random: Random) -> str:
    """Return a UUIDv4: relay and provider see it, so it tells no time (PROTOCOL.md, Encodings)."""
    noise = int.from_bytes(random(16), "big")
    return _text(noise & ~_FIXED | 4 << 76 | _VARIANT)


def first_id(at: int) -> str:
    """Return a text that sorts after every UUIDv7 of an earlier time, and before those of this one."""
    digits = f"{at:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def id_time(text: str) -> int:
    """Return the milliseconds at which a UUIDv7 was made."""
    return UUID(text).int >> 80


def _text(number: int) -> str:
    """Return what `str(UUID(int=number))` would, at a third of its cost: a message has three ids or more."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
