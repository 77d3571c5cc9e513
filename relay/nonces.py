"""Replay refusal: which nonces were seen (PROTOCOL.md, section 4).

An entry is kept until its request expires and never evicted before: a full store answers 503, because a store
that forgets under pressure can be made to forget. Entries are made only after verification, so that only
admitted servers can fill it. The store dies with the process. A request made before this one began may have
been served by the one before, so it is answered 503 `starting`, and the server signs anew.
"""

from heapq import heappop, heappush

from relay.errors import Problem


class Nonces:
    def __init__(self, *, capacity: int, started: float) -> None:
        self._capacity = capacity
        self._started = started
        self._seen: set[str] = set()
        self._by_expiry: list[tuple[int, str]] = []

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
        if len(self._seen) >= self._capacity:
            wait = self._by_expiry[0][0] + 1 - now
            raise Problem("nonce_store_full", "too many requests are remembered; try later", retry_after=wait)
        self._seen.add(entry)
        heappush(self._by_expiry, (expires, entry))

    def _forget(self, now: float) -> None:
        # A request is good up to and including `expires`.
        while self._by_expiry and self._by_expiry[0][0] < now:
            self._seen.discard(heappop(self._by_expiry)[1])

    def __len__(self) -> int:
        return len(self._seen)
