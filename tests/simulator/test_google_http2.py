"""FCM and Google's token endpoint by HTTP/2: the same checks, records and faults, on the same port as HTTP/1.1."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from simulator.faults import FCM_CODES
from simulator.providers import Providers
from tests.simulator.clients import Assert, Fcm
from tests.simulator.http2 import Answer, Broken, Client

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
Send = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def client(providers: Providers) -> AsyncIterator[Client]:
    client = await Client.connect(
        providers.fcm_url.removeprefix("https://"), providers.ca_file, protocols=("h2", "http/1.1")
    )
    yield client
    await client.close()


@pytest.fixture
def post(providers: Providers, client: Client) -> Send:
    async def ask(path: str, body: bytes, **headers: str) -> Answer:
        address = providers.fcm_url.removeprefix("https://")
        usual = {":method": "POST", ":scheme": "https", ":authority": address, ":path": path}
        changed = {f":{name[1:]}" if name[0] == "_" else name: value for name, value in headers.items()}
        return await client.ask({**usual, **changed}.items(), body)

    return ask


@pytest.fixture
async def send(providers: Providers, post: Send, assertion: Assert) -> Send:
    form = urlencode({"grant_type": GRANT, "assertion": assertion()}).encode()
    granted = await post("/token", form)

    async def ask(token: str, **headers: str) -> Answer:
        body = json.dumps({"message": {"token": token, "data": {"hp": "AQ"}}}).encode()
        bearer = f"Bearer {granted.json['access_token']}"
        return await post(
            f"/v1/projects/{providers.project}/messages:send", body, **{"authorization": bearer, **headers}
        )

    return ask


def code(answer: Answer) -> Any:
    return answer.json["error"]["details"][-1]["errorCode"]


async def test_a_message_is_accepted_and_recorded(providers: Providers, send: Send) -> None:
    token = providers.token("fcm")
    answer = await send(token)
    assert answer.status == 200
    assert answer.json["name"].startswith(f"projects/{providers.project}/messages/")
    granted, recorded = providers.recorded
    assert (granted.provider, granted.accepted) == ("google", True)
    assert (recorded.provider, recorded.token, recorded.status) == ("fcm", token, 200)
    assert recorded.accepted
    assert recorded.header(":scheme") == "https"
    assert recorded.connection == granted.connection > 0


async def test_both_protocols_are_served_on_one_port(providers: Providers, send: Send, fcm: Fcm) -> None:
    token = providers.token("fcm")
    await send(token)
    status, _, _ = await fcm({"message": {"token": token, "data": {"hp": "AQ"}}})
    assert status == 200
    assert [one.header(":scheme") for one in providers.recorded if one.provider == "fcm"] == ["https", None]


async def test_a_wrong_assertion_is_not_granted(post: Send) -> None:
    answer = await post("/token", urlencode({"grant_type": GRANT, "assertion": "a.b.c"}).encode())
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


async def test_an_unknown_token_is_unregistered(providers: Providers, send: Send) -> None:
    token = providers.token("fcm")
    providers.uninstall(token)
    answer = await send(token)
    assert (answer.status, code(answer)) == (404, "UNREGISTERED")
    assert not providers.recorded[-1].accepted


async def test_a_bearer_that_was_not_issued_is_unauthenticated(providers: Providers, send: Send) -> None:
    assert (await send(providers.token("fcm"), authorization="Bearer ya29.stranger")).status == 401


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/token", 405), ("POST", "/v2/send", 404)])
async def test_what_google_does_not_serve_is_refused(post: Send, method: str, path: str, status: int) -> None:
    assert (await post(path, b"{}", _method=method)).status == status


async def test_the_malformed_scheme_of_googles_own_library_is_borne(providers: Providers, send: Send) -> None:
    assert (await send(providers.token("fcm"), _scheme="https:")).status == 200


@pytest.mark.parametrize("reason", FCM_CODES)
async def test_every_documented_code_can_be_scripted(providers: Providers, send: Send, reason: str) -> None:
    token = providers.token("fcm")
    providers.script("fcm", reason=reason, token=token, times=1, retry_after=7)
    answer = await send(token)
    assert (answer.status, answer.headers["retry-after"]) == (FCM_CODES[reason][0], "7")
    assert code(answer) == reason
    assert (await send(token)).status == 200


async def test_a_refused_stream_leaves_the_connection_usable(providers: Providers, send: Send) -> None:
    token = providers.token("fcm")
    providers.script("fcm", kind="refused", times=1)
    with pytest.raises(Broken, match="stream reset"):
        await send(token)
    assert (await send(token)).status == 200
    assert [one.accepted for one in providers.recorded if one.token == token] == [False, True]


@pytest.mark.parametrize("kind", ["close", "lose"])
async def test_a_dropped_connection_answers_nothing(providers: Providers, send: Send, kind: str) -> None:
    providers.script("fcm", kind=kind, times=1)
    with pytest.raises(Broken, match="connection lost"):
        await send(providers.token("fcm"))
    assert providers.recorded[-1].accepted == (kind == "lose")


async def test_goaway_names_the_last_stream_that_was_processed(
    providers: Providers, send: Send, client: Client
) -> None:
    providers.script("fcm", kind="goaway", times=1)
    with pytest.raises(Broken):
        await send(providers.token("fcm"))
    assert client.goodbye is not None
    assert client.goodbye.last_stream_id == 1


async def test_the_tokens_themselves_can_be_faulted(
    providers: Providers, post: Send, assertion: Assert
) -> None:
    providers.script("google", reason="temporarily_unavailable", times=1)
    form = urlencode({"grant_type": GRANT, "assertion": assertion()}).encode()
    assert (await post("/token", form)).status == 503
    assert (await post("/token", form)).status == 200
