"""Which of a server's numbered deliveries a device knows about: its head, and the gaps below it (PROTOCOL §2, gaps).

Pure values. A number is *covered* once its delivery arrived or a fetch has shown that it does not exist. Gaps are
ranges, because a server that was restored starts 2^32 higher.
"""

from dataclasses import dataclass

Range = tuple[int, int]


@dataclass(frozen=True)
class Numbering:
    """`gaps` are inclusive, disjoint, ascending and at or below `head`."""

    head: int
    gaps: tuple[Range, ...]

    @property
    def resume(self) -> int:
        """Ask for what comes after this number."""
        return self.gaps[0][0] - 1 if self.gaps else self.head

    def missing(self, number: int) -> bool:
        """Tell whether a delivery of this number would be news: above the head, or in a gap."""
        return number > self.head or any(first <= number <= last for first, last in self.gaps)

    def expect(self, head: int) -> "Numbering":
        """Learn that the server's head is at least this."""
        if head <= self.head:
            return self
        return Numbering(head, (*self.gaps, (self.head + 1, head)))

    def arrived(self, number: int) -> "Numbering":
        return self.expect(number).covered(number - 1, number)

    def covered(self, after: int, upto: int) -> "Numbering":
        """Count everything in (after, upto] as known; it may reach above the head."""
        gaps: list[Range] = []
        for first, last in self.gaps:
            if first <= after:
                gaps.append((first, min(last, after)))
            if last > upto:
                gaps.append((max(first, upto + 1), last))
        return Numbering(max(self.head, upto), tuple(gaps))


FORGOTTEN = Numbering(0, ())
"""What is known of a server that was restored from a backup: nothing."""
