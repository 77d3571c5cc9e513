"""Faults of HTTP/2, as they are on the wire: what a push that meets one sees, and what the record says of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from simulator.credentials import Credentials
from simulator.faults import Kind
from simulator.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WRONG,
    frame,
)
from simulator.http2_judge import Streams
from simulator.providers import Providers
from tests.simulator.clients import Fcm, Sender, Time
from tests.simulator.http2 import Client
from tests.simulator.wire import BODY, SOON, Pusher, Wire

LARGE = json.dumps({"aps": {}, "hp": 4000 * "x"}).encode()
WINDOW = 65_535


@pytest.mark.parametrize(
    ("kind", "code", "seen", "accepted"),
    [
        ("refused", "", "REFUSED_STREAM", False),
        ("reset", "", "INTERNAL_ERROR", False),
        ("reset", "CANCEL", "CANCEL", False),
        ("reset_after", "", "INTERNAL_ERROR", True),
        ("reset_after", "NO_ERROR", "NO_ERROR", True),
    ],
)
async def test_a_stream_is_reset_with_a_code(
    providers: Providers, wire: Wire, push: Pusher, kind: str, code: str, seen: str, *, accepted: bool
) -> None:
    providers.script("apns", kind=kind, code=code, times=1)
    assert await wire.reset_code(push()) == ErrorCodes[seen]
    assert await push.recorded(1) == [(kind, accepted)]
    assert await wire.status(push()) == "200"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONCURRENT_STREAMS", 0),
        ("INITIAL_WINDOW_SIZE", 0),
        ("INITIAL_WINDOW_SIZE", 1_000_000),
        ("HEADER_TABLE_SIZE", 0),
        ("MAX_FRAME_SIZE", 2**24 - 1),
    ],
)
async def test_settings_change_for_a_while(
    providers: Providers, wire: Wire, push: Pusher, name: str, value: int
) -> None:
    await wire.one(SETTINGS)
    before = wire.frames[0].settings[SettingCodes[name]]
    providers.script("apns", kind="settings", settings={name: value}, delay=SOON, times=1)
    stream = push()
    await wire.setting(SettingCodes[name], value)
    assert await wire.status(stream) == "200"
    seen = len(wire.frames)
    changed = await wire.one(SETTINGS, after=seen)
    assert changed.settings == {SettingCodes[name]: before}


async def test_a_stream_too_many_is_refused_and_the_connection_goes_on(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="hang", times=1)
    providers.script("apns", kind="settings", settings={"MAX_CONCURRENT_STREAMS": 1}, times=1)
    await wire.status(push())
    hanging, refused = push(), push()
    assert await wire.reset_code(refused) == ErrorCodes.REFUSED_STREAM
    await wire.ping()
    assert wire.of(hanging) == []
    assert (await push.recorded(3))[1:] == [("hang", False), ("over_limit", False)]


async def test_no_stream_is_allowed_for_a_while(providers: Providers, wire: Wire, push: Pusher) -> None:
    none = {"MAX_CONCURRENT_STREAMS": 0}
    providers.script("apns", kind="settings", settings=none, delay=SOON, times=1)
    await wire.status(push())
    assert await wire.reset_code(push()) == ErrorCodes.REFUSED_STREAM
    seen = len(wire.frames)
    await wire.one(SETTINGS, after=seen)
    assert await wire.status(push()) == "200"


@pytest.mark.parametrize(("before_token", "begins"), [(None, [50]), (1, [1, 50])])
async def test_a_rejection_leaves_one_stream_until_a_push_is_accepted(
    tmp_path: Path, time: Time, credentials: Credentials, before_token: int | None, begins: list[int]
) -> None:
    streams = Streams(limit=50, before_token=before_token, after_rejection=1)
    async with Providers(tmp_path, clock=time, streams=streams, credentials=credentials) as providers:
        wire = await Wire.connect(providers.apns_address, providers.ca_file)
        sender = Sender(providers, time, await Client.connect(providers.apns_address, providers.ca_file))
        for token in (32 * "ab", 32 * "cd", providers.token("apns")):
            await wire.status(wire.ask(sender.headers(token).items(), BODY))
        allowed = [
            one.settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
            for one in wire.frames
            if one.kind == SETTINGS and one.payload
        ]
        assert allowed == [*begins, 1, 50]
        await wire.close()
        await sender.client.close()


async def test_a_slow_refusal_drips_byte_by_byte(providers: Providers, wire: Wire, push: Pusher) -> None:
    providers.script("apns", kind="slow", reason="BadDeviceToken", delay=0.001, times=1)
    stream = push()
    (headers,), body = await wire.answer(stream)
    assert (headers[":status"], json.loads(body)) == ("400", {"reason": "BadDeviceToken"})
    pieces = [len(one.payload) for one in wire.of(stream) if one.kind == DATA]
    assert pieces == [1] * len(body) + [0]
    assert await push.recorded(1) == [("BadDeviceToken", False)]


async def test_a_slow_acceptance_ends_after_its_headers(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="slow", delay=0.001, times=1)
    stream = push()
    assert await wire.status(stream) == "200"
    assert [(one.kind, one.ends) for one in wire.of(stream)] == [(HEADERS, False), (DATA, True)]
    assert await push.recorded(1) == [("slow", True)]


async def test_a_slow_answer_to_a_stream_that_was_given_up_stops(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="slow", reason="BadDeviceToken", delay=0.001, times=1)
    stream = push()
    await wire.one(HEADERS, stream)
    wire.send(frame(RST_STREAM, 0, stream, bytes(4)))
    assert await wire.status(push()) == "200"
    await wire.ping()
    assert not any(one.ends for one in wire.of(stream))


async def test_a_mute_connection_reads_nothing_until_it_is_over(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="mute", delay=SOON, times=1)
    stream = push()
    await providers.until(lambda recorded: len(recorded) == 1)
    muted = asyncio.get_running_loop().time()
    after = push()
    await wire.ping()
    assert asyncio.get_running_loop().time() - muted > SOON / 2
    assert await wire.status(after) == "200"
    assert wire.of(stream) == []
    assert await push.recorded(2) == [("mute", False), ("", True)]


async def test_a_big_body_keeps_within_the_windows(providers: Providers, wire: Wire, push: Pusher) -> None:
    providers.script("apns", reason="TooManyRequests", size=300_000, times=1)
    stream = push()
    await wire.until(lambda: sum(len(one.payload) for one in wire.of(stream) if one.kind == DATA) == WINDOW)
    await wire.ping()
    assert not any(one.ends for one in wire.of(stream))
    wire.open_window(0, 300_000)
    wire.open_window(stream, 300_000)
    (headers,), body = await wire.answer(stream)
    assert (headers[":status"], len(body)) == ("429", 300_000)
    assert json.loads(body) == {"reason": "TooManyRequests"}
    assert max(len(one.payload) for one in wire.of(stream)) <= 16_384


async def test_frames_can_be_padded(providers: Providers, wire: Wire, push: Pusher) -> None:
    providers.script("apns", kind="padded", reason="BadTopic", times=1)
    stream = push()
    (headers,), body = await wire.answer(stream)
    assert (headers[":status"], json.loads(body)) == ("400", {"reason": "BadTopic"})
    assert [(one.flags & PADDED, one.payload[0]) for one in wire.of(stream)] == [(PADDED, 255), (PADDED, 255)]


async def test_a_padded_acceptance_ends_in_its_headers(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="padded", times=1)
    stream = push()
    assert await wire.status(stream) == "200"
    (only,) = wire.of(stream)
    assert only.flags == PADDED | END_STREAM | END_HEADERS


@pytest.mark.parametrize("reason", ["", "BadTopic"])
async def test_headers_can_be_split(providers: Providers, wire: Wire, push: Pusher, reason: str) -> None:
    providers.script("apns", kind="continued", reason=reason, times=1)
    stream = push()
    (headers,), _ = await wire.answer(stream)
    assert headers[":status"] == ("400" if reason else "200")
    first, *others = [one for one in wire.of(stream) if one.kind != DATA]
    assert (first.kind, first.payload, bool(first.flags & END_STREAM)) == (HEADERS, b"", not reason)
    assert 4 < len(others) <= 6
    assert {one.kind for one in others} == {CONTINUATION}


async def test_an_unknown_frame_and_an_interim_answer_come_first(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="interim", times=1)
    blocks, _ = await wire.answer(push())
    assert [block[":status"] for block in blocks] == ["103", "200"]
    assert any(one.kind > CONTINUATION for one in wire.frames)


async def test_trailers_can_end_an_answer(providers: Providers, wire: Wire, push: Pusher) -> None:
    providers.script("apns", kind="trailers", reason="BadTopic", times=1)
    stream = push()
    blocks, body = await wire.answer(stream)
    assert (blocks[-1], json.loads(body)) == ({"x-checked": "yes"}, {"reason": "BadTopic"})
    assert [(one.kind, one.ends) for one in wire.of(stream)] == [
        (HEADERS, False),
        (DATA, False),
        (HEADERS, True),
    ]


async def test_a_stalled_connection_gives_no_window_until_it_is_over(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="stall", delay=SOON, times=1)
    pushes = [push(LARGE) for _ in range(12)]
    assert [await wire.status(one) for one in pushes] == ["200"] * 12
    assert not any(one.kind == WINDOW_UPDATE for one in wire.frames)
    assert (await wire.one(WINDOW_UPDATE, 0)).number > WINDOW // 2


async def test_a_connection_that_is_well_gives_window(wire: Wire, push: Pusher) -> None:
    for _ in range(12):
        await wire.status(push(LARGE))
    assert any(one.kind == WINDOW_UPDATE for one in wire.frames)


@pytest.mark.parametrize("form", WRONG)
async def test_wrong_bytes_are_sent_as_they_are(
    providers: Providers, wire: Wire, push: Pusher, form: str
) -> None:
    providers.script("apns", kind="wrong", form=form, times=1)
    stream = push()
    wrong = WRONG[form](stream)
    await wire.until(lambda: wire.raw.endswith(wrong))
    assert await push.recorded(1) == [("wrong", False)]


async def test_after_wrong_bytes_the_connection_goes_on(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    providers.script("apns", kind="wrong", form="no_status", times=1)
    stream = push()
    await wire.one(HEADERS, stream)
    wire.send(frame(RST_STREAM, 0, stream, bytes(4)))
    assert await wire.status(push()) == "200"


async def test_a_ping_is_answered(wire: Wire) -> None:
    await wire.ping()
    assert wire.frames[-1].kind == PING
    assert wire.frames[-1].flags == ACK


async def test_a_late_answer_to_a_stream_that_was_given_up_is_none(
    providers: Providers, wire: Wire, push: Pusher
) -> None:
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    providers.script("apns", kind="delay", delay=SOON, times=1)
    given_up = push()
    wire.send(frame(RST_STREAM, 0, given_up, bytes(4)))
    providers.script("apns", kind="delay", delay=2 * SOON, times=1)
    assert await wire.status(push()) == "200"
    assert wire.of(given_up) == []
    assert troubles == []


NEEDED: dict[Kind, dict[str, Any]] = {
    Kind.ANSWER: {"status": 500},
    Kind.SETTINGS: {"settings": {"MAX_CONCURRENT_STREAMS": 7}},
    Kind.WRONG: {"form": "noise"},
}
KINDS = sorted(set(Kind) - {Kind.CERTIFICATE, Kind.UNREACHABLE})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_reaches_its_device_if_and_only_if_it_is_recorded_as_accepted(
    providers: Providers, push: Pusher, kind: Kind
) -> None:
    device = providers._exchange.device(push.token).connect(0.0)
    providers.script("apns", kind=kind, times=1, **NEEDED.get(kind, {}))
    push()
    ((_, accepted),) = await push.recorded(1)
    assert accepted == (not device.empty())


@pytest.mark.parametrize("kind", KINDS)
async def test_over_http1_too(providers: Providers, fcm: Fcm, kind: Kind) -> None:
    token = providers.token("fcm")
    device = providers._exchange.device(token).connect(0.0)
    providers.script("fcm", kind=kind, times=1, **NEEDED.get(kind, {}))
    sending = asyncio.ensure_future(fcm({"message": {"token": token, "data": {"hp": "AQ"}}}))
    await providers.until(lambda recorded: recorded[-1].token == token)
    if kind not in {Kind.HANG, Kind.MUTE}:
        await asyncio.wait([sending])
    assert providers.recorded[-1].accepted == (not device.empty())
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_what_a_client_does_against_http2_is_noted(providers: Providers, wire: Wire) -> None:
    wire.send(frame(DATA, 0, 1, b"x"))
    wire.send(frame(DATA, 0, 1, b"x"))
    await wire.until_closed()
    (violation,) = providers.violations
    assert violation.startswith("ProtocolError")


async def test_pushes_are_counted_and_watched(providers: Providers, wire: Wire, push: Pusher) -> None:
    watched = []
    providers.watch(lambda one: watched.append((one.reason, one.accepted, one.connection)))
    providers.script("apns", reason="BadTopic", times=1)
    await wire.status(push())
    await wire.status(push())
    number = providers.recorded[0].connection
    assert watched == [("BadTopic", False, number), ("", True, number)]
    assert (providers.asked, providers.accepted) == (2, 1)
