"""What FCM is sent for a push (docs/protocol.md, section 2), and when nothing is sent because the quota is spent."""

import json
from typing import Any

import pytest

from relay.config import FcmClient
from relay.providers.fcm import payload
from relay.providers.fcm_quota import Quota
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.running import ENVELOPE, PROJECT
from tests.relay.sending import delivery, fcm, send

CLIENTS = list(FcmClient)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("changes", "data", "priority"),
    [
        ({"high": True}, {"hp": ENVELOPE}, "HIGH"),
        ({"high": False}, {"hp": ENVELOPE}, "NORMAL"),
        ({"data": {}}, {"hp": ""}, "HIGH"),
        ({"data": {"hh": "handle", "rq": "request"}}, {"hh": "handle", "rq": "request"}, "HIGH"),
        ({"data": {"other": 'need"s care'}}, {"other": 'need"s care'}, "HIGH"),
    ],
)
async def test_the_request_is_the_protocols_whichever_client_sends_it(
    providers: Providers,
    clock: SettableClock,
    client: FcmClient,
    changes: dict[str, Any],
    data: dict[str, str],
    priority: str,
) -> None:
    token = providers.token("fcm")
    async with fcm(providers, lambda: clock() / 1000, client=client) as provider:
        [verdict] = await send(provider, delivery(token, **changes))
    assert verdict.status == "accepted"
    assert (verdict.provider_id or "").startswith(f"projects/{PROJECT}/messages/")
    sent = providers.recorded[-1]
    assert sent.header(":path") == f"/v1/projects/{PROJECT}/messages:send"
    assert sent.header("content-type") == "application/json"
    assert json.loads(sent.payload) == {
        "message": {"token": token, "data": data, "android": {"priority": priority, "ttl": "60s"}}
    }


@pytest.mark.parametrize("token", ['a":"b', "back\\slash", "new\nline", "ümlaut", "\x7f", "x" * 400])
def test_a_token_cannot_break_out_of_its_place(token: str) -> None:
    document = json.loads(payload(delivery(token)))
    assert document["message"].keys() == {"token", "data", "android"}
    assert document["message"]["token"] == token


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_spent_quota_is_not_asked_for_again_by_normal_pushes(
    providers: Providers, clock: SettableClock, client: FcmClient
) -> None:
    token = providers.token("fcm")
    async with fcm(providers, lambda: clock() / 1000, client=client) as provider:
        providers.script("fcm", reason="QUOTA_EXCEEDED", retry_after=30, times=1)
        [refused] = await send(provider, delivery(token, high=False))
        assert (refused.status, refused.reason, refused.retry_after) == ("retry", "throttled", 30)
        clock.advance(10_000)
        asked = providers.asked
        [held] = await send(provider, delivery(token, high=False))
        assert (held.status, held.reason, held.retry_after) == ("retry", "throttled", 20)
        assert providers.asked == asked
        [urgent] = await send(provider, delivery(token))
        assert urgent.status == "accepted"
        clock.advance(20_000)
        [late] = await send(provider, delivery(token, high=False))
        assert late.status == "accepted"


async def test_urgent_pushes_wait_too_once_one_of_them_was_refused(
    providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    async with fcm(providers, lambda: clock() / 1000) as provider:
        providers.script("fcm", reason="QUOTA_EXCEEDED", retry_after=30, times=1)
        await send(provider, delivery(token))
        asked = providers.asked
        verdicts = await send(provider, delivery(token), delivery(token, high=False))
        assert {(verdict.reason, verdict.retry_after) for verdict in verdicts} == {("throttled", 30)}
        assert providers.asked == asked


async def test_a_refusal_without_a_wait_holds_nobody_else(providers: Providers, clock: SettableClock) -> None:
    """It may be about one device."""
    token = providers.token("fcm")
    async with fcm(providers, lambda: clock() / 1000) as provider:
        providers.script("fcm", reason="QUOTA_EXCEEDED", times=1)
        [refused] = await send(provider, delivery(token, high=False))
        assert (refused.status, refused.reason, refused.retry_after) == ("retry", "throttled", 60)
        [other] = await send(provider, delivery(providers.token("fcm"), high=False))
        assert other.status == "accepted"


def test_the_longer_wait_holds() -> None:
    quota = Quota()
    quota.spent(1000, 30, high=False)
    quota.spent(1001, 5, high=True)
    held = quota.held(1007, high=False)
    assert held is not None
    assert held.retry_after == 23
    assert quota.held(1007, high=True) is None


def test_a_clock_that_was_put_back_holds_nobody_for_ever() -> None:
    quota = Quota()
    quota.spent(1_000_000, 30, high=True)
    assert quota.held(900_000, high=True) is None


@pytest.mark.parametrize("client", CLIENTS)
async def test_servers_that_send_to_dead_tokens_have_connections_of_their_own(
    providers: Providers, clock: SettableClock, client: FcmClient
) -> None:
    token = providers.token("fcm")
    async with fcm(providers, lambda: clock() / 1000, client=client) as provider:
        await send(provider, delivery(token, 1))
        await send(provider, delivery(token, 2, suspect=True))
        await send(provider, delivery(token, 3))
    if client is FcmClient.HTTP2:
        first, suspect, last = [sent.connection for sent in providers.recorded if sent.provider == "fcm"]
        assert first == last != suspect
    assert [sent.status for sent in providers.recorded if sent.provider == "fcm"] == [200] * 3
