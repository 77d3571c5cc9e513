"""The headers of every answer, streams too: of a server of secrets, for pages of other origins, and what is left of a limit.

They are added at the last moment before an answer begins. What an answer has by itself it keeps: a page needs another
Content-Security-Policy than the API.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from server.api.answers import rate_limit
from server.api.cors import Cors
from server.api.limits import ALLOWANCE

_SERVER = "hushpost"  # and not which versions of what
# Answers hold what only their reader may see, and nothing here is a page: no cache, no framing, no guessing of types.
_OF_EVERY_ANSWER = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HTTPS_FOR_A_YEAR = {
    "Strict-Transport-Security": "max-age=31536000"
}  # of this host, and of no other below its name


@dataclass(frozen=True)
class Headers:
    security: CIMultiDict[str]
    cors: Cors

    @property
    def added(self) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
        """What an application's `on_response_prepare` is given."""

        async def add(request: web.Request, response: web.StreamResponse) -> None:
            headers = response.headers
            headers["Server"] = _SERVER  # the library has put its own there by now
            allowance = request.get(ALLOWANCE)
            if allowance is not None and "RateLimit" not in headers:
                headers.update(rate_limit(allowance))
            headers.update(self.cors.headers(request, response))
            headers.merge(self.security)  # without those that it has

        return add


def headers_of(public_url: str, cors: Cors) -> Headers:
    """Return the headers of a server that the world knows by this URL."""
    secure = _HTTPS_FOR_A_YEAR if urlsplit(public_url).scheme == "https" else {}
    return Headers(CIMultiDict({**_OF_EVERY_ANSWER, **secure}), cors)
