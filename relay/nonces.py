"""Replay refusal: which nonces were seen (PROTOCOL.md, section 4).

An entry is kept until its request expires and never evicted before: a full store answers 503, because a store
that forgets under pressure can be made to forget. Entries are made only after verification, so that only
admitted servers can fill it, and no few of them for the others: what is more than half full takes no more from a
server that has a sixteenth of it already. The store dies with the process. A request made before this one began may have
been served by the one before, so it is answered 503 `starting`, and the server signs anew.
"""

from collections import Counter
from heapq import heappop, heappush
from typing import Final

from relay.errors import Problem

_SHARES: Final = 16


class Nonces:
    def __init__(self, *, capacity: int, started: float) -> None:
        self._capacity = capacity
        self._started = started
        self._seen: set[str] = set()
        self._by_expiry: list[tuple[int, str, str]] = []
        self._held: Counter[str] = Counter()

    def use(self, keyid: str, nonce: str, *, created: int, expires: int, now: float) -> None:
        """Remember this nonce. Raises the problems `starting`, `nonce_replayed` and `nonce_store_full`."""
        # `created` is in whole seconds: one equal to the second of the start may still lie before it.
        if created < self._started:
            raise Problem(
                "starting", "signed before this process began; sign the request anew", retry_after=1
            )
        self._forget(now)
        entry = keyid + nonce
        if entry in self._seen:
            raise Problem("nonce_replayed", "this nonce was used; sign each attempt with a new one")
        if self._has_no_room(keyid):
            wait = self._by_expiry[0][0] + 1 - now
            raise Problem("nonce_store_full", "too many requests are remembered; try later", retry_after=wait)
        self._seen.add(entry)
        self._held[keyid] += 1
        heappush(self._by_expiry, (expires, entry, keyid))

    def _has_no_room(self, keyid: str) -> bool:
        if len(self._seen) <= self._capacity // 2:
            return False
        return len(self._seen) >= self._capacity or self._held[keyid] >= max(1, self._capacity // _SHARES)

    def _forget(self, now: float) -> None:
        # A request is good up to and including `expires`.
        while self._by_expiry and self._by_expiry[0][0] < now:
            _, entry, keyid = heappop(self._by_expiry)
            self._seen.discard(entry)
            self._held[keyid] -= 1
            if not self._held[keyid]:
                del self._held[keyid]

    def __len__(self) -> int:
        return len(self._seen)
