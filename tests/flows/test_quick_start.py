"""The documented quick start, step by step, in both of the documented flows.

Managed: one operator runs server and relay. Self-hosted: a server of one's own, and a relay that passes on what it cannot read.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.phone import Phone
from tests.harness.golden import Call, Play, examples
from tests.harness.stack import Stack, joined, running

OPEN = {"HUSHPOST_ACCOUNTS_REGISTRATION": "open"}
PLATFORMS = {"ios": 2, "android": 1, "web": 1}


@pytest.fixture(params=[joined, running], ids=["managed", "self-hosted"])
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    async with request.param(tmp_path, settings=OPEN) as stack:
        yield stack


async def test_the_quick_start_ends_on_the_screen(stack: Stack) -> None:
    """With the requests as they are printed; the message is shown on every platform."""
    account = {"email": "user@example.com", "username": "user", "password": "your_password"}
    await stack.call("POST", "/api/v1/auth/register", account)
    login, *steps = examples("zentik")
    play = Play(caller(stack))
    async with AsyncExitStack() as closing:
        user = replace(stack, token=(await play.run(login))["accessToken"])
        phones = [await pair(user, platform, closing) for platform in PLATFORMS]
        for step in steps:
            await play.run(step)
        first, with_token, parameters, _ = (play.known[f"<{name}message-uuid>"] for name in ORDINALS)
        for phone in phones:
            await phone.until(lambda inbox: len(inbox.log) == len(ORDINALS))
            assert {one.title for one in phone.inbox.log} == {"Welcome!", "Order Confirmed"}
            assert {phone.card(message).title for message in (first, with_token)} == {"Welcome!"}
            assert phone.card(parameters).subtitle == "Payment received"


ORDINALS = ("", "second-", "third-", "fourth-")


async def pair(stack: Stack, platform: str, closing: AsyncExitStack) -> Phone:
    phone = await stack.pair(platform=platform, suite=PLATFORMS[platform], name=platform, keep=False)
    closing.push_async_callback(phone.close)
    return phone


def caller(stack: Stack) -> Call:
    async def call(request: Mapping[str, Any]) -> tuple[int, Any]:
        headers = dict(request.get("headers", {}))
        if request.get("token") is not None:
            headers["Authorization"] = f"Bearer {request['token']}"
        url = stack.server.url + request["path"]
        body = request.get("body")
        async with stack.session.request(request["method"], url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    return call
