"""How many requests there may be in a while: with one credential, and from one address without a valid one.

Whoever brings a valid credential has a quota of their own, which strangers at the same address cannot use up. What is left is noted
in the request, and stands in the headers of its answer, whatever that is (`headers.py`).
"""

from dataclasses import dataclass

from aiohttp import web

from server.api.address import Proxies, client_address
from server.domain.errors import Allowance, Limited
from server.domain.throttle import Counting

WINDOW = 10
"""Seconds that a quota is for: short enough to hold a rate, long enough for what comes in one go."""
ALLOWANCE = web.RequestKey("allowance", Allowance)


@dataclass(frozen=True)
class RequestLimits:
    """None is no limit."""

    by_credential: Counting | None
    by_address: Counting | None
    proxies: Proxies

    def count(self, request: web.Request, credential_id: str) -> None:
        """Count a request whose credential is valid; Limited."""
        if self.by_credential is not None:
            _take(self.by_credential, request, credential_id, "too many requests with this credential")

    def count_stranger(self, request: web.Request) -> None:
        """Count a request without a valid credential; Limited."""
        if self.by_address is not None:
            address = client_address(request, self.proxies)
            _take(self.by_address, request, address, "too many requests from this address")


UNLIMITED = RequestLimits(None, None, Proxies((), ""))


def _take(throttle: Counting, request: web.Request, key: str, detail: str) -> None:
    if ALLOWANCE in request:  # a stream looks again whether it still may
        return
    allowance = throttle.take(key)
    if allowance is None:
        raise Limited(detail, throttle.left(key))
    request[ALLOWANCE] = allowance
