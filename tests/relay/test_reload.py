"""Another configuration is taken over between two requests, and what cannot be is named."""

from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from crypto.keys import EpochKey
from relay.app import RELOAD
from relay.config import Admission, LimitSettings
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import (
    EPOCH,
    SERVER_KEY,
    STRANGER_KEY,
    Relay,
    body_of,
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


async def test_what_wants_a_restart_is_said_and_stays_as_it_was(relay: Relay) -> None:
    with capture_logs() as logs:
        reload(relay, admission=Admission.OPEN, limits=LimitSettings(server=1), redis_url="redis://secret")
    [said] = [line["settings"] for line in logs if line["log_level"] == "warning"]
    assert said == ["admission", "limits"]
    assert (await relay.post(EMPTY, key=STRANGER_KEY)).code == "key_not_admitted"
