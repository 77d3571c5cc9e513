"""Faults that meet a new connection or end one: certificates, refused connects, closing with and without a word."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from h2.settings import SettingCodes

from simulator.faults import BadScript
from simulator.http2_frames import GOAWAY, PADDED, SETTINGS, WRONG
from simulator.providers import Providers
from tests.simulator.clients import Fcm, Sender
from tests.simulator.http2 import Broken, Client
from tests.simulator.test_google import message
from tests.simulator.wire import Wire

SOON = 0.05
LONG = 60.0
Connect = Callable[[], Awaitable[Wire]]


@pytest.fixture
def connect(providers: Providers) -> Connect:
    return lambda: Wire.connect(providers.apns_address, providers.ca_file)


async def is_well(connect: Connect) -> bool:
    wire = await connect()
    await wire.ping()
    await wire.close()
    return True


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("name", "IP address mismatch"),
        ("expired", "certificate has expired"),
        ("stranger", "unable to get local issuer certificate|signature failure|self-signed"),
        ("none", ".*"),
    ],
)
@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_certificate_does_not_fit(providers: Providers, provider: str, form: str, says: str) -> None:
    providers.script(provider, kind="certificate", form=form, on="connect", times=1)
    address = providers.apns_address if provider == "apns" else providers.fcm_url.removeprefix("https://")
    with pytest.raises((ssl.SSLError, ConnectionError), match=says):
        await Wire.connect(address, providers.ca_file)
    assert await is_well(lambda: Wire.connect(address, providers.ca_file))


async def test_new_connections_are_refused_for_a_while(
    providers: Providers, apns: Sender, connect: Connect
) -> None:
    providers.script("apns", kind="unreachable", delay=SOON)
    with pytest.raises(ConnectionRefusedError):
        await connect()
    assert (await apns(providers.token("apns"))).status == 200
    async with asyncio.timeout(10):
        while True:
            try:
                assert await is_well(connect)
            except ConnectionRefusedError:
                continue
            break


async def test_a_provider_that_is_unreachable_can_be_closed(providers: Providers, connect: Connect) -> None:
    providers.script("fcm", kind="unreachable", delay=LONG)
    await providers.close()
    with pytest.raises(ConnectionRefusedError):
        await connect()


def last_word(providers: Providers) -> bytes:
    """Read a new connection to its end; gives nothing where TLS was closed as it should be."""
    context = ssl.create_default_context(cafile=str(providers.ca_file))
    context.set_alpn_protocols(["h2"])
    host, _, port = providers.apns_address.rpartition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False) as tls,
    ):
        return tls.recv(1)


async def test_a_connection_is_dropped_without_a_word_of_tls(providers: Providers) -> None:
    providers.script("apns", kind="close", on="connect", times=1)
    with pytest.raises((ssl.SSLEOFError, ConnectionError)):
        await asyncio.to_thread(last_word, providers)


async def test_a_connection_is_closed_as_tls_wants_it(providers: Providers) -> None:
    providers.script("apns", kind="hang_up", on="connect", times=1)
    assert await asyncio.to_thread(last_word, providers) == b""


async def test_a_push_can_meet_a_connection_that_hangs_up(providers: Providers, apns: Sender) -> None:
    providers.script("apns", kind="hang_up", times=1)
    with pytest.raises(Broken, match="connection lost"):
        await apns(providers.token("apns"))
    assert apns.client.goodbye is None
    assert not providers.recorded[0].accepted


async def test_a_new_connection_can_be_mute_for_a_while(providers: Providers, connect: Connect) -> None:
    providers.script("apns", kind="mute", on="connect", delay=SOON, times=1)
    wire = await connect()
    started = asyncio.get_running_loop().time()
    await wire.one(SETTINGS)
    assert asyncio.get_running_loop().time() - started > SOON / 2
    await wire.ping()
    await wire.close()


async def test_a_new_connection_can_begin_with_wrong_bytes(providers: Providers, connect: Connect) -> None:
    providers.script("apns", kind="wrong", form="http1", on="connect", times=1)
    wire = await connect()
    await wire.until(lambda: wire.raw == WRONG["http1"](1))
    await wire.close()


async def test_a_new_connection_can_be_sent_away(providers: Providers, connect: Connect) -> None:
    providers.script("apns", kind="goaway", on="connect", times=1)
    wire = await connect()
    assert await wire.last_stream() == 0
    await wire.until_closed()
    assert [one.kind for one in wire.frames] == [SETTINGS, GOAWAY]


async def test_windows_can_be_closed_from_the_beginning_until_later(
    providers: Providers, connect: Connect
) -> None:
    none = {"INITIAL_WINDOW_SIZE": 0, "MAX_CONCURRENT_STREAMS": 0}
    providers.script("apns", kind="settings", settings=none, on="connect", delay=SOON, times=1)
    wire = await connect()
    await wire.setting(SettingCodes.INITIAL_WINDOW_SIZE, 0)
    seen = len(wire.frames)
    opened = await wire.one(SETTINGS, after=seen)
    usual = {SettingCodes.INITIAL_WINDOW_SIZE: 65_535, SettingCodes.MAX_CONCURRENT_STREAMS: 1000}
    assert opened.settings == usual
    await wire.close()


async def test_a_connection_of_googles_meets_the_scripts_for_fcm(providers: Providers) -> None:
    providers.script("fcm", kind="goaway", on="connect", times=1)
    client = await Client.connect(providers.fcm_url.removeprefix("https://"), providers.ca_file)
    await client.lost.wait()
    assert client.goodbye is not None


@pytest.mark.parametrize("kind", ["hang_up", "refused", "goaway_taken", "reset_after"])
async def test_over_http1_a_fault_of_http2_drops_the_connection(
    providers: Providers, fcm: Fcm, kind: str
) -> None:
    providers.script("fcm", kind=kind)
    with pytest.raises(aiohttp.ClientConnectionError):
        await fcm(message(providers.token("fcm")))
    assert all(one.accepted == (kind in {"goaway_taken", "reset_after"}) for one in providers.recorded[1:])


async def test_over_http1_an_answer_can_be_slow_and_big(providers: Providers, fcm: Fcm) -> None:
    providers.script("fcm", kind="slow", reason="UNAVAILABLE", delay=0.0001, times=1)
    assert (await fcm(message(providers.token("fcm"))))[0] == 503
    providers.script("fcm", reason="UNAVAILABLE", size=300_000, times=1)
    status, body, headers = await fcm(message(providers.token("fcm")))
    assert (status, body["error"]["code"], headers["Content-Length"]) == (503, 503, "300000")


@pytest.mark.parametrize(
    ("provider", "script", "says"),
    [
        ("apns", {"kind": "explode"}, "kind: 'explode' is unknown; use one of answer"),
        ("apns", {"kind": "hang", "on": "birth"}, "on: 'birth' is unknown"),
        ("apns", {"kind": "hang", "on": "connect"}, "on: hang meets a push"),
        ("apns", {"kind": "certificate", "form": "name"}, "on: a certificate meets a new connection"),
        ("apns", {"kind": "certificate", "form": "fish", "on": "connect"}, "form: 'fish' is unknown"),
        ("apns", {"kind": "wrong"}, "form: '' is unknown"),
        ("apns", {"kind": "hang", "form": "noise"}, "form: only of"),
        ("apns", {"kind": "hang", "code": "CANCEL"}, "code: only of"),
        ("apns", {"kind": "reset", "code": "CANCELLED"}, "code: 'CANCELLED' is unknown"),
        ("apns", {"kind": "settings"}, "settings: of 'settings'"),
        ("apns", {"kind": "hang", "settings": {"MAX_FRAME_SIZE": 1}}, "settings: of 'settings'"),
        ("apns", {"kind": "settings", "settings": {"COLOUR": 1}}, "settings: 'COLOUR' is unknown"),
        (
            "apns",
            {"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": -1}},
            "settings: MAX_CONCURRENT",
        ),
        ("apns", {"kind": "hang", "size": 7}, "size: the bytes of a refusal's body"),
        ("apns", {"kind": "slow", "delay": -1.0}, "delay: 0 or more"),
        ("apns", {"kind": "unreachable"}, "delay: say for how many seconds"),
        ("apns", {"kind": "padded", "reason": "Gone"}, "reason: 'Gone' is not one of apns's"),
        ("webpush", {"kind": "mute"}, "kind: 'mute' is not one of webpush's"),
    ],
)
async def test_a_script_that_makes_no_sense_is_explained(
    providers: Providers, provider: str, script: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadScript) as raised:
        providers.script(provider, **script)
    assert str(raised.value).startswith(says)


async def test_every_field_of_a_script_goes_through_the_control_endpoint(
    providers: Providers, connect: Connect, apns: Sender
) -> None:
    async with aiohttp.ClientSession() as session:
        for script in (
            {"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 3}, "on": "connect", "times": 1},
            {"kind": "padded", "reason": "BadTopic", "size": 2000, "times": 1},
        ):
            url = f"{providers.control_url}/control/faults"
            async with session.post(url, json={"provider": "apns", **script}) as answer:
                assert answer.status == 204
    wire = await connect()
    await wire.setting(SettingCodes.MAX_CONCURRENT_STREAMS, 3)
    stream = wire.ask(apns.headers(providers.token("apns")).items(), b'{"aps": {}}')
    _, body = await wire.answer(stream)
    assert len(body) == 2000
    assert all(one.flags & PADDED for one in wire.of(stream))
    await wire.close()
