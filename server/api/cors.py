"""Which pages may call this server from a browser (CORS, as the Fetch standard has it).

Tokens travel in a header that a page sets itself and never in a cookie, so credentials mode is of no use and never allowed. A page of
an origin that is not listed gets no header at all, and its browser shows it no answer.
"""

from collections.abc import Collection, Mapping

from aiohttp import web

ANY = "*"
_MAY_SEND = "Authorization, Content-Type, Content-Digest, Idempotency-Key, If-None-Match, Last-Event-ID"
_MAY_READ = "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"
_GOOD_FOR = "7200"  # seconds; browsers keep it no longer


class Cors:
    """`origins` are written as browsers send them; `*` is every origin."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, request: web.Request, response: web.StreamResponse) -> Mapping[str, str]:
        """Return what tells a browser whether the page that asks may see the answer."""
        if not self._origins:
            return {}
        # Caches in between must not give one origin's answer to another.
        headers = {} if ANY in self._origins else {"Vary": "Origin"}
        allowed = self._allowed(request.headers.get("Origin"))
        if allowed is None:
            return headers
        headers["Access-Control-Allow-Origin"] = allowed
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
            headers["Access-Control-Allow-Headers"] = _MAY_SEND
            headers["Access-Control-Max-Age"] = _GOOD_FOR
        else:
            headers["Access-Control-Expose-Headers"] = _MAY_READ
        return headers

    def _allowed(self, origin: str | None) -> str | None:
        if origin is None:
            return None
        if ANY in self._origins:
            return ANY
        return origin if origin in self._origins else None
