"""Relays that do not conform, written on the second implementation: each case fails with one of them, so each can fail.

One takes whatever it is sent, the other refuses whatever it is sent, goes by another name and lives in another time.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from crypto.keys import EpochKey, IdentityKey
from relay.conformance.case import Case, Verdict, run
from relay.conformance.cases import CASES
from relay.conformance.given import Device, Given
from relay.conformance.subject import Subject
from relay.wire import App
from tests.harness.foreign_relay import DIRECTORY, EPOCH, EPOCH_KEY, Answer, Arrival, Relay
from tests.harness.ports import free_port

LIMITS = {"RateLimit-Policy": '"server";q=6000;w=60', "RateLimit": '"server";r=6000;t=60'}
JSON = {"Content-Type": "application/json"}
APPS = [
    App(provider="apns", app="org.hushpost.app", environment="production"),
    App(provider="webpush", app="org.hushpost.web", environment="production"),
]
REFUSAL = json.dumps(
    {"type": "about:blank", "title": "No", "status": 400, "code": "bad_request", "detail": "No."}
).encode()

Reply = Callable[[Arrival], Answer]


def _takes(arrival: Arrival) -> Answer:
    try:
        body = arrival.outcomes()
    except (ValueError, KeyError, TypeError, RecursionError):
        body = b'{"outcomes":[]}'
    return _signed(arrival, body, 200, "application/json")


def _refuses(arrival: Arrival) -> Answer:
    return _signed(arrival, REFUSAL, 400, "application/problem+json")


def _signed(arrival: Arrival, body: bytes, status: int, content_type: str) -> Answer:
    """Signed, unless what came has nothing that an answer could be bound to."""
    if "Signature" in arrival.message.headers and "Content-Digest" in arrival.message.headers:
        return arrival.signed(body, status=status, content_type=content_type)
    return Answer(status, body, {"Content-Type": content_type})


def _answering(relay: Relay, reply: Reply, other: web.Response) -> web.Application:
    """The relay's directory as it is; `reply` to every push, `other` to all else."""

    @web.middleware
    async def liar(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path in {"/v1/push", DIRECTORY} and request.method in {"POST", "GET"}:
            response = await handler(request)
        else:
            await request.read()
            response = web.Response(body=other.body, status=other.status, headers=other.headers)
        response.headers.update(LIMITS)
        return response

    async def answer_all() -> None:
        while True:
            arrival = await relay.arrivals.get()
            arrival.reply(reply(arrival))

    async def running(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(answer_all())
        yield
        task.cancel()

    app = relay.app()
    app.middlewares.append(liar)
    app.cleanup_ctx.append(running)
    return app


@asynccontextmanager
async def _subject(reply: Reply, other: web.Response) -> AsyncIterator[Subject]:
    port = free_port()
    relay = Relay(f"http://127.0.0.1:{port}")
    runner = web.AppRunner(_answering(relay, reply, other), access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    own, denied, operator = (IdentityKey.generate(secrets.token_bytes) for _ in range(3))
    given = Given(
        own,
        denied=denied,
        pass_key=operator,
        epochs=(EpochKey(EPOCH, EPOCH_KEY),),
        devices=(Device(APPS[0], "ab" * 32),),
    )
    async with aiohttp.ClientSession() as session:
        subject = Subject(relay.url, relay.url, session, given, clock=time.time, random=secrets.token_bytes)
        await subject.look()
        subject.admission, subject.apps = "", APPS
        yield subject
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subjects() -> AsyncIterator[tuple[Subject, Subject]]:
    refusal = web.Response(body=REFUSAL, status=400, headers={"Content-Type": "application/problem+json"})
    welcome = web.Response(body=b"[]", status=200, headers={**JSON, "Signature": "hushpost=:AAAA:"})
    async with _subject(_takes, welcome) as credulous, _subject(_refuses, refusal) as surly:
        surly.url, surly.ahead = "https://relay.example", 30.0
        yield credulous, surly


BY_ANY_LIBRARY = "signature_profile: Content-Type twice"
"""What aiohttp refuses by itself, whatever relay is built on it."""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name != BY_ANY_LIBRARY],
    ids=lambda case: case.name.replace(" ", "-"),
)
async def test_a_case_fails_where_everything_is_taken_or_refused(
    subjects: tuple[Subject, Subject], case: Case
) -> None:
    results = [await run(case, subject) for subject in subjects]
    assert Verdict.FAILED in [result.verdict for result in results], results
