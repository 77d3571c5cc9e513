"""Header blocks for requests that differ in little (RFC 7541).

What repeats is put into the peer's dynamic table once and then costs a byte for each field; the bytes of a whole
repeating group are kept. All else is a literal that enters no table. Nothing is ever pushed out of the table: when it
is full, or its size has changed, it is emptied and filled anew, so that an index can only move and never go stale.
Strings are not Huffman coded: what repeats is sent once, and ids and paths would hardly shrink.

Blocks must be sent in the order in which they were made; each one may change the peer's table.
"""

from typing import Final, NamedTuple

from hpack.table import HeaderTable

from relay.http2 import Field, Request

LARGEST_TABLE: Final = 4_096
"""What we use of the peer's table, however much it offers."""
_OVERHEAD: Final = 32
"""What a field counts besides its bytes, in a table (section 4.1) and in a list (RFC 9113, section 6.5.2)."""
_KEPT: Final = 64
_DYNAMIC: Final = len(HeaderTable.STATIC_TABLE) + 1
_START: Final = b"\x83\x87"  # :method POST, :scheme https
_START_SIZE: Final = sum(map(len, (b":method", b"POST", b":scheme", b"https", b":path"))) + 3 * _OVERHEAD
_PATH: Final = b"\x14"  # :path, never indexed
_LENGTHS: Final = tuple(bytes([length]) for length in range(127))
_STATIC: Final = {name: index for index, (name, _) in reversed([*enumerate(HeaderTable.STATIC_TABLE, 1)])}

INDEXED: Final = 0x80
WITH_INDEXING: Final = 0x40
SIZE_UPDATE: Final = 0x20
WITHOUT_INDEXING: Final = 0x00


def integer(value: int, bits: int, pattern: int) -> bytes:
    """Give a number behind the bits of a pattern (section 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([pattern | value])
    value -= limit
    made = bytearray([pattern | limit])
    while value >= 128:  # noqa: PLR2004 - seven bits to a byte
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def string(value: bytes) -> bytes:
    length = len(value)
    return (_LENGTHS[length] if length < 127 else integer(length, 7, 0)) + value  # noqa: PLR2004 - seven bits


def size_of(fields: tuple[Field, ...]) -> int:
    return sum(len(name) + len(value) + _OVERHEAD for name, value in fields)


class _Group(NamedTuple):
    """What repeats, as long as no index has moved. It holds the fields, so that no other object gets their id."""

    fields: tuple[Field, ...]
    made: bytes
    size: int


class Encoder:
    def __init__(self) -> None:
        self._limit = LARGEST_TABLE
        self._indexed: dict[Field, int] = {}
        self._size = 0
        self._update = b""
        self._groups: dict[int, _Group] = {}
        self._names: dict[bytes, bytes] = {}

    def limit(self, size: int) -> None:
        """Take the peer's HEADER_TABLE_SIZE (section 4.2)."""
        wanted = min(size, LARGEST_TABLE)
        if wanted != self._limit:
            self._limit = wanted
            self._empty()

    def block(self, request: Request, largest: int) -> bytes | None:
        """Give the header block of a request, or None where its list is longer than the peer takes.

        `largest` is the peer's MAX_HEADER_LIST_SIZE (RFC 9113, section 6.5.2).
        """
        names, path = self._names, request.path
        parts = [b"", _PATH, integer(len(path), 7, 0), path, b""]
        size = _START_SIZE + len(path)
        for name, value in request.varying:
            length = len(value)
            size += len(name) + length + _OVERHEAD
            parts += (
                names.get(name) or self._learn_name(name),
                _LENGTHS[length] if length < 127 else integer(length, 7, 0),  # noqa: PLR2004 - seven bits
                value,
            )
        known = self._groups.get(id(request.repeating)) or self._learn(request.repeating, largest - size)
        if known is None or size + known.size > largest:
            return None
        parts[4] = known.made
        parts[0], self._update = self._update + _START, b""
        return b"".join(parts)

    def _learn(self, fields: tuple[Field, ...], largest: int) -> "_Group | None":
        """Encode what repeats, and keep it once nothing in it enters the table any more."""
        size = size_of(fields)
        if size > largest:
            return None  # before the table has changed: the peer will not see this block
        new = tuple(field for field in fields if field not in self._indexed)
        if self._size + size_of(new) > self._limit >= size:
            self._empty()
        before = len(self._indexed)
        group = _Group(fields, b"".join(map(self._field, fields)), size)
        if len(self._indexed) > before or len(self._groups) >= _KEPT:
            self._groups.clear()
        if len(self._indexed) == before:
            self._groups[id(fields)] = group
        return group

    def _field(self, field: Field) -> bytes:
        place = self._indexed.get(field)
        if place is not None:
            return integer(_DYNAMIC + len(self._indexed) - place, 7, INDEXED)
        name, value = field
        size = size_of((field,))
        if self._size + size > self._limit:
            return self._name(name, 4, WITHOUT_INDEXING) + string(value)
        self._size += size
        self._indexed[field] = len(self._indexed) + 1
        return self._name(name, 6, WITH_INDEXING) + string(value)

    def _name(self, name: bytes, bits: int, pattern: int) -> bytes:
        index = _STATIC.get(name)
        return bytes([pattern]) + string(name) if index is None else integer(index, bits, pattern)

    def _learn_name(self, name: bytes) -> bytes:
        if len(self._names) >= _KEPT:
            self._names.clear()
        made = self._names[name] = self._name(name, 4, WITHOUT_INDEXING)
        return made

    def _empty(self) -> None:
        """Empty the peer's table and ours; said at the start of the next block (sections 4.2 and 6.3)."""
        self._update = integer(0, 5, SIZE_UPDATE) + (
            integer(self._limit, 5, SIZE_UPDATE) if self._limit else b""
        )
        self._indexed.clear()
        self._groups.clear()
        self._size = 0
