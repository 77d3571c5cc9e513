"""Against the simulated APNs, which runs h2, with every fault that it can show."""

import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest

from relay.http2 import Fault, Response
from simulator.faults import CERTIFICATES
from simulator.http2_frames import WRONG
from simulator.providers import Providers
from tests.harness.simulated import simulated
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import QUICK, Asked, Client

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])  # what depends on the loop is tested elsewhere

PUSHES = 60
Ask = Callable[..., Asked]


@pytest.fixture
async def providers(tmp_path: Path) -> AsyncIterator[Providers]:
    async with simulated(tmp_path / "providers") as running:
        yield running


@pytest.fixture
def client(connect: Connect, providers: Providers) -> Client:
    context = ssl.create_default_context(cafile=str(providers.ca_file))
    context.set_alpn_protocols(["h2"])
    host, _, port = providers.apns_address.rpartition(":")
    timing = replace(QUICK, silence=0.4, doubt=0.2, patience=0.6)
    return connect(int(port), context=context, host=host, timing=timing)


@pytest.fixture
def ask(client: Client, providers: Providers) -> Ask:
    """Send a push with an apns-id of its own."""
    claims = {"iss": providers.team_id, "iat": int(time.time())}
    key = providers.apns_key_file.read_text()
    bearer = jwt.encode(claims, key, "ES256", headers={"kid": providers.key_id})
    repeating = (
        (b":authority", providers.apns_address.encode()),
        (b"authorization", b"bearer " + bearer.encode()),
        (b"apns-topic", providers.app.encode()),
        (b"apns-push-type", b"alert"),
        (b"apns-priority", b"10"),
    )
    path = b"/3/device/" + providers.token("apns").encode()

    def push(number: int = 0, **changes: Any) -> Asked:
        varying = ((b"apns-id", str(UUID(int=number)).upper().encode()),)
        values = {"path": path, "repeating": repeating, "varying": varying, "body": b'{"aps":{"alert":"x"}}'}
        return client.ask(**values | changes)

    return push


async def ends(asked: list[Asked]) -> set[int | Fault]:
    results = [await one.end() for one in asked]
    return {one.status if isinstance(one, Response) else one for one in results}


def times_sent(providers: Providers) -> dict[str, int]:
    """How often each push was taken by APNs, those aside that it said it did not process."""
    counts: dict[str, int] = {}
    for one in providers.recorded:
        if one.status == 200:
            identity = dict(one.headers)["apns-id"]
            counts[identity] = counts.get(identity, 0) + 1
    return counts


FAULTS: dict[str, tuple[dict[str, Any], set[int | Fault]]] = {
    "a refusal": ({"reason": "TooManyRequests", "retry_after": 3}, {200, 429}),
    "a large refusal": ({"reason": "BadDeviceToken", "size": 100_000}, {200, 400}),
    "silence": ({"kind": "hang"}, {200, Fault.TIMEOUT}),
    "a delay": ({"kind": "delay", "delay": 0.1}, {200}),
    "pieces": ({"kind": "slow", "delay": 0.01, "reason": "Unregistered"}, {200, 410}),
    "padding": ({"kind": "padded", "reason": "Unregistered"}, {200, 410}),
    "CONTINUATION": ({"kind": "continued"}, {200}),
    "interim": ({"kind": "interim"}, {200}),
    "trailers": ({"kind": "trailers", "reason": "Unregistered"}, {200, 410}),
    "RST_STREAM": ({"kind": "reset"}, {200, Fault.STREAM_RESET}),
    "REFUSED_STREAM": ({"kind": "refused"}, {200}),
    "GOAWAY and close": ({"kind": "goaway"}, {200}),
    "GOAWAY and silence": ({"kind": "goaway_open"}, {200}),
    "GOAWAY and draining": ({"kind": "goaway_drain"}, {200}),
    "GOAWAY of what was taken": ({"kind": "goaway_taken"}, {200, Fault.CONNECTION_LOST}),
    "GOAWAY of what is answered": ({"kind": "goaway_answered"}, {200}),
    "GOAWAY with notice": ({"kind": "goaway_graceful", "delay": 0.05}, {200}),
    "one stream": ({"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 1}, "delay": 0.1}, {200}),
    "no stream": ({"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 0}, "delay": 0.1}, {200}),
    "no window": ({"kind": "settings", "settings": {"INITIAL_WINDOW_SIZE": 0}, "delay": 0.1}, {200}),
    "no table": ({"kind": "settings", "settings": {"HEADER_TABLE_SIZE": 0}, "delay": 0.1}, {200}),
    "no updates": ({"kind": "stall", "delay": 0.1}, {200}),
    "a cut": ({"kind": "close"}, {200, Fault.CONNECTION_LOST}),
    "a farewell of TLS": ({"kind": "hang_up"}, {200, Fault.CONNECTION_LOST}),
    "a cut after delivery": ({"kind": "lose"}, {200, Fault.CONNECTION_LOST}),
    "a reset after delivery": ({"kind": "reset_after"}, {200, Fault.STREAM_RESET}),
}


@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS.keys())
async def test_each_push_ends_once_and_is_taken_at_most_once(
    ask: Ask, providers: Providers, fault: dict[str, Any], expected: set[int | Fault]
) -> None:
    assert await ask().status() == 200
    providers.script("apns", **fault, times=2)
    seconds = 1.0 if Fault.TIMEOUT in expected else 10.0
    first = [ask(number, seconds=seconds) for number in range(1, PUSHES)]
    results = await ends(first)
    assert results <= expected
    assert expected == {200} or results != {200}
    providers.clear()
    again = [ask(number) for number in range(PUSHES, 2 * PUSHES)]
    assert await ends(again) <= {200, Fault.CONNECTION_LOST}
    assert set(times_sent(providers).values()) == {1}


async def test_a_connection_that_has_gone_deaf_is_left(ask: Ask, providers: Providers) -> None:
    assert await ask().status() == 200
    providers.script("apns", kind="mute", times=1)
    lost = [ask(number) for number in range(1, 10)]
    assert await ends(lost) <= {200, Fault.CONNECTION_LOST}
    assert await ask(10).status() == 200


@pytest.mark.parametrize("form", WRONG)
async def test_after_wrong_bytes_the_next_connection_serves(
    ask: Ask, providers: Providers, form: str
) -> None:
    assert await ask().status() == 200
    providers.script("apns", kind="wrong", form=form, times=1)
    asked = [ask(number, seconds=1.0) for number in range(1, 20)]
    assert await ends(asked) <= {200, Fault.PROTOCOL, Fault.CONNECTION_LOST, Fault.TIMEOUT}
    while (result := await ask(20, seconds=1.0).end()) in {Fault.PROTOCOL, Fault.CONNECTION_LOST}:
        pass
    assert isinstance(result, Response)


@pytest.mark.parametrize("form", WRONG)
async def test_wrong_bytes_at_the_start_do_no_harm(ask: Ask, providers: Providers, form: str) -> None:
    providers.script("apns", kind="wrong", form=form, times=1, on="connect")
    assert await ends([ask(seconds=1.0)]) <= {200, Fault.PROTOCOL, Fault.CONNECTION_LOST, Fault.TIMEOUT}


@pytest.mark.parametrize("form", CERTIFICATES)
async def test_a_certificate_that_does_not_fit_is_a_fault_of_tls(
    ask: Ask, providers: Providers, form: str
) -> None:
    providers.script("apns", kind="certificate", form=form, times=1, on="connect")
    assert await ask().end() == Fault.TLS
    while (result := await ask().end()) == Fault.TLS:
        pass
    assert isinstance(result, Response)
