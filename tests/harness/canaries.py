"""Secrets that are recognised wherever they turn up, and the memory of a process to look for them in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHORTEST = 12
"""A text that is shorter could stand anywhere by chance."""

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")
_PIECE = 1 << 22


@dataclass
class Canaries:
    """What must not be shown, by a name that may."""

    _names: dict[bytes, str] = field(default_factory=dict, repr=False)

    def hide(self, name: str, *secrets: str) -> None:
        for secret in secrets:
            assert len(secret) >= SHORTEST, name
            self._names[secret.encode()] = name

    def hide_key(self, name: str, text: str) -> None:
        """A key in a file: each of its lines that is no heading."""
        lines = (line.strip() for line in text.splitlines())
        self.hide(
            name, *(line for line in lines if len(line) >= SHORTEST and not line.startswith(("---", "#")))
        )

    def found_in(self, data: bytes) -> set[str]:
        """The names of those that stand there, in whatever case."""
        lower = data.lower()
        return {name for secret, name in self._names.items() if secret in data or secret.lower() in lower}

    def __len__(self) -> int:
        return len(self._names)


def memory_of(pid: int) -> Iterator[bytes]:
    """What a process can write to, piece by piece; neighbouring pieces overlap."""
    mappings = _MAPPING.findall(Path(f"/proc/{pid}/maps").read_text())
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in ((int(first, 16), int(last, 16)) for first, last in mappings):
            for at in range(start, end, _PIECE):
                memory.seek(at)
                try:
                    yield memory.read(min(_PIECE + 4096, end - at))
                except OSError:
                    break  # a mapping of a device, which is no memory


def kept_in(pid: int, pattern: bytes) -> set[bytes]:
    """What matches in a process's memory, each once."""
    wanted = re.compile(pattern)
    return {found for piece in memory_of(pid) for found in wanted.findall(piece)}
