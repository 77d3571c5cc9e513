"""What may change of a configuration is taken over between two requests."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from crypto.encoding import unb64u
from crypto.keys import EpochKey
from relay.app import RELOAD
from relay.config import Admission, ConfigError, LimitSettings
from relay.wire import HANDLES_PATH
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import (
    EPOCH,
    SERVER_KEY,
    STRANGER_KEY,
    TOPIC,
    Relay,
    body_of,
    config,
    to_apns,
)

NEXT_EPOCH = EpochKey(8, bytes([7]) * 32)
EMPTY = body_of([])


def reload(relay: Relay, **changes: Any) -> None:
    relay.app[RELOAD](replace(relay.config, **changes))


async def test_servers_are_admitted_and_denied_from_the_next_request_on(relay: Relay) -> None:
    assert (await relay.post(EMPTY, key=STRANGER_KEY)).code == "key_not_admitted"
    reload(relay, allowlist=frozenset({SERVER_KEY.public.id, STRANGER_KEY.public.id}))
    assert (await relay.post(EMPTY, key=STRANGER_KEY)).status == 200
    reload(relay, denied=frozenset({SERVER_KEY.public.id}))
    assert (await relay.post(EMPTY)).code == "key_denied"


async def test_a_new_epoch_seals_and_the_old_one_opens_until_it_is_taken_out(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers),))
    old = to_apns(relay, providers)
    reload(relay, epochs={EPOCH.number: EPOCH, NEXT_EPOCH.number: NEXT_EPOCH})
    assert [outcome.status for outcome in await relay.push(old)] == ["accepted"]
    reload(relay, epochs={NEXT_EPOCH.number: NEXT_EPOCH})
    assert [outcome.reason for outcome in await relay.push(old)] == ["handle_invalid"]


async def test_a_new_epoch_opens_everywhere_before_it_seals_anywhere(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers),))
    both = {EPOCH.number: EPOCH, NEXT_EPOCH.number: NEXT_EPOCH}
    reload(relay, epochs=both, seal_epoch=EPOCH.number)
    assert await epoch_of_a_new_handle(relay, providers) == EPOCH.number
    reload(relay, epochs=both)
    assert await epoch_of_a_new_handle(relay, providers) == NEXT_EPOCH.number


async def epoch_of_a_new_handle(relay: Relay, providers: Providers) -> int:
    wanted = {
        "provider": "apns",
        "app": TOPIC,
        "environment": "production",
        "token": providers.token("apns"),
        "server": SERVER_KEY.public.id,
    }
    headers = {"Content-Type": "application/json"}
    answer = await relay.send("POST", HANDLES_PATH, headers=headers, body=msgspec.json.encode(wanted))
    return int.from_bytes(unb64u(answer.document["handle"])[1:5])


def test_an_epoch_that_is_not_there_cannot_seal() -> None:
    with pytest.raises(ConfigError, match="the key file has no epoch 9; it has 7"):
        config(seal_epoch=9)


async def test_nothing_else_changes(relay: Relay) -> None:
    reload(relay, admission=Admission.OPEN, limits=LimitSettings(server=1), redis_url="redis://secret")
    assert (await relay.post(EMPTY, key=STRANGER_KEY)).code == "key_not_admitted"
