"""Web Push: what reaches a push service and opens in the browser, and what its answers come to."""

from typing import Any

import pytest

from crypto.encoding import b64u
from crypto.vapid import VapidKey
from relay.config import WebPushApp
from simulator.providers import Providers
from tests.relay.conftest import StartRelay
from tests.relay.running import COLLAPSE, Relay, push
from tests.relay.web import VAPID, WEB, WEB_APP, Browser, webpush


@pytest.fixture
async def relay(start_relay: StartRelay, providers: Providers) -> Relay:
    return await start_relay(**webpush(providers))


@pytest.fixture
def browser(providers: Providers) -> Browser:
    return Browser.subscribe(providers)


async def metric(relay: Relay, name: str, **labels: str) -> float:
    text = (await relay.send("GET", "/metrics")).body.decode()
    written = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    found = [line for line in text.splitlines() if line.startswith(f"{name}{{{written}}}")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.mark.parametrize("size", [768, 1536, 2304])
async def test_the_envelope_opens_in_the_browser_and_nowhere_before(
    relay: Relay, providers: Providers, browser: Browser, size: int
) -> None:
    envelope = bytes(range(256)) * (size // 256)
    [outcome] = await relay.push(browser.push(relay, envelope=b64u(envelope)))
    assert (outcome.status, outcome.reason, outcome.providerId) == ("accepted", None, None)
    [sent] = providers.recorded
    assert browser.open(sent) == envelope
    assert envelope[:64] not in sent.payload


async def test_the_service_is_told_what_it_needs_and_nothing_else(
    relay: Relay, providers: Providers, browser: Browser
) -> None:
    await relay.push(browser.push(relay, 1, ttl=123), browser.push(relay, 2, priority="normal"))
    high, normal = sorted(providers.recorded, key=lambda sent: sent.header("Urgency") or "")
    names = {name.lower() for name, _ in high.headers if not name.startswith(":")}
    assert names - {"connection"} == {
        "host",
        "authorization",
        "ttl",
        "urgency",
        "topic",
        "content-encoding",
        "content-type",
        "content-length",
    }
    assert (high.header("TTL"), high.header("Urgency"), high.header("Topic")) == ("123", "high", COLLAPSE)
    assert (high.header("Content-Encoding"), normal.header("Urgency")) == ("aes128gcm", "normal")
    assert high.header("Authorization") == normal.header("Authorization")


async def test_a_wake_has_no_body(relay: Relay, providers: Providers, browser: Browser) -> None:
    handle = relay.handle(None, provider="webpush", app=WEB, subscription=browser.subscription)
    wake = {name: value for name, value in _fields(push(handle)).items() if name != "envelope"}
    [outcome] = await relay.push(type(push(handle))(**wake))
    [sent] = providers.recorded
    assert (outcome.status, sent.payload, sent.header("Content-Encoding")) == ("accepted", b"", None)


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"type": "background"}, "background_unsupported"), ({"envelope": b64u(bytes(2944))}, "bad_envelope")],
)
async def test_what_web_push_does_not_carry_is_rejected_before_it(
    relay: Relay, providers: Providers, browser: Browser, changes: dict[str, Any], reason: str
) -> None:
    [outcome] = await relay.push(browser.push(relay, **changes))
    assert (outcome.status, outcome.reason) == ("rejected", reason)
    assert providers.recorded == []


ANSWERS = [
    (200, "accepted", None),
    (201, "accepted", None),
    (202, "accepted", None),
    (204, "accepted", None),
    (301, "rejected", "bad_endpoint"),
    (302, "rejected", "bad_endpoint"),
    (307, "rejected", "bad_endpoint"),
    (308, "rejected", "bad_endpoint"),
    (400, "rejected", "bad_provider_request"),
    (401, "rejected", "credentials_refused"),
    (403, "rejected", "credentials_refused"),
    (404, "gone", "unregistered"),
    (405, "rejected", "unknown_refusal"),
    (406, "retry", "throttled"),
    (408, "retry", "unavailable"),
    (410, "gone", "unregistered"),
    (413, "rejected", "payload_too_large"),
    (418, "rejected", "unknown_refusal"),
    (421, "rejected", "bad_endpoint"),
    (429, "retry", "throttled"),
    (500, "retry", "provider_error"),
    (502, "retry", "unavailable"),
    (503, "retry", "unavailable"),
    (599, "retry", "unavailable"),
]


@pytest.mark.parametrize(("status", "outcome", "reason"), ANSWERS, ids=[str(row[0]) for row in ANSWERS])
async def test_every_answer_comes_to_its_outcome(
    relay: Relay, providers: Providers, browser: Browser, status: int, outcome: str, reason: str | None
) -> None:
    providers.script("webpush", status=status)
    [found] = await relay.push(browser.push(relay))
    assert (found.status, found.reason) == (outcome, reason)
    assert len(providers.recorded) == 1  # no redirect was followed, nothing was tried twice
    labels = {"provider": "webpush", "status": outcome, "reason": reason or ""}
    assert await metric(relay, "hushpost_relay_pushes_total", **labels) == 1


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        (None, 60),
        (7, 7),
        ("0", 0),
        ("86400", 3600),
        ("soon", 60),
        ("-5", 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
async def test_a_service_that_throttles_says_for_how_long(
    relay: Relay, providers: Providers, browser: Browser, retry_after: int | str | None, waits: int
) -> None:
    providers.script("webpush", status=429, retry_after=retry_after)
    [found] = await relay.push(browser.push(relay))
    assert (found.status, found.retryAfter) == ("retry", waits)


async def test_a_date_to_wait_for_is_counted_from_now(
    relay: Relay, providers: Providers, browser: Browser
) -> None:
    from email.utils import formatdate  # noqa: PLC0415 - only here

    providers.script("webpush", status=503, retry_after=formatdate(relay.now + 90, usegmt=True))
    [found] = await relay.push(browser.push(relay))
    assert found.retryAfter in {90, 91}


async def test_a_subscription_for_another_key_is_refused_and_the_relay_stays_ready(
    relay: Relay, providers: Providers
) -> None:
    """Anybody can make one at any push service: it must not take the relay out of service."""
    foreign = Browser.subscribe(providers, server_key=VapidKey(bytes([7]) * 32))
    for number in range(20):
        [found] = await relay.push(foreign.push(relay, number))
        assert (found.status, found.reason) == ("rejected", "credentials_refused")
    assert (await relay.send("GET", "/readyz")).status == 200


async def test_a_subscription_that_ended_is_gone(
    relay: Relay, providers: Providers, browser: Browser
) -> None:
    providers.uninstall(browser.token)
    [found] = await relay.push(browser.push(relay))
    assert (found.status, found.reason) == ("gone", "unregistered")


async def test_a_connection_that_breaks_is_a_retry(
    relay: Relay, providers: Providers, browser: Browser
) -> None:
    providers.script("webpush", kind="close", times=1)
    [found] = await relay.push(browser.push(relay))
    assert (found.status, found.reason) == ("retry", "connection_lost")
    [found] = await relay.push(browser.push(relay, 2))
    assert found.status == "accepted"


async def test_a_batch_to_many_browsers_has_an_outcome_each(relay: Relay, providers: Providers) -> None:
    browsers = [Browser.subscribe(providers, seed=number) for number in range(1, 101)]
    providers.uninstall(browsers[17].token)
    outcomes = await relay.push(*(one.push(relay, number) for number, one in enumerate(browsers)))
    assert [number for number, found in enumerate(outcomes) if found.status != "accepted"] == [17]
    opened = {one.token: one for one in browsers}
    assert all(opened[sent.token or ""].open(sent) for sent in providers.recorded if sent.accepted)


async def test_what_a_browser_needs_to_subscribe_is_listed(relay: Relay) -> None:
    assert (await relay.send("GET", "/v1/apps")).document == [
        {
            "provider": "webpush",
            "app": WEB,
            "environment": "production",
            "applicationServerKey": VAPID.application_server_key,
        }
    ]


async def test_an_endpoint_of_a_service_no_longer_configured_is_not_pushed_to(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(**webpush(providers, webpush_connect={}))
    [found] = await relay.push(Browser.subscribe(providers).push(relay))
    assert (found.status, found.reason) == ("rejected", "bad_endpoint")
    assert providers.recorded == []


async def test_a_service_whose_certificate_is_not_trusted_gets_nothing(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(**webpush(providers, webpush_roots=None))
    [found] = await relay.push(Browser.subscribe(providers).push(relay))
    assert (found.status, found.reason) == ("retry", "tls_failed")
    assert providers.recorded == []


async def test_a_service_that_is_not_there_is_a_retry(
    start_relay: StartRelay, providers: Providers, unused_tcp_port: int
) -> None:
    connect = dict.fromkeys(webpush(providers)["webpush_connect"], ("127.0.0.1", unused_tcp_port))
    relay = await start_relay(**webpush(providers, webpush_connect=connect))
    [found] = await relay.push(Browser.subscribe(providers).push(relay))
    assert (found.status, found.reason) == ("retry", "connect_failed")


async def test_two_apps_have_a_key_each(start_relay: StartRelay, providers: Providers) -> None:
    other = VapidKey(bytes([10]) * 32)
    apps = (WEB_APP, WebPushApp("other", other.text, "https://example.org"))
    relay = await start_relay(**webpush(providers, webpush=apps))
    browser = Browser.subscribe(providers, server_key=other)
    handle = relay.handle(None, provider="webpush", app="other", subscription=browser.subscription)
    [found] = await relay.push(push(handle))
    assert found.status == "accepted"
    [refused] = await relay.push(browser.push(relay, 2))
    assert refused.reason == "credentials_refused"


async def test_no_proxy_of_the_environment_is_asked(
    relay: Relay, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    [found] = await relay.push(browser.push(relay))
    assert found.status == "accepted"


async def test_the_relays_vapid_token_is_one_for_hours(
    relay: Relay, providers: Providers, browser: Browser
) -> None:
    async def authorization(number: int) -> str:
        [found] = await relay.push(browser.push(relay, number))
        assert found.status == "accepted"
        return providers.recorded[-1].header("Authorization") or ""

    hours = relay.clock.now // 3_600_000
    relay.clock.now = (hours // 6 + 1) * 6 * 3_600_000
    first = await authorization(1)
    relay.clock.advance(6 * 3_600_000 - 1_000)
    assert await authorization(2) == first
    relay.clock.advance(1_000)
    assert await authorization(3) != first
