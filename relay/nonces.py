"""Replay refusal: which nonces were seen (PROTOCOL.md, section 4).

An entry is kept until its request expires and never evicted before: a full store answers 503, because a store
that forgets under pressure can be made to forget. Entries are made only after verification, so that only
admitted servers can fill it, and no few of them for the others: what is more than half full takes no more from a
server that has a sixteenth of it already. The store dies with the process. A request made before this one began may have
been served by the one before, so it is answered 503 `starting`, and the server signs anew.

There may be hundreds of thousands, so a number stands for each: Python's own keyed hash of key id and nonce (SipHash, 64 bits
under a secret of this process). Of two hundred thousand, one new nonce in 10^14 is taken for a seen one, and no seen one for new.
"""

from array import array
from collections import Counter
from typing import Final

from relay.errors import Problem

_SHARES: Final = 16
_PUT_BACK: Final = 120
"""Seconds. What was signed by a clock that is so far ahead is not in time any more, and what is was not when this began."""


class _Second:
    """What expires in one second: the numbers of nonces, and of whose they are."""

    __slots__ = ("entries", "keyids")

    def __init__(self) -> None:
        self.entries = array("q")
        self.keyids = array("q")


class Nonces:
    def __init__(self, *, capacity: int, started: float) -> None:
        self._capacity = capacity
        self._started = started
        self._seen: set[int] = set()
        self._by_expiry: dict[int, _Second] = {}
        self._first = 0
        self._held: Counter[int] = Counter()

    def use(self, keyid: str, nonce: str, *, created: int, expires: int, now: float) -> None:
        """Remember this nonce. Raises the problems `starting`, `nonce_replayed` and `nonce_store_full`."""
        if (
            self._started > now + _PUT_BACK
        ):  # the clock was wrong then, or is now: it must not be the start for hours
            self._started = now
        # `created` is in whole seconds: one equal to the second of the start may still lie before it.
        if created < self._started:
            raise Problem(
                "starting", "signed before this process began; sign the request anew", retry_after=1
            )
        self._forget(now)
        entry, holder = hash(keyid + nonce), hash(keyid)
        if entry in self._seen:
            raise Problem("nonce_replayed", "this nonce was used; sign each attempt with a new one")
        if self._has_no_room(holder):
            wait = self._first + 1 - now
            raise Problem("nonce_store_full", "too many requests are remembered; try later", retry_after=wait)
        self._seen.add(entry)
        self._held[holder] += 1
        second = self._by_expiry.get(expires)
        if second is None:
            second = self._by_expiry[expires] = _Second()
            self._first = min(self._by_expiry)
        second.entries.append(entry)
        second.keyids.append(holder)

    def _has_no_room(self, holder: int) -> bool:
        if len(self._seen) <= self._capacity // 2:
            return False
        return len(self._seen) >= self._capacity or self._held[holder] >= max(1, self._capacity // _SHARES)

    def _forget(self, now: float) -> None:
        # A request is good up to and including `expires`.
        while self._by_expiry and self._first < now:
            second = self._by_expiry.pop(self._first)
            self._seen.difference_update(second.entries)
            self._held.subtract(second.keyids)
            for holder in set(second.keyids):
                if not self._held[holder]:
                    del self._held[holder]
            self._first = min(self._by_expiry, default=0)

    def __len__(self) -> int:
        return len(self._seen)
