"""Proof of ownership: the handle goes to the token, and who asked is told nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from crypto.encoding import b64u
from relay.config import HandleDelivery, LimitSettings
from relay.wire import HANDLES_PATH
from simulator.exchange import Recorded
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import PROJECT, SERVER_KEY, TOPIC, Answer, Relay, push, to_apns
from tests.relay.web import WEB, Browser, webpush

REQUEST = b64u(bytes(range(16)))
UNKNOWN = "ab" * 32


def apns(token: str, **changes: Any) -> dict[str, Any]:
    wanted = {"provider": "apns", "app": TOPIC, "environment": "production", "token": token}
    return {**wanted, "server": SERVER_KEY.public.id, "request": REQUEST, **changes}


def fcm(token: str) -> dict[str, Any]:
    return apns(token, provider="fcm", app=PROJECT)


def web(document: Mapping[str, Any]) -> dict[str, Any]:
    wanted = apns("", provider="webpush", app=WEB, subscription=document)
    del wanted["token"]
    return wanted


async def ask(relay: Relay, wanted: Mapping[str, Any]) -> Answer:
    headers = {"Content-Type": "application/json"}
    return await relay.send("POST", HANDLES_PATH, headers=headers, body=msgspec.json.encode(wanted))


async def sent(providers: Providers, count: int = 1) -> list[Recorded]:
    """The first pushes, when there are so many."""

    def pushes(records: list[Recorded]) -> list[Recorded]:
        return [one for one in records if one.provider != "google"]

    await providers.until(lambda records: len(pushes(records)) >= count)
    return pushes(providers.recorded)


async def counted(relay: Relay, number: int, **labels: str) -> None:
    """Return when so many handles have come to this end."""
    written = ",".join(f'{name}="{value}"' for name, value in labels.items())
    line = f"hushpost_relay_handle_pushes_total{{{written}}} {number}.0"
    async with asyncio.timeout(5):
        while line not in (await relay.send("GET", "/metrics")).body.decode():
            pass


def settings(providers: Providers) -> dict[str, Any]:
    apps = {"apns": (apns_app(providers),), "fcm": (fcm_project(providers),), **webpush(providers)}
    return {**apps, "handle_delivery": HandleDelivery.PUSH}


@pytest.fixture
async def relay(start_relay: StartRelay, providers: Providers) -> Relay:
    return await start_relay(**settings(providers))


async def test_a_phone_gets_its_handle_by_apns(relay: Relay, providers: Providers) -> None:
    answer = await ask(relay, apns(providers.token("apns")))
    assert (answer.status, answer.body) == (202, b"{}")
    [one] = await sent(providers)
    payload = msgspec.json.decode(one.payload)
    assert payload.keys() == {"aps", "hh", "rq"}
    assert (payload["aps"], payload["rq"]) == ({"content-available": 1}, REQUEST)
    assert (one.header("apns-push-type"), one.header("apns-priority")) == ("background", "5")
    [outcome] = await relay.push(push(payload["hh"]))
    assert outcome.status == "accepted"


async def test_a_phone_gets_its_handle_by_fcm(relay: Relay, providers: Providers) -> None:
    answer = await ask(relay, fcm(providers.token("fcm")))
    assert (answer.status, answer.body) == (202, b"{}")
    [one] = await sent(providers)
    data = msgspec.json.decode(one.payload)["message"]["data"]
    assert (data.keys(), data["rq"]) == ({"hh", "rq"}, REQUEST)
    [outcome] = await relay.push(push(data["hh"]))
    assert outcome.status == "accepted"


async def test_a_browser_gets_its_handle_in_json_that_only_it_can_open(
    relay: Relay, providers: Providers
) -> None:
    browser = Browser.subscribe(providers)
    answer = await ask(relay, web(browser.document))
    assert (answer.status, answer.body) == (202, b"{}")
    [one] = await sent(providers)
    said = msgspec.json.decode(browser.open(one))
    assert (said.keys(), said["rq"]) == ({"hh", "rq"}, REQUEST)
    [outcome] = await relay.push(push(said["hh"]))
    assert outcome.status == "accepted"


async def test_the_answer_is_the_same_whatever_becomes_of_the_push(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(
        **settings(providers), webpush_hosts=("localhost.example", "*"), limits=LimitSettings(handles=1000)
    )
    gone = Browser.subscribe(providers)
    providers.uninstall(gone.token)
    wanted = [
        apns(providers.token("apns")),
        apns(UNKNOWN),
        fcm(providers.token("fcm")),
        fcm("x" * 100),
        web(Browser.subscribe(providers, seed=2).document),
        web(gone.document),
        web(Browser.at("https://nothing.invalid/x").document),
    ]
    answers = [await ask(relay, one) for one in wanted]
    seen = {
        (one.status, one.body, *sorted(name for name in one.headers if name != "Date")) for one in answers
    }
    assert len(seen) == 1
    assert answers[0].status == 202


async def test_who_asks_does_not_wait_for_the_provider(relay: Relay, providers: Providers) -> None:
    """Its time would say whether there is such a token, and where a name leads."""
    providers.script("apns", kind="hang")
    answer = await ask(relay, apns(providers.token("apns")))
    assert answer.status == 202
    [one] = await sent(providers)
    assert one.status == 0


async def test_what_became_of_it_is_counted_for_the_operator(relay: Relay) -> None:
    await ask(relay, apns(UNKNOWN))
    await counted(relay, 1, provider="apns", reason="bad_device_token", status="rejected")
    assert UNKNOWN not in (await relay.send("GET", "/metrics")).body.decode()


async def test_it_goes_over_a_connection_apart_from_the_servers_pushes(
    relay: Relay, providers: Providers
) -> None:
    """Anybody may name any token: a provider's anger over bad ones must meet nobody else."""
    [outcome] = await relay.push(to_apns(relay, providers))
    assert outcome.status == "accepted"
    await ask(relay, apns(UNKNOWN))
    first, second = await sent(providers, 2)
    assert first.connection != second.connection


async def test_so_many_are_under_way_at_most(
    relay: Relay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.handles.UNDER_WAY", 2)
    providers.script("apns", kind="hang")
    answers = [await ask(relay, apns(providers.token("apns"))) for _ in range(3)]
    assert [one.status for one in answers] == [202, 202, 429]
    assert (answers[2].code, answers[2].headers["Retry-After"]) == ("limited", "8")


async def test_a_place_is_free_again_when_the_provider_has_answered(
    relay: Relay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.handles.UNDER_WAY", 1)
    for number in range(3):
        answer = await ask(relay, apns(providers.token("apns")))
        assert answer.status == 202
        await counted(relay, number + 1, provider="apns", reason="", status="accepted")


async def test_handles_for_one_token_are_limited_wherever_they_are_asked_for(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(**settings(providers), limits=LimitSettings(token=1))
    token, browser = providers.token("apns"), Browser.subscribe(providers)
    assert [(await ask(relay, apns(token))).status for _ in range(2)] == [202, 429]
    assert [(await ask(relay, web(browser.document))).status for _ in range(2)] == [202, 429]


@pytest.mark.parametrize("provider", ["apns", "fcm", "webpush"])
async def test_an_app_without_credentials_has_no_handle_to_wait_for(
    start_relay: StartRelay, providers: Providers, provider: str
) -> None:
    relay = await start_relay(
        handle_delivery=HandleDelivery.PUSH, issue_unconfigured=True, webpush_hosts=("*",)
    )
    wanted = {
        "apns": apns(UNKNOWN),
        "fcm": fcm("x" * 100),
        "webpush": web(Browser.subscribe(providers).document),
    }
    answer = await ask(relay, wanted[provider])
    assert (answer.status, answer.code, answer.document["field"]) == (400, "bad_request", "app")


async def test_what_is_sent_needs_a_request_to_be_known_by(relay: Relay, providers: Providers) -> None:
    wanted = apns(providers.token("apns"))
    del wanted["request"]
    assert (await ask(relay, wanted)).document["field"] == "request"
    assert providers.recorded == []
