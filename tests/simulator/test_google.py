"""Google's token endpoint and FCM over real TLS: what they grant and accept, what they refuse and in what form."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulator.faults import FCM_CODES, OAUTH_ERRORS
from simulator.providers import Providers
from tests.simulator.clients import Assert, Fcm, Grant, Time

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def message(token: str, /, **changed: Any) -> dict[str, Any]:
    android = {"priority": "HIGH", "ttl": "86400s"}
    return {"message": {"token": token, "data": {"hp": "AQ"}, "android": android, **changed}}


def code(body: dict[str, Any]) -> str | None:
    return next((one["errorCode"] for one in body["error"]["details"] if one["@type"] == FCM_ERROR), None)


def violation(body: dict[str, Any]) -> str:
    found = next(one for one in body["error"]["details"] if one["@type"] == BAD_REQUEST)
    return str(found["fieldViolations"][0]["field"])


async def test_a_right_assertion_is_granted_a_token(grant: Grant) -> None:
    status, body = await grant()
    assert status == 200
    assert body["token_type"] == "Bearer"
    assert 0 < body["expires_in"] <= 3600


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "someone@else"}, "invalid_grant"),
        ({"aud": "https://elsewhere/token"}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"exp": 1}, "invalid_grant"),
        ({"iat": 4_000_000_000, "exp": 4_000_003_600}, "invalid_grant"),
        ({"exp": 1_800_010_000}, "invalid_grant"),
    ],
)
async def test_a_wrong_claim_is_not_granted(
    grant: Grant, assertion: Assert, claims: dict[str, Any], error: str
) -> None:
    status, body = await grant(assertion(**claims))
    assert (status, body["error"]) == (400, error)


async def test_an_assertion_of_another_key_is_not_granted(grant: Grant, assertion: Assert) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    status, body = await grant(assertion(stranger.decode()))
    assert (status, body["error_description"]) == (400, "Invalid JWT Signature.")


async def test_another_grant_type_is_unsupported(providers: Providers, https: aiohttp.ClientSession) -> None:
    async with https.post(providers.token_url, data={"grant_type": "password"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("error", OAUTH_ERRORS)
async def test_the_token_endpoint_can_be_scripted(providers: Providers, grant: Grant, error: str) -> None:
    providers.script("google", reason=error, times=1)
    status, body = await grant()
    assert (status, body["error"]) == (OAUTH_ERRORS[error], error)
    assert (await grant())[0] == 200


async def test_an_accepted_message_is_named_and_recorded(providers: Providers, fcm: Fcm) -> None:
    token = providers.token("fcm")
    status, body, _ = await fcm(message(token))
    assert status == 200
    assert body["name"].startswith(f"projects/{providers.project}/messages/")
    recorded = providers.recorded[-1]
    assert (recorded.provider, recorded.token, recorded.status) == ("fcm", token, 200)
    assert json.loads(recorded.payload) == message(token)
    assert (recorded.header("authorization") or "").startswith("Bearer ya29.")


async def test_camel_case_names_count_too(providers: Providers, fcm: Fcm) -> None:
    body = message(
        providers.token("fcm"), android={"collapseKey": "c", "priority": "normal", "directBootOk": True}
    )
    assert (await fcm({**body, "validateOnly": True}))[0] == 200


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"data": {"hp": 1}}, "message.data[0].value"),
        ({"data": {"from": "x"}}, "message.data[0].key"),
        ({"data": {"google.x": "x"}}, "message.data[0].key"),
        ({"data": ["hp"]}, "message.data"),
        ({"colour": "red"}, "message"),
        ({"android": {"colour": "red"}}, "message.android"),
        ({"android": {"ttl": "1 day"}}, "message.android.ttl"),
        ({"android": {"ttl": 60}}, "message.android.ttl"),
        ({"android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"android": {"priority": "URGENT"}}, "message.android.priority"),
        ({"android": "HIGH"}, "message.android"),
        ({"topic": "news"}, "message"),
        ({"token": None}, "message"),
        ({"token": 7}, "message.token"),
    ],
)
async def test_a_faulty_message_is_refused_with_the_field(
    providers: Providers, fcm: Fcm, changed: dict[str, Any], field: str
) -> None:
    status, body, _ = await fcm(message(providers.token("fcm"), **changed))
    assert (status, body["error"]["status"], code(body)) == (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert violation(body) == field


@pytest.mark.parametrize("body", [{}, [], {"message": {}, "extra": 1}])
async def test_a_body_that_is_no_request_is_refused(fcm: Fcm, body: Any) -> None:
    status, answer, _ = await fcm(body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_data_may_have_4096_bytes_and_no_more(providers: Providers, fcm: Fcm) -> None:
    token = providers.token("fcm")
    assert (await fcm(message(token, data={"hp": 4094 * "x"})))[0] == 200
    status, body, _ = await fcm(message(token, data={"hp": 4095 * "x"}))
    assert (status, code(body)) == (400, "INVALID_ARGUMENT")


async def test_a_token_of_no_known_form_is_an_invalid_argument(fcm: Fcm) -> None:
    status, body, _ = await fcm(message("nonsense"))
    assert (status, code(body)) == (400, "INVALID_ARGUMENT")


async def test_an_unknown_or_removed_token_is_unregistered(providers: Providers, fcm: Fcm) -> None:
    token = providers.token("fcm")
    providers.uninstall(token)
    for dead in (token, token[:-1] + ("A" if token[-1] != "A" else "B")):
        status, body, _ = await fcm(message(dead))
        assert (status, body["error"]["status"], code(body)) == (404, "NOT_FOUND", "UNREGISTERED")


async def test_a_token_of_another_project_has_another_sender(providers: Providers, fcm: Fcm) -> None:
    status, body, _ = await fcm(message(providers.token("fcm", app="other-project")))
    assert (status, code(body)) == (403, "SENDER_ID_MISMATCH")


async def test_a_project_that_the_account_has_no_part_in_is_denied(providers: Providers, fcm: Fcm) -> None:
    status, body, _ = await fcm(message(providers.token("fcm")), project="someone-elses")
    assert (status, body["error"]["status"], code(body)) == (403, "PERMISSION_DENIED", None)


async def test_a_bearer_that_was_not_issued_is_unauthenticated(providers: Providers, fcm: Fcm) -> None:
    status, body, _ = await fcm(message(providers.token("fcm")), bearer="ya29.stranger")
    assert (status, body["error"]["status"], code(body)) == (401, "UNAUTHENTICATED", None)


async def test_a_bearer_expires(providers: Providers, fcm: Fcm, time: Time) -> None:
    time.now += 3600
    status, body, _ = await fcm(message(providers.token("fcm")))
    assert (status, body["error"]["details"][0]["reason"]) == (401, "ACCESS_TOKEN_EXPIRED")


@pytest.mark.parametrize("reason", FCM_CODES)
async def test_every_documented_code_can_be_scripted(providers: Providers, fcm: Fcm, reason: str) -> None:
    token = providers.token("fcm")
    providers.script("fcm", reason=reason, token=token, times=1, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    status, body, headers = await fcm(message(token))
    assert (status, body["error"]["status"]) == FCM_CODES[reason]
    assert code(body) == reason
    assert headers["Retry-After"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert (await fcm(message(token)))[0] == 200


async def test_an_undocumented_status_can_be_scripted(providers: Providers, fcm: Fcm) -> None:
    providers.script("fcm", status=502, times=1)
    status, body, _ = await fcm(message(providers.token("fcm")))
    assert (status, "details" in body["error"]) == (502, False)


@pytest.mark.parametrize("kind", ["close", "lose"])
async def test_a_dropped_connection_answers_nothing(providers: Providers, fcm: Fcm, kind: str) -> None:
    providers.script("fcm", kind=kind)
    with pytest.raises(aiohttp.ClientConnectionError):
        await fcm(message(providers.token("fcm")))


async def test_a_hanging_send_ends_when_the_provider_closes(providers: Providers, fcm: Fcm) -> None:
    providers.script("fcm", kind="hang")
    hanging = asyncio.ensure_future(fcm(message(providers.token("fcm"))))
    await providers.until(lambda recorded: recorded[-1].provider == "fcm")
    assert not hanging.done()
    await providers.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await hanging


async def test_a_delayed_answer_comes_later(providers: Providers, fcm: Fcm) -> None:
    providers.script("fcm", kind="delay", delay=0.01)
    assert (await fcm(message(providers.token("fcm"))))[0] == 200
