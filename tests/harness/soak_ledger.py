"""Every push of a soak, from its request until it is judged: what the relay said of it, what the provider saw of it.

A push is judged some time after its answer and then forgotten, so that the ledger does not grow; a provider that sees it
later than that is a violation of its own. Here no server sends a push a second time, so that a provider must never take one twice,
whatever its outcome was; what a provider said it had not processed (GOAWAY below the stream, REFUSED_STREAM) does not count.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from relay.wire import Outcome

JUDGED_AFTER = 30.0
EXAMPLES = 5
UNPROCESSED = frozenset({"refused", "goaway", "goaway_open", "goaway_drain", "after_goaway", "over_limit"})
NOT_HANDED_ON = frozenset(
    {
        *("handle_invalid", "handle_expired", "limited", "malformed", "duplicate_id", "ttl_out_of_range"),
        *("bad_collapse", "bad_envelope", "background_unsupported", "not_configured"),
    }
)
"""Reasons with which a push must never have reached a provider."""

DEAD = frozenset({404, 410})
SAID_200 = frozenset({"wrong_hpack_cut", "wrong_capital_name"})
"""Wrong answers that begin with a 200 in good order, by which a push counts as accepted."""


@dataclass(slots=True)
class Entry:
    """`taken` counts what the provider processed or may have, `status` is what it last answered (0: nothing)."""

    provider: str
    server: str
    outcome: Outcome | None = None
    taken: int = 0
    status: int = 0
    fault: str = "-"


class Ledger:
    """`clock` is any that runs evenly, in seconds."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.unknown: int = 0
        self.violations: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.judged = 0
        self._open: dict[str, Entry] = {}
        self._ended: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def sent(self, provider: str, server: str, push_id: str) -> None:
        self._open[push_id] = Entry(provider, server)

    def answered(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Each push's own outcome; what the relay could not read has none in the ledger."""
        for outcome in outcomes:
            entry = self._open.get(outcome.id or "")
            provider = "none" if entry is None else entry.provider
            self.outcomes[provider, outcome.status, outcome.reason or ""] += 1
            if entry is not None and entry.outcome is None:
                entry.outcome = outcome
                self._ended.append((now, outcome.id or ""))

    def refused(self, push_ids: Iterable[str]) -> None:
        """The request was refused as a whole: none of its pushes may be seen."""
        for push_id in push_ids:
            del self._open[push_id]

    def lost(self, push_ids: Iterable[str], now: float) -> None:
        """There was no answer: whatever became of them, it became once."""
        for push_id in push_ids:
            self.unknown += 1
            self._ended.append((now, push_id))

    def recorded(self, provider: str, push_id: str, status: int, reason: str) -> None:
        entry = self._open.get(push_id)
        if entry is None:
            self.violate(
                "a provider saw a push that was refused, or long after its answer",
                f"{provider} {status} {reason}",
            )
            return
        if reason in UNPROCESSED:
            return
        entry.taken += 1
        entry.status, entry.fault = status, reason

    def judge(self, before: float) -> None:
        """Judge and forget all that were answered before that time."""
        while self._ended and self._ended[0][0] < before:
            entry = self._open.pop(self._ended.popleft()[1])
            self.judged += 1
            wrong = fault_of(entry)
            if wrong:
                self.violate(wrong, f"{entry.server}: {entry}")

    def violate(self, what: str, example: str) -> None:
        self.violations[what] += 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < EXAMPLES:
            examples.append(example)


def fault_of(entry: Entry) -> str | None:
    """What is wrong with what became of a push."""
    if entry.taken > 1:
        return "a provider took a push twice"
    outcome = entry.outcome
    if outcome is None:
        return None
    if outcome.reason in NOT_HANDED_ON:
        return f"{outcome.reason}, yet a provider saw it" if entry.taken else None
    if outcome.reason == "internal":
        return "an outcome with the reason internal"
    return _disagreement(outcome, entry)


def _disagreement(outcome: Outcome, entry: Entry) -> str | None:
    if outcome.status == "accepted" and entry.fault in SAID_200 and entry.taken == 1:
        return None
    if outcome.status == "accepted" and (entry.taken, entry.status // 100) != (1, 2):
        return "accepted, yet the provider had not taken it"
    if outcome.status == "gone" and entry.status not in DEAD:
        return "gone, yet the provider had not said so"
    if outcome.status == "rejected" and not 300 <= entry.status < 500:
        return "rejected, yet the provider had not refused it"
    return None
