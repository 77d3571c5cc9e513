"""What the simulated Web Push service can be told to do wrong, and how a browser subscribes to it."""

import asyncio
from typing import Any

import aiohttp
import pytest

from crypto.encoding import b64u
from crypto.webpush import SubscriptionKey
from simulator.faults import BadScript
from simulator.providers import Providers
from simulator.webpush_errors import WEBPUSH_ERRORS
from simulator.webpush_rules import HOST
from tests.simulator.webpush_client import Connect, PushSender, error, token_of


@pytest.mark.parametrize("reason", WEBPUSH_ERRORS)
async def test_each_refusal_can_be_scripted(
    providers: Providers, web: PushSender, subscription: dict[str, Any], reason: str
) -> None:
    providers.script("webpush", reason=reason, times=1, retry_after=7)
    answer = await web.push(subscription)
    assert (answer.status, error(answer.body)) == (WEBPUSH_ERRORS[reason][0], reason)
    assert answer.headers["Retry-After"] == "7"
    assert (await web.push(subscription)).status == 201


async def test_a_refusals_body_can_be_as_long_as_it_likes(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    providers.script("webpush", reason="internal", size=1 << 20, times=1)
    answer = await web.push(subscription)
    assert (len(answer.body), error(answer.body)) == (1 << 20, "internal")


async def test_any_other_address_is_not_found(providers: Providers, web: PushSender) -> None:
    for path in ("/", "/wp/", "/wp/a/b", "/m/abc"):
        assert (await web.send(f"https://{HOST}{path}", b"")).status == 404
    assert [one.reason for one in providers.recorded] == ["invalid_endpoint"] * 4


async def test_a_scripted_redirect_leads_to_where_it_is_noted_who_follows(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    providers.script("webpush", status=307, times=1)
    answer = await web.push(subscription)
    assert (answer.status, answer.headers["Location"]) == (307, f"/elsewhere/wp/{token_of(subscription)}")
    await web.send(f"https://{HOST}{answer.headers['Location']}", b"a push")
    assert [(one.status, one.reason) for one in providers.recorded] == [(307, "answer"), (201, "followed")]


@pytest.mark.parametrize(("kind", "arrives"), [("close", False), ("lose", True)])
async def test_a_connection_can_be_dropped_before_or_after_the_push_is_delivered(
    providers: Providers,
    web: PushSender,
    subscription: dict[str, Any],
    connect: Connect,
    kind: str,
    arrives: bool,  # noqa: FBT001  a row of the table
) -> None:
    providers.script("webpush", kind=kind, times=1)
    async with connect() as browser:
        with pytest.raises(aiohttp.ClientConnectionError):
            await web.push(subscription, b"first")
        await web.push(subscription, b"second")
        assert await browser.opened() == (b"first" if arrives else b"second")
    assert [one.status for one in providers.recorded] == [0, 201]


async def test_it_can_hang_and_it_can_answer_late(
    providers: Providers, web: PushSender, subscription: dict[str, Any], connect: Connect
) -> None:
    providers.script("webpush", kind="hang", times=1)
    hanging = asyncio.create_task(web.push(subscription, b"first"))
    await providers.until(lambda recorded: len(recorded) == 1)
    providers.script("webpush", kind="delay", delay=0.01, times=1)
    assert (await web.push(subscription, b"second")).status == 201
    assert not hanging.done()
    hanging.cancel()
    async with connect() as browser:
        assert await browser.opened() == b"second"


@pytest.mark.parametrize("form", ["name", "expired", "stranger", "none"])
async def test_it_can_show_a_certificate_that_does_not_fit(
    providers: Providers, web: PushSender, subscription: dict[str, Any], form: str
) -> None:
    providers.script("webpush", kind="certificate", form=form, on="connect", times=1)
    with pytest.raises(aiohttp.ClientConnectorError):
        await web.push(subscription)
    assert (await web.push(subscription)).status == 201


async def test_it_can_be_unreachable_for_a_while(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    providers.script("webpush", kind="unreachable", delay=60)
    with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
        await web.push(subscription)
    assert providers.recorded == []


async def test_a_connection_cannot_meet_what_only_http2_has(providers: Providers) -> None:
    with pytest.raises(BadScript, match="on: a connection of webpush's"):
        providers.script("webpush", kind="close", on="connect")
    with pytest.raises(BadScript, match="kind: 'goaway' is not one of webpush's"):
        providers.script("webpush", kind="goaway")


@pytest.mark.parametrize("kind", ["slow", "hang_up"])
async def test_it_can_answer_in_pieces_and_it_can_hang_up(
    providers: Providers, web: PushSender, subscription: dict[str, Any], kind: str
) -> None:
    providers.script("webpush", kind=kind, times=1)
    if kind == "slow":
        assert (await web.push(subscription)).status == 201
        assert providers.accepted == 1
    else:
        with pytest.raises(aiohttp.ClientConnectionError):
            await web.push(subscription)
        assert providers.accepted == 0


async def test_a_script_may_be_for_one_subscription_alone(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    other = providers.subscription(web.server_key)
    providers.script("webpush", reason="too_many_requests", token=token_of(subscription))
    assert (await web.push(subscription)).status == 429
    assert (await web.push(other)).status == 201


@pytest.mark.parametrize(
    "asked", [{}, {"applicationServerKey": "AQ"}, {"applicationServerKey": b64u(bytes(65))}]
)
async def test_a_browser_subscribes_for_a_key_of_p256_only(
    providers: Providers, asked: dict[str, str]
) -> None:
    url = f"{providers.control_url}/control/tokens"
    body = {"provider": "webpush", **asked}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("applicationServerKey: ")


async def test_a_phone_has_no_application_server_key(providers: Providers, web: PushSender) -> None:
    with pytest.raises(BadScript, match="applicationServerKey"):
        providers.make_token("apns", None, "production", web.server_key)


async def test_a_browser_subscribes_through_the_control_endpoint(
    providers: Providers, web: PushSender, key: SubscriptionKey
) -> None:
    asked = {"provider": "webpush", "applicationServerKey": web.server_key}
    url = f"{providers.control_url}/control/tokens"
    async with aiohttp.ClientSession() as session, session.post(url, json=asked) as answer:
        made = await answer.json()
    assert made["endpoint"] == f"https://{HOST}/wp/{made['token']}"
    assert (made["provider"], made["app"]) == ("webpush", "org.hushpost.web")
    keys = {"p256dh": b64u(key.p256dh), "auth": b64u(key.auth)}
    assert (await web.push({"endpoint": made["endpoint"], "keys": keys})).status == 201


async def test_a_client_that_only_follows_urls_reaches_it_by_loopbacks_names(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    origin = f"https://{providers.webpush_address}"
    authorization = web.vapid(aud=origin)
    answer = await web.push(subscription, Host=providers.webpush_address, Authorization=authorization)
    assert answer.status == 201
