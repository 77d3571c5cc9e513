"""What APNs is sent for a push (docs/protocol.md, section 2)."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from relay.config import ApnsClient
from simulator.providers import Ports, Providers
from tests.harness.clock import SettableClock
from tests.harness.simulated import simulated
from tests.relay.running import COLLAPSE, ENVELOPE, TOPIC, push_id
from tests.relay.sending import apns, delivery, send

ALERT = {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1, "sound": "default"}
BACKGROUND = {"content-available": 1}


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


IPV6 = _has_ipv6()


@pytest.mark.parametrize("client", list(ApnsClient))
@pytest.mark.parametrize(
    ("changes", "push_type", "priority", "aps"),
    [
        ({"high": True}, "alert", "10", ALERT),
        ({"high": False}, "alert", "5", ALERT),
        ({"high": True, "background": True}, "background", "5", BACKGROUND),
        ({"high": False, "background": True}, "background", "5", BACKGROUND),
    ],
)
async def test_headers_and_payload_are_the_protocols_whichever_client_sends_them(
    providers: Providers,
    clock: SettableClock,
    client: ApnsClient,
    changes: dict[str, Any],
    push_type: str,
    priority: str,
    aps: dict[str, Any],
) -> None:
    token = providers.token("apns")
    async with apns(providers, lambda: clock() / 1000, client=client) as provider:
        [verdict] = await send(provider, delivery(token, **changes))
    assert (verdict.status, verdict.provider_id) == ("accepted", push_id(1))
    [sent] = providers.recorded
    headers = dict(sent.headers)
    assert headers.pop("authorization").startswith("bearer ")
    assert headers == {
        ":method": "POST",
        ":scheme": "https",
        ":authority": providers.apns_address,
        ":path": f"/3/device/{token}",
        "apns-topic": TOPIC,
        "apns-push-type": push_type,
        "apns-priority": priority,
        "apns-expiration": str(clock() // 1000 + 60),
        "apns-id": push_id(1),
        "apns-collapse-id": COLLAPSE,
    }
    assert json.loads(sent.payload) == {"aps": aps, "hp": ENVELOPE}


@pytest.mark.parametrize(
    "data", [{}, {"hp": "AbC-_9"}, {"hh": "handle", "rq": "request"}, {"hp": ""}, {"other": 'need"s care'}]
)
@pytest.mark.parametrize("background", [True, False])
async def test_every_kind_of_data_stands_beside_aps(
    providers: Providers, clock: SettableClock, data: dict[str, str], *, background: bool
) -> None:
    async with apns(providers, lambda: clock() / 1000) as provider:
        await send(provider, delivery(providers.token("apns"), data=data, background=background))
    [sent] = providers.recorded
    assert json.loads(sent.payload) == {"aps": BACKGROUND if background else ALERT, **data}
    assert b": " not in sent.payload


async def test_the_largest_envelope_is_as_long_as_the_protocol_says(
    providers: Providers, clock: SettableClock
) -> None:
    async with apns(providers, lambda: clock() / 1000) as provider:
        await send(provider, delivery(providers.token("apns"), data={"hp": "A" * -(-2944 * 4 // 3)}))
    assert len(providers.recorded[0].payload) <= 4018


async def test_a_push_without_a_lifetime_is_tried_once(providers: Providers, clock: SettableClock) -> None:
    async with apns(providers, lambda: clock() / 1000) as provider:
        await send(provider, delivery(providers.token("apns"), ttl=0))
    assert providers.recorded[0].header("apns-expiration") == "0"


async def test_since_when_a_token_is_dead_is_passed_on(providers: Providers, clock: SettableClock) -> None:
    providers.script("apns", reason="ExpiredToken", since=1_700_000_000_000, times=1)
    async with apns(providers, lambda: clock() / 1000) as provider:
        [verdict] = await send(provider, delivery(providers.token("apns")))
    assert (verdict.status, verdict.reason, verdict.since) == ("gone", "token_expired", 1_700_000_000_000)


async def test_apps_with_one_key_send_one_provider_token(providers: Providers, clock: SettableClock) -> None:
    seconds = lambda: clock() / 1000  # noqa: E731
    async with (
        apns(providers, seconds) as first,
        apns(providers, seconds, topic="org.hushpost.other") as second,
    ):
        await send(first, delivery(providers.token("apns")))
        await send(second, delivery(providers.token("apns", app="org.hushpost.other")))
    assert [sent.status for sent in providers.recorded] == [200, 200]
    assert len({sent.header("authorization") for sent in providers.recorded}) == 1


async def test_an_address_without_a_name_is_named_as_http_wants_it(
    tmp_path: Path, clock: SettableClock
) -> None:
    seconds = lambda: clock() / 1000  # noqa: E731
    if not IPV6:
        pytest.skip("this machine has no IPv6 loopback")
    async with (
        simulated(tmp_path / "six", clock=seconds, ports=Ports(apns=("::1", 0))) as providers,
        apns(providers, seconds, host="::1") as provider,
    ):
        [verdict] = await send(provider, delivery(providers.token("apns")))
        assert verdict.status == "accepted"
        assert providers.recorded[0].header(":authority") == providers.apns_address
