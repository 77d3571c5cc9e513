"""The API's reference: `/openapi.json` for programs, `/scalar` for people.

`/scalar` is Scalar's page. Its script comes from this machine's disk, but somebody else wrote it, and this origin holds keys: so the
page is sandboxed, which leaves it no origin, and may connect to nothing at all. What it shows stands in the page itself. Where the
script is not installed (`./dev setup` fetches it, the image has it), a plain page of our own takes its place, without any script.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from server.api.answers import JSON
from server.api.describe import describes
from server.api.gate import TABLE
from server.api.openapi import document
from server.api.reference_pages import PLAIN_POLICY, SCALAR_POLICY, plain_page, scalar_page
from server.domain.errors import NotFound

BUNDLE = Path(__file__).with_name("scalar.js")
"""Scalar's standalone bundle, where it is installed."""

_HTML = "text/html"
_SCRIPT = "text/javascript"
_ANEW = "no-cache"  # keep it, and ask each time whether it is still the one


@dataclass(frozen=True)
class Made:
    body: bytes = field(repr=False)
    tag: str


@dataclass
class Reference:
    """Shows the routes of the application that it is in. A document is made once, when it is first asked for."""

    bundle: Path = BUNDLE
    _made: dict[str, Made] = field(default_factory=dict)

    @describes(
        "Get this reference as OpenAPI 3.1",
        detail="For tools and generators of clients.",
        gives=dict[str, Any],
    )
    async def openapi(self, request: web.Request) -> web.StreamResponse:
        if JSON not in self._made:
            self._made[JSON] = _made(orjson.dumps(document(request.app[TABLE])))
        return _show(request, self._made[JSON], JSON)

    @describes("Read this reference", detail="A page for people.", produces=_HTML)
    async def page(self, request: web.Request) -> web.StreamResponse:
        page, policy = (scalar_page, SCALAR_POLICY) if self.bundle.exists() else (plain_page, PLAIN_POLICY)
        if policy not in self._made:
            self._made[policy] = _made(page(document(request.app[TABLE])).encode())
        response = _show(request, self._made[policy], _HTML)
        response.headers["Content-Security-Policy"] = policy
        return response

    @describes(
        "Get the script of the reference's page",
        detail="Where it is not installed, the page needs none.",
        produces=_SCRIPT,
        errors=("not_found",),
    )
    async def script(self, _request: web.Request) -> web.StreamResponse:
        if not self.bundle.exists():
            raise NotFound("the script of the reference's page is not installed here")
        headers = {
            "Cache-Control": _ANEW,
            "Content-Type": _SCRIPT,
            "Cross-Origin-Resource-Policy": "cross-origin",  # a sandboxed page has no origin that could be the same
        }
        return web.FileResponse(self.bundle, headers=headers)


def _made(body: bytes) -> Made:
    return Made(body, hashlib.sha256(body).hexdigest()[:32])


def _show(request: web.Request, made: Made, media: str) -> web.Response:
    response = web.Response(body=made.body, content_type=media, charset="utf-8" if media == _HTML else None)
    response.etag = made.tag
    response.headers["Cache-Control"] = _ANEW
    known = {one.value for one in request.if_none_match or ()}
    if known & {made.tag, "*"}:
        response.set_status(304)
        response.body = None
    return response
