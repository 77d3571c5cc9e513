"""Signed requests: who calls is established here, in the order of PROTOCOL.md, section 4.

From there on every answer is signed, refusals and our own faults included.

Content-Encoding, signature form, key, admission, signature: until then nobody has proved anything, and
refusals are not signed. Then created and expires, nonce; then, by the endpoint itself, body size, digest,
content type and query, JSON. The nonce is used up only by a request that is signed, in time, and would be
served: a process that is shutting down leaves it.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import aiohttp
import structlog
from aiohttp import web

from crypto.httpsig import (
    LIFETIME,
    Profile,
    RequestContext,
    RequestSignature,
    SignatureFault,
    read_request,
    sign_answer,
)
from relay import limits as limiting
from relay.address import client_address
from relay.admission import PASS_HEADER, Gate
from relay.config import RelayConfig
from relay.counts import Counts
from relay.errors import Problem, bad_request, origin
from relay.limits import Limits, Rules
from relay.metrics import Metrics
from relay.wire import JSON_TYPE, PROBLEM_TYPE

BODY_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Endpoint:
    """A signed route: its path below the public URL, and the profiles of request and answer."""

    method: str
    path: str
    request: Profile
    answer: Profile


@dataclass(frozen=True)
class Caller:
    """A server whose signature was verified. `rules`: what its pushes count against."""

    server: str
    rules: Rules = field(repr=False)
    signature: RequestSignature = field(repr=False)
    context: RequestContext = field(repr=False)

    def check_digest(self, body: bytes) -> None:
        try:
            self.signature.check_digest(body)
        except SignatureFault as fault:
            raise Problem(fault.code, fault.detail) from None


Act = Callable[[web.Request, Caller], Awaitable[bytes]]
"""An endpoint's own part: gives the JSON of a 200, or raises `Problem`."""


class Verifier:
    def __init__(
        self,
        config: RelayConfig,
        *,
        limits: Limits,
        counts: Counts,
        metrics: Metrics,
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._config = config
        self.gate = Gate(config)
        self._limits = limits
        self._counts = counts
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._key = config.identities[0]
        # Signing is deterministic, so that this is a secret which survives restarts and needs no setting of
        # its own.
        self._log_key = sha256(self._key.sign(b"hushpost/1 relay log")).digest()
        self.draining = False

    def drain(self) -> None:
        self.draining = True

    def pseudonym(self, server: str) -> str:
        """A name for a server in logs, from which its key id cannot be found, unless the operator wants that."""
        if self._config.log_servers:
            return server
        return hmac.new(self._log_key, server.encode(), sha256).hexdigest()[:12]

    async def serve(self, request: web.Request, endpoint: Endpoint, act: Act) -> web.Response:
        refuse_encoding(request)
        caller = self._verify(request, endpoint)
        try:
            await self._admit_once(caller)
            body = await act(request, caller)
        except Problem as problem:
            return self._refuse(endpoint, caller, problem)
        except Exception as error:  # noqa: BLE001  what goes wrong after verification is answered signed, without a trace
            self._log.error("internal", error=origin(error), server=self.pseudonym(caller.server))
            return self._refuse(endpoint, caller, Problem("internal", "the relay failed; try again"))
        return self._answer(endpoint, caller, 200, JSON_TYPE, body)

    def _verify(self, request: web.Request, endpoint: Endpoint) -> Caller:
        now = self._clock()
        address = client_address(request, self._config.trusted_proxies)
        target = self._config.public_url + endpoint.path
        try:
            signature = read_request(endpoint.request, request.headers.items())
            self._limits.admit_request(address, now)
            quota = self.gate.admit(signature.keyid, request.headers.get(PASS_HEADER), now)
            signature.verify(method=endpoint.method, target_uri=target)
        except SignatureFault as fault:
            raise Problem(fault.code, fault.detail) from None
        context = signature.context(method=endpoint.method, target_uri=target)
        rules = self._limits.rules(signature.keyid, quota, address)
        return Caller(signature.keyid, rules, signature, context)

    async def _admit_once(self, caller: Caller) -> None:
        now, signature = self._clock(), caller.signature
        try:
            signature.check_time(now)
        except SignatureFault as fault:
            raise Problem(fault.code, fault.detail) from None
        if self.draining:
            raise Problem("draining", "this process is shutting down; sign the request anew", retry_after=1)
        await self._counts.use_nonce(
            signature.keyid,
            signature.nonce,
            caller.rules.shown,
            created=signature.created,
            expires=signature.expires,
            now=now,
        )

    def _refuse(self, endpoint: Endpoint, caller: Caller, problem: Problem) -> web.Response:
        self._metrics.refused(problem.code).inc()
        response = self._answer(endpoint, caller, problem.status, PROBLEM_TYPE, problem.body)
        response.headers.update(problem.headers)
        return response

    def _answer(
        self, endpoint: Endpoint, caller: Caller, status: int, content_type: str, body: bytes
    ) -> web.Response:
        now = self._clock()
        signed = sign_answer(
            endpoint.answer,
            key=self._key,
            status=status,
            content_type=content_type,
            body=body,
            request=caller.context,
            created=int(now),
            lifetime=LIFETIME,
        )
        headers = {"Content-Type": content_type, **signed, **limiting.headers(caller.rules.shown, now)}
        return web.Response(status=status, body=body, headers=headers)


def refuse_encoding(request: web.Request) -> None:
    if "Content-Encoding" in request.headers:
        raise Problem("encoding_unsupported", "send the body without Content-Encoding")


def refuse_query(request: web.Request) -> None:
    """The signed address has no query, so one that is there was not signed."""
    if "?" in request.raw_path:
        raise bad_request("query", "this address takes none")


def require_json(request: web.Request) -> None:
    # Not by the library, whose parser fails on some parameters.
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise bad_request("Content-Type", f"must be {JSON_TYPE}")


def body_length(request: web.Request, largest: int) -> int:
    """How long the body will be, at most. Raises `body_too_large`."""
    length = largest if request.content_length is None else request.content_length
    if length > largest:
        raise _too_large(largest)
    return length


async def read_body(request: web.Request, largest: int) -> bytes:
    """The body as sent. Raises `body_too_large`, and `bad_request` for one that does not come to its end."""
    body = bytearray()
    try:
        if request.content.is_eof():  # the usual small one, which came with its head
            return _checked(request.content.read_nowait(), largest)
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += _checked(chunk, largest - len(body))
    except (TimeoutError, aiohttp.ClientError, aiohttp.http.HttpProcessingError, ConnectionError):
        raise bad_request("body", f"did not come whole within {BODY_SECONDS:.0f} s") from None
    return bytes(body)


def _checked(data: bytes, largest: int) -> bytes:
    if len(data) > largest:
        raise _too_large(largest)
    return data


def _too_large(largest: int) -> Problem:
    return Problem("body_too_large", f"at most {largest} bytes")
