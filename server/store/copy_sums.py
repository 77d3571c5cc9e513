"""What a table holds, in two numbers that both engines give alike: how many rows, and a sum over their contents.

A row is the MessagePack array of its values, columns in order of their names; its digest is BLAKE2b with 16 bytes. The
table's sum is that of all digests, modulo 2^128. It does not depend on the order of rows, which the engines sort
differently, and needs no memory. It finds what a fault changes; it is no defence against somebody who can choose the rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

_BYTES = 16
_MODULUS = 2 ** (8 * _BYTES)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class TableSum:
    """`sum` is 32 hexadecimal digits."""

    rows: int
    sum: str


@dataclass(slots=True)
class Summing:
    """Rows as they go by."""

    rows: int = 0
    _total: int = 0

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        count = 0
        total = self._total
        for row in rows:
            total += int.from_bytes(blake2b(_encode(row), digest_size=_BYTES).digest(), "big")
            count += 1
        self.rows += count
        self._total = total % _MODULUS

    @property
    def result(self) -> TableSum:
        return TableSum(self.rows, f"{self._total:0{2 * _BYTES}x}")
