"""The control endpoint, and the way from a provider to a phone."""

import json
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse

from simulator.devices import APNS_TOKEN_BYTES
from simulator.faults import BadScript
from simulator.fcm_rules import TOKEN
from simulator.providers import Providers
from tests.simulator.clients import Fcm, Sender, Time


class Remote:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json() if answer.content_length else None

    def stream(self, token: str) -> AbstractAsyncContextManager[ClientWebSocketResponse]:
        return self.session.ws_connect(f"{self.url}/control/tokens/{quote(token)}/stream")


@pytest.fixture
async def remote(providers: Providers) -> AsyncIterator[Remote]:
    async with aiohttp.ClientSession() as session:
        yield Remote(session, providers.control_url)


async def event(stream: ClientWebSocketResponse) -> dict[str, Any]:
    received: dict[str, Any] = await stream.receive_json()
    return received


def numbered(number: int) -> bytes:
    return json.dumps({"aps": {}, "hp": str(number)}).encode()


async def numbers(stream: ClientWebSocketResponse, count: int) -> list[str]:
    return [(await event(stream))["payload"]["hp"] for _ in range(count)]


async def test_addresses_name_everything_that_a_relay_needs(remote: Remote, providers: Providers) -> None:
    status, body = await remote.ask("GET", "/control/addresses")
    assert (status, body) == (200, providers.addresses())
    assert body["control"] == providers.control_url


async def test_secrets_are_readable_by_their_owner_only(providers: Providers) -> None:
    for path in (providers.apns_key_file, providers.service_account_file, providers.directory / "leaf.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_tokens_have_the_providers_own_forms(remote: Remote, providers: Providers) -> None:
    status, apns = await remote.ask("POST", "/control/tokens", {"provider": "apns", "environment": "sandbox"})
    assert status == 201
    assert len(bytes.fromhex(apns.pop("token"))) == APNS_TOKEN_BYTES
    assert apns == {"provider": "apns", "app": providers.app, "environment": "sandbox"}
    _, fcm = await remote.ask("POST", "/control/tokens", {"provider": "fcm"})
    assert TOKEN.fullmatch(fcm["token"])
    assert fcm["app"] == providers.project


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("POST", "/control/tokens", {"provider": "hms"}, "provider: 'hms'"),
        ("POST", "/control/tokens", {"provider": "apns", "environment": "x"}, "environment: 'x'"),
        ("POST", "/control/tokens", {"provider": 7}, "provider: str expected"),
        ("POST", "/control/tokens", {"platform": "ios"}, "platform: unknown"),
        ("POST", "/control/tokens", [], "body: a JSON object"),
        ("POST", "/control/faults", {"provider": "hms"}, "provider: 'hms'"),
        ("POST", "/control/faults", {"provider": "apns", "reason": "Gone"}, "reason: 'Gone'"),
        ("POST", "/control/faults", {"provider": "webpush", "kind": "reset"}, "kind: 'reset'"),
        ("POST", "/control/faults", {"provider": "fcm", "kind": "explode"}, "kind: 'explode'"),
        ("POST", "/control/faults", {"provider": "fcm", "kind": "hang", "times": 0}, "times: at least 1"),
        ("GET", "/control/records?provider=hms", None, "provider: 'hms'"),
    ],
)
async def test_a_wrong_request_is_explained(
    remote: Remote, method: str, path: str, body: Any, says: str
) -> None:
    status, answer = await remote.ask(method, path, body)
    assert status == 400
    assert answer["error"].startswith(says)


async def test_an_unknown_token_is_not_found(remote: Remote) -> None:
    for method, path in (("DELETE", ""), ("PUT", "/behaviour"), ("GET", "/stream")):
        status, _ = await remote.ask(method, f"/control/tokens/00{path}", {})
        assert status == 404


async def test_a_wrong_script_in_process_is_explained_too(providers: Providers) -> None:
    with pytest.raises(BadScript, match="reason"):
        providers.script("apns", reason="Nonsense")


async def test_faults_are_scripted_and_cleared(remote: Remote, providers: Providers, apns: Sender) -> None:
    token = providers.token("apns")
    body = {"provider": "apns", "reason": "TooManyRequests", "token": token, "retryAfter": 3}
    assert (await remote.ask("POST", "/control/faults", body))[0] == 204
    answer = await apns(token)
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")
    assert (await remote.ask("DELETE", "/control/faults"))[0] == 204
    assert (await apns(token)).status == 200


async def test_records_can_be_read_and_cleared(remote: Remote, providers: Providers, apns: Sender) -> None:
    token = providers.token("apns")
    await apns(token, body=numbered(1))
    await apns(providers.token("apns"), body=numbered(2))
    _, body = await remote.ask("GET", f"/control/records?provider=apns&token={token}")
    (record,) = body["records"]
    assert record["payload"] == numbered(1).decode()
    assert ["apns-topic", providers.app] in record["headers"]
    assert (await remote.ask("DELETE", "/control/records"))[0] == 204
    assert providers.recorded == []


async def test_a_removed_app_is_gone(remote: Remote, providers: Providers, apns: Sender) -> None:
    token = providers.token("apns")
    assert (await remote.ask("DELETE", f"/control/tokens/{token}"))[0] == 204
    assert (await apns(token)).status == 410


async def test_a_listening_phone_receives_at_once(remote: Remote, providers: Providers, apns: Sender) -> None:
    token = providers.token("apns")
    async with remote.stream(token) as stream:
        assert await event(stream) == {"event": "ready"}
        await apns(token, body=numbered(1))
        received = await event(stream)
    assert received["payload"] == {"aps": {}, "hp": "1"}
    assert (received["event"], received["provider"], received["priority"]) == ("push", "apns", "10")


async def test_apns_keeps_the_newest_of_each_collapse_id_while_the_phone_is_away(
    remote: Remote, providers: Providers, apns: Sender
) -> None:
    token = providers.token("apns")
    for number, collapse in ((1, "a"), (2, "b"), (3, "a")):
        await apns(token, body=numbered(number), apns_collapse_id=collapse)
    async with remote.stream(token) as stream:
        await event(stream)
        assert await numbers(stream, 2) == ["2", "3"]


async def test_what_expired_is_not_kept(
    remote: Remote, providers: Providers, apns: Sender, time: Time
) -> None:
    token = providers.token("apns")
    await apns(token, body=numbered(1), apns_expiration="0")
    await apns(token, body=numbered(2), apns_expiration=str(int(time() + 10)))
    await apns(token, body=numbered(3), apns_expiration=str(int(time() + 1000)))
    time.now += 11
    async with remote.stream(token) as stream:
        await event(stream)
        assert await numbers(stream, 1) == ["3"]


async def test_fcm_drops_all_when_more_than_a_hundred_wait(
    remote: Remote, providers: Providers, fcm: Fcm
) -> None:
    token = providers.token("fcm")
    for _ in range(101):
        await fcm({"message": {"token": token, "data": {"hp": "AQ"}}})
    async with remote.stream(token) as stream:
        await event(stream)
        assert (await event(stream))["event"] == "deleted"


async def test_fcm_hands_over_its_data_and_priority(remote: Remote, providers: Providers, fcm: Fcm) -> None:
    token = providers.token("fcm")
    async with remote.stream(token) as stream:
        await event(stream)
        await fcm({"message": {"token": token, "data": {"hp": "AQ"}, "android": {"priority": "HIGH"}}})
        received = await event(stream)
    assert (received["payload"], received["priority"]) == ({"data": {"hp": "AQ"}}, "HIGH")


async def test_pushes_can_be_lost_repeated_and_reordered(
    remote: Remote, providers: Providers, apns: Sender
) -> None:
    token = providers.token("apns")
    async with remote.stream(token) as stream:
        await event(stream)
        await remote.ask("PUT", f"/control/tokens/{token}/behaviour", {"drop": 1})
        await apns(token, body=numbered(1))
        providers.behave(token, duplicate=1)
        await apns(token, body=numbered(2))
        providers.behave(token, hold=2)
        await apns(token, body=numbered(3))
        await apns(token, body=numbered(4))
        await apns(token, body=numbered(5))
        assert await numbers(stream, 5) == ["2", "2", "4", "3", "5"]


async def test_a_lost_answer_was_delivered_all_the_same(
    remote: Remote, providers: Providers, fcm: Fcm
) -> None:
    token = providers.token("fcm")
    providers.script("fcm", kind="lose", times=1)
    async with remote.stream(token) as stream:
        await event(stream)
        with pytest.raises(aiohttp.ClientConnectionError):
            await fcm({"message": {"token": token, "data": {"hp": "AQ"}}})
        assert (await event(stream))["payload"] == {"data": {"hp": "AQ"}}


async def test_a_newer_connection_takes_over(remote: Remote, providers: Providers, apns: Sender) -> None:
    token = providers.token("apns")
    async with remote.stream(token) as first:
        await event(first)
        async with remote.stream(token) as second:
            await event(second)
            assert (await first.receive()).type == aiohttp.WSMsgType.CLOSE
            await apns(token, body=numbered(1))
            assert await numbers(second, 1) == ["1"]
