"""The handle of a device that registers by its push token: of which app it is, and what a relay says that gives none."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from relay.config import Environment, FcmProject, HandleDelivery
from server.commands.push_devices import MOST_DEVICES
from server.config import AppsSettings, FcmAppSettings, IosAppSettings, Settings, TokenProvider
from server.worker import relay_handles
from simulator.providers import Providers
from tests.harness.acting import Acting
from tests.relay.conftest import apns_app, fcm_project
from tests.relay.running import TOPIC
from tests.server.conftest import House
from tests.server.dialects.socayo import registering
from tests.server.dialects.socayo.registering import (
    TOKEN,
    UNCONFIGURED,
    Place,
    assert_refused,
    only_apps,
    with_apps,
)

_HANDLES_AT_ONCE = 16
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
settings, place, providers = registering.settings, registering.place, registering.providers


@pytest.mark.parametrize(
    ("platform", "apps", "app"),
    [
        ("IOS", only_apps(ios=IosAppSettings(app="project-1")), ("fcm", "project-1", "production")),
        ("WEB", only_apps(web=FcmAppSettings(app="project-2")), ("fcm", "project-2", "production")),
        (
            "IOS",
            only_apps(
                ios=IosAppSettings(provider=TokenProvider.APNS, app=TOPIC, environment=Environment.SANDBOX)
            ),
            ("apns", TOPIC, "sandbox"),
        ),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_of_which_app_a_token_is_goes_by_what_the_device_runs_on(
    open_house: Callable[[Settings], Awaitable[House]],
    settings: Settings,
    platform: str,
    apps: AppsSettings,
    app: tuple[str, str, str],
) -> None:
    house = await open_house(with_apps(settings, apps))
    token = await house.token(await house.register("admin"), "admin")
    async with ClientSession() as session:
        place = Place(house, Acting(token, "acme", "ann"), session)
        relay = await place.relay(**UNCONFIGURED)
        await place.registered(platform=platform, fcmToken="AB" * 32)
        claims = place.claims((await place.device())["handle"])
        assert (claims.provider, claims.app, claims.environment) == app
        assert (await place.device())["platform"] == platform.lower()
        await relay.stop()


async def test_the_relays_only_app_needs_no_name(place: Place, providers: Providers) -> None:
    """WEB has none here: a token of a browser is Firebase's."""
    relay = await place.relay(apns=(apns_app(providers),), fcm=(fcm_project(providers),))
    await place.registered(platform="WEB")
    claims = place.claims((await place.device())["handle"])
    assert (claims.provider, claims.app) == ("fcm", providers.project)
    await relay.stop()


async def test_among_several_apps_none_is_chosen(place: Place, providers: Providers) -> None:
    projects: tuple[FcmProject, ...] = (fcm_project(providers), fcm_project(providers, project="another"))
    relay = await place.relay(fcm=projects)
    refused = await place.register(platform="WEB")
    assert_refused(refused, 503, "push_not_configured", "2", "apps.web.app")
    assert await place.devices() == []
    await relay.stop()


async def test_a_platform_without_an_app_is_refused_and_the_setting_named(place: Place) -> None:
    refused = await place.register(platform="IOS")
    assert_refused(refused, 503, "push_not_configured", "none", "apps.ios.app")
    assert await place.devices() == []


async def test_an_app_that_the_relay_does_not_have_is_refused(place: Place) -> None:
    relay = await place.relay()
    assert_refused(await place.register(), 503, "push_not_configured", "no such app", "apps.android.app")
    await relay.stop()


async def test_a_relay_that_insists_on_proof_sends_one_to_the_app(place: Place, providers: Providers) -> None:
    """What it answers is no handle: the app asks it itself, and registers what comes."""
    project = (fcm_project(providers),)
    relay = await place.relay(fcm=project, handle_delivery=HandleDelivery.PUSH)
    token = providers.token("fcm")
    refused = await place.register(fcmToken=token)
    assert_refused(refused, 503, "handle_by_push", "have the app ask it")
    assert await place.devices() == []
    handle = relay.handle(token, provider="fcm", app=providers.project)
    await place.registered(fcmToken=token, handle=handle)
    assert (await place.device())["handle"] == handle
    await relay.stop()


async def test_without_a_relay_nothing_is_registered_but_who_has_a_handle(place: Place) -> None:
    place.behind("http://127.0.0.1:9")
    refused = await place.register()
    assert_refused(refused, 503, "relay_unavailable", "cannot be reached")
    assert await place.devices() == []
    place.house.wakes.handles = None
    assert_refused(await place.register(), 503, "relay_unavailable")
    await place.registered(handle=place.house.handle())
    assert (await place.device())["owner"] == "ann"


async def test_a_relay_that_is_away_leaves_what_was_registered(place: Place) -> None:
    token = await place.registered()
    before = await place.device()
    place.behind("http://127.0.0.1:9")
    assert (await place.register()).status == 503
    assert await place.device() == before
    assert (await place.fetch(token)).status == 200


def answering(status: int, body: bytes, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, content_type="application/json", headers=named)

    return answer


@pytest.mark.parametrize(
    ("answer", "said", "after"),
    [
        (answering(429, b"{}", Retry_After="17"), "no more handles", "17"),
        (answering(503, b"{}", Retry_After="99999999"), "no more handles", "5"),
        (answering(500, b"<html>"), "http_500", "5"),
        (answering(403, b'{"code": "<script>"}'), "http_403", "3600"),
        (answering(302, b"", Location="http://127.0.0.1:9/"), "http_302", "3600"),
        (answering(201, b'{"handle": "forged"}'), "http_201", "3600"),
        (answering(201, b'{"handle": 7}'), "http_201", "3600"),
        (answering(201, b'{"handle": "' + b"A" * 20_000 + b'"}'), "cannot be reached", "5"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_whatever_else_a_relay_says_is_no_handle(
    place: Place, answer: Handler, said: str, after: str
) -> None:
    app = web.Application()
    app.router.add_post("/v1/handles", answer)
    async with TestServer(app) as stranger:
        place.behind(str(stranger.make_url("")).rstrip("/"))
        refused = await place.register()
    assert_refused(refused, 503, "relay_unavailable", said)
    assert refused.headers["Retry-After"] == after
    assert await place.devices() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_a_relay_that_does_not_answer_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anybody else wait meanwhile: nothing of the database is held."""
    monkeypatch.setattr(relay_handles, "_SECONDS", 0.2)
    asked, done = asyncio.Event(), asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        asked.set()
        await done.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/handles", silent)
    async with TestServer(app) as stranger:
        place.behind(str(stranger.make_url("")).rstrip("/"))
        waiting = asyncio.create_task(place.register())
        await asked.wait()
        await place.registered(place.ann.for_user("bob"), handle=place.house.handle())
        assert not waiting.done()
        assert_refused(await waiting, 503, "relay_unavailable", "in time")
        done.set()


async def test_a_text_that_is_no_token_of_the_provider_is_the_callers_fault(place: Place) -> None:
    before = await place.devices()
    refused = await place.register(fcmToken="short")
    [fault] = refused["error"]["details"]
    assert (refused.status, fault["path"]) == (400, "fcmToken")
    assert await place.devices() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_a_relay_that_is_slow_with_handles_keeps_no_push_waiting(place: Place) -> None:
    """Pushes go over the same connections, of which there are so many."""
    asked, end = asyncio.Semaphore(0), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.release()
        await end.wait()
        return web.json_response({"handle": place.house.handle()}, status=201)

    app = web.Application()
    app.router.add_post("/v1/handles", slow)
    async with TestServer(app) as relay:
        place.behind(str(relay.make_url("")).rstrip("/"))
        registering = [
            asyncio.create_task(place.register(deviceId=f"phone-{number}", fcmToken=f"{TOKEN}{number}"))
            for number in range(MOST_DEVICES)  # as many as there are connections
        ]
        for _ in range(_HANDLES_AT_ONCE):
            await asked.acquire()
        async with asyncio.timeout(5), place.session.get(relay.make_url("/v1/push")) as answer:
            assert answer.status == 404
        end.set()
        answers = await asyncio.gather(*registering)
    assert {answer.status for answer in answers} == {200}
