"""Buttons on a phone, whole: pressed, sent to the server, carried out there, and by webhook at somebody else's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from simulator.mail import Inbox
from simulator.phone import Phone
from tests.harness.native import listening
from tests.harness.stack import Stack, running


@dataclass
class Shop:
    """A sender's own server: what came to it, in order."""

    url: str = ""
    calls: asyncio.Queue[tuple[str, dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.put_nowait((f"{request.method} {request.path}", headers, await request.read()))
        return web.Response()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made, app = Shop(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with listening(app) as made.url:
        yield made


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    settings = {"HUSHPOST_OUTGOING_ALLOWED_NETWORKS": "127.0.0.1/32"}
    async with running(tmp_path, settings=settings) as stack:
        yield stack


@pytest.fixture
async def pair(stack: Stack) -> AsyncIterator[Callable[[str], Any]]:
    async with AsyncExitStack() as phones:

        async def one(name: str) -> tuple[Phone, list[Any]]:
            events: list[Any] = []
            phone = await stack.pair(platform="ios", suite=2, name=name, keep=False, on_event=events.append)
            phones.push_async_callback(phone.close)
            return phone, events

        yield one


def is_empty(inbox: Inbox) -> bool:
    return not inbox.visible


async def test_buttons_do_what_they_say(stack: Stack, shop: Shop, pair: Callable[[str], Any]) -> None:
    phone, events = await pair("first")
    other, _ = await pair("second")
    actions = [
        {"type": "WEBHOOK", "value": f"{shop.url}/approve", "title": "Approve"},
        {"type": "BACKGROUND_CALL", "value": f"PUT::{shop.url}/light"},
        {"type": "NAVIGATE", "value": "/orders/7"},
        {"type": "DELETE"},
    ]
    message = await stack.send(title="Order", body="order 7", actions=actions)
    for one in (phone, other):
        await one.shows("order 7")

    assert await phone.tap(message, 0) == "WEBHOOK"
    called, headers, body = await shop.calls.get()
    bucket = next(
        one for one in (await stack.call("GET", "/api/v1/buckets"))["buckets"] if one["name"] == "default"
    )
    secret = (await stack.call("GET", f"/api/v1/buckets/{bucket['id']}/webhook-secret"))["secret"]
    told = Webhook(secret).verify(body, headers)
    assert called == "POST /approve"
    assert told["data"]["messageId"] == message
    assert told["data"]["action"]["title"] == "Approve"
    assert b"order 7" not in body

    await phone.tap(message, 1)
    called, headers, _ = await shop.calls.get()
    assert called == "PUT /light"
    assert "authorization" not in headers

    await phone.tap(message, 2)
    assert [one["url"] for one in events if one["event"] == "navigated"] == ["/orders/7"]

    await phone.tap(message, 3)
    await phone.until(is_empty)
    await other.until(is_empty)


async def test_a_press_waits_for_a_server_that_is_away(
    stack: Stack, shop: Shop, pair: Callable[[str], Any]
) -> None:
    phone, _ = await pair("offline")
    message = await stack.send(title="x", body="hello", actions=[{"type": "WEBHOOK", "value": shop.url}])
    await phone.shows("hello")
    await stack.server.kill()
    await phone.tap(message, 0)
    assert len(phone.inbox.presses) == 1
    await stack.server.start(stack.session)
    await phone.until(lambda inbox: not inbox.presses)
    _, headers, _ = await shop.calls.get()
    assert headers["webhook-id"]
    assert shop.calls.empty()
