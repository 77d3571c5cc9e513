"""Web Push, whole: from POST to what a browser shows, through server, relay and push service as processes on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from simulator.exchange import Recorded
from simulator.handles import PROVIDERS
from simulator.phone import Phone
from tests.harness.stack import VAPID, Stack, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

AROUND = 86 + 17
"""Bytes that RFC 8291 puts around an envelope."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def stack(shared: Stack) -> AsyncIterator[Stack]:
    yield shared
    await shared.forget_phones()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(stack: Stack) -> AsyncIterator[Phone]:
    browser = await stack.pair(platform="web", suite=1, name="browser", keep=False)
    yield browser
    await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def new_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """One that has pushed nothing yet."""
    async with running(tmp_path) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def new_browser(new_stack: Stack) -> AsyncIterator[Phone]:
    browser = await new_stack.pair(platform="web", suite=1, name="browser")
    yield browser
    await browser.close()


def pushes(stack: Stack) -> list[Recorded]:
    return [one for one in stack.providers.recorded if one.provider == "webpush"]


async def track(stack: Stack, message_id: str) -> dict[str, Any]:
    """The one push of a message, as its sender sees it."""
    found = await stack.call("GET", f"/api/v1/messages/{message_id}/deliveries")
    [one] = [track for track in found["deliveries"] if track["channel"] == "PUSH"]
    return dict(one)


async def becomes(stack: Stack, message_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not fits(found := await track(stack, message_id)):  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.02)
    return found


async def test_a_message_is_shown_and_the_push_service_sees_the_same_of_every_message(
    new_stack: Stack, new_browser: Phone
) -> None:
    stack, browser = new_stack, new_browser
    for body in ("a", "another one ✓ " * 20):
        await stack.send(title="Title", body=body)
        assert (await browser.shows(body)).title == "Title"
    short, long = pushes(stack)
    assert [len(one.payload) - AROUND for one in (short, long)] == [768, 768]
    # The first push to a service closes its connection: those to services that take pushes are kept.
    assert {name for name, _ in short.headers} == {name for name, _ in long.headers} | {"connection"}
    for name in ("urgency", "content-encoding", "content-type", "content-length", "user-agent"):
        assert short.header(name) == long.header(name)
    assert len(short.header("topic") or "") == 22
    assert short.header("topic") != long.header("topic")
    assert VAPID not in stack.relay.log.read_text()


async def test_urgency_and_ttl_say_what_the_message_says(stack: Stack, browser: Phone) -> None:
    await stack.send(title="t", body="loud", deliveryType="CRITICAL")
    await browser.shows("loud")
    await stack.send(title="t", body="quiet", deliveryType="SILENT")
    await browser.until(
        lambda inbox: any(card.content.get("body") == "quiet" for card in inbox.cards.values())
    )
    assert [one.header("urgency") for one in pushes(stack)] == ["high", "normal"]
    assert all(0 < int(one.header("ttl") or "") <= 2_419_200 for one in pushes(stack))


async def test_what_is_too_long_for_web_push_comes_whole_all_the_same(stack: Stack) -> None:
    browser = await stack.pair(platform="web", suite=2, name="post-quantum browser", keep=False)
    body = "".join(chr(0x4E00 + index * index * 37 % 20_000) for index in range(500))
    await stack.send(title="t", body=body)
    await browser.shows(body)
    [one] = pushes(stack)
    assert len(one.payload) - AROUND == 2304
    assert browser.inbox.visible[0].content.get("truncated") is None
    await browser.close()


async def test_a_retract_is_not_pushed_and_takes_effect_when_the_browser_fetches(
    stack: Stack, browser: Phone
) -> None:
    id_ = await stack.send(title="t", body="regretted")
    await browser.shows("regretted")
    await stack.call("DELETE", f"/api/v1/messages/{id_}")
    await stack.send(title="t", body="what came next")
    await browser.shows("what came next")
    assert len(pushes(stack)) == 2
    assert {card.content["body"] for card in browser.inbox.visible} == {"regretted", "what came next"}
    await browser.refresh()
    assert [card.content["body"] for card in browser.inbox.visible] == ["what came next"]


async def test_a_dead_subscription_is_gone_and_the_device_stays(stack: Stack, browser: Phone) -> None:
    stack.providers.uninstall(browser.pairing.push_token)
    id_ = await stack.send(title="t", body="nobody is there")
    await becomes(stack, id_, lambda one: one.get("reason") in {"unregistered", "no_handle"})
    assert [one.status for one in pushes(stack)] == [410]
    [device] = await devices(stack)
    assert device["id"] == browser.pairing.device_id
    await browser.refresh()
    await browser.shows("nobody is there")


async def devices(stack: Stack) -> list[dict[str, Any]]:
    found = await stack.call("GET", "/api/v1/devices")
    return list(found["devices"])


async def test_a_service_that_is_in_trouble_is_asked_again_and_the_message_is_shown_once(
    stack: Stack, browser: Phone
) -> None:
    stack.providers.script("webpush", reason="too_many_requests", retry_after=1, times=1)
    await stack.send(title="t", body="later")
    await browser.shows("later")
    assert [one.status for one in pushes(stack)] == [429, 201]
    stack.providers.script("webpush", kind="lose", times=1)
    await stack.send(title="t", body="twice on its way")
    await stack.providers.until(lambda recorded: sum(one.provider == "webpush" for one in recorded) >= 4)
    await stack.send(title="t", body="afterwards")
    await browser.shows("afterwards")
    texts = [shown.text for shown in browser.inbox.log]
    assert texts == ["later", "twice on its way", "afterwards"]
    lost, again = pushes(stack)[2:4]
    assert lost.header("topic") == again.header("topic")


async def test_a_redirect_is_not_followed(stack: Stack, browser: Phone) -> None:
    stack.providers.script("webpush", status=307, times=1)
    id_ = await stack.send(title="t", body="led astray")
    found = await becomes(stack, id_, lambda one: one["state"] == "failed")
    assert found["reason"] == "bad_endpoint"
    assert [(one.status, one.reason) for one in pushes(stack)] == [(307, "answer")]
    await browser.refresh()
    await browser.shows("led astray")


async def test_everything_goes_on_after_all_of_it_was_started_again(
    new_stack: Stack, new_browser: Phone
) -> None:
    stack, browser = new_stack, new_browser
    await stack.send(title="t", body="before")
    await browser.shows("before")
    await browser.close()
    await stack.send(title="t", body="kept by the push service")
    await stack.providers.until(lambda recorded: sum(one.provider == "webpush" for one in recorded) == 2)
    await asyncio.gather(stack.relay.stop(), stack.server.stop())
    await asyncio.gather(stack.relay.start(stack.session), stack.server.start(stack.session))
    again = await Phone.open(stack.directory / "browser.phone", control=stack.providers.control_url)
    await again.shows("kept by the push service")
    await stack.send(title="t", body="after")
    await again.shows("after")
    assert [shown.text for shown in again.inbox.log] == ["before", "kept by the push service", "after"]
    await again.close()


async def test_a_relay_may_push_the_handle_to_each_kind_of_phone(tmp_path: Path) -> None:
    async with running(tmp_path, settings={"HUSHPOST_RELAY_HANDLE_DELIVERY": "push"}) as stack:
        for platform in ("ios", "android", "web"):
            phone = await stack.pair(platform=platform, suite=1, name=platform)
            await phone.renew_handle()
            await stack.send(title="t", body=f"hello, {platform}")
            await phone.shows(f"hello, {platform}")
            await phone.close()
        asked = {platform: number_of_pushes(stack, provider) for platform, provider in PROVIDERS.items()}
        assert asked == {"ios": 5, "android": 4, "web": 3}


def number_of_pushes(stack: Stack, provider: str) -> int:
    """Two for handles, and one for each message since the phone was paired."""
    return sum(one.provider == provider for one in stack.providers.recorded)
