"""APNs over real HTTP/2 and TLS: what it accepts, what it refuses and why, and how it fails when told to."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.faults import APNS_REASONS
from simulator.http2_judge import Streams
from simulator.providers import Providers
from tests.harness.simulated import simulated
from tests.simulator.clients import PAYLOAD, Sender, Time
from tests.simulator.http2 import Broken, Client

UUID_TEXT = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def test_an_accepted_push_ends_in_its_headers_frame_and_echoes_the_id(
    apns: Sender, providers: Providers
) -> None:
    answer = await apns(providers.token("apns"), apns_id=UUID_TEXT)
    assert answer.status == 200
    assert answer.headers["apns-id"] == UUID_TEXT
    assert answer.data_frames == 0


async def test_a_push_without_an_id_is_given_one(apns: Sender, providers: Providers) -> None:
    answer = await apns(providers.token("apns"))
    assert UUID(answer.headers["apns-id"]).version == 4


async def test_what_came_is_recorded_exactly(apns: Sender, providers: Providers) -> None:
    token = providers.token("apns")
    await apns(token, apns_collapse_id="c1")
    (recorded,) = providers.recorded
    assert recorded.status == 200
    assert recorded.token == token
    assert json.loads(recorded.payload) == PAYLOAD
    assert recorded.header("apns-collapse-id") == "c1"
    assert recorded.header(":path") == f"/3/device/{token}"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"_method": "PUT"}, "MethodNotAllowed"),
        ({"_path": "/3/device/"}, "MissingDeviceToken"),
        ({"_path": "/2/device/00"}, "BadPath"),
        ({"_path": "/3/device/00/more"}, "BadPath"),
        ({"_path": "/3/device/zz"}, "BadDeviceToken"),
        ({"_path": "/3/device/" + 32 * "ab"}, "BadDeviceToken"),
        ({"without": "authorization"}, "MissingProviderToken"),
        ({"authorization": "basic abc"}, "InvalidProviderToken"),
        ({"authorization": "bearer abc"}, "InvalidProviderToken"),
        ({"without": "apns-topic"}, "MissingTopic"),
        ({"apns_topic": "not a topic"}, "BadTopic"),
        ({"apns_topic": "org.example.other"}, "TopicDisallowed"),
        ({"apns_push_type": "voip"}, "TopicDisallowed"),
        ({"apns_push_type": "telegram"}, "InvalidPushType"),
        ({"apns_priority": "7"}, "BadPriority"),
        ({"apns_push_type": "background"}, "BadPriority"),
        ({"apns_expiration": "tomorrow"}, "BadExpirationDate"),
        ({"apns_expiration": "-1"}, "BadExpirationDate"),
        ({"apns_collapse_id": 65 * "c"}, "BadCollapseId"),
        ({"apns_id": "7"}, "BadMessageId"),
        ({"apns_id": UUID_TEXT.replace("-", "")}, "BadMessageId"),
        ({"body": b""}, "PayloadEmpty"),
        ({"body": b"{"}, "PayloadEmpty"),
        ({"body": b'{"hp": "AQ"}'}, "PayloadEmpty"),
        ({"body": json.dumps({"aps": {}, "hp": 4096 * "x"}).encode()}, "PayloadTooLarge"),
        ({"body": json.dumps({"aps": {}, "hp": 80_000 * "x"}).encode()[:60_000]}, "PayloadTooLarge"),
    ],
)
async def test_a_faulty_request_is_refused_with_the_documented_reason(
    apns: Sender, providers: Providers, changed: dict[str, Any], reason: str
) -> None:
    answer = await apns(providers.token("apns"), **changed)
    assert (answer.status, answer.json) == (APNS_REASONS[reason], {"reason": reason})
    assert answer.headers["content-type"] == "application/json"
    assert providers.recorded[-1].reason == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"without": "apns-push-type"},
        {"without": "apns-priority"},
        {"apns_priority": "5"},
        {"apns_priority": "1"},
        {"apns_push_type": "background", "apns_priority": "5"},
        {"apns_push_type": "voip", "apns_topic": "org.hushpost.app.voip"},
        {"apns_expiration": "0"},
        {"apns_collapse_id": 64 * "c"},
        {"apns_id": UUID_TEXT.upper()},
        {"body": json.dumps({"aps": {}, "hp": (4096 - 21) * "x"}).encode()},
    ],
)
async def test_what_apple_documents_as_right_is_accepted(
    apns: Sender, providers: Providers, changed: dict[str, Any]
) -> None:
    answer = await apns(providers.token("apns"), **changed)
    assert answer.status == 200


async def test_a_repeated_header_is_refused(apns: Sender, providers: Providers) -> None:
    headers = [*apns.headers(providers.token("apns")).items(), ("apns-priority", "5")]
    answer = await apns.client.ask(headers, b"{}")
    assert answer.json == {"reason": "DuplicateHeaders"}


async def test_a_token_of_another_app_is_not_for_this_topic(apns: Sender, providers: Providers) -> None:
    answer = await apns(providers.token("apns", app="org.example.other"))
    assert answer.json == {"reason": "DeviceTokenNotForTopic"}


async def test_a_sandbox_token_is_bad_in_production_and_good_in_the_sandbox(
    apns: Sender, providers: Providers, time: Time
) -> None:
    token = providers.token("apns", environment="sandbox")
    assert (await apns(token)).json == {"reason": "BadDeviceToken"}
    client = await Client.connect(providers.apns_sandbox_address, providers.ca_file)
    answer = await Sender(providers, time, client)(token)
    assert answer.status == 200
    assert "apns-unique-id" in answer.headers
    await client.close()


async def test_a_removed_app_is_gone_since_its_removal(
    apns: Sender, providers: Providers, time: Time
) -> None:
    token = providers.token("apns")
    providers.uninstall(token)
    answer = await apns(token)
    assert answer.status == 410
    assert answer.json == {"reason": "Unregistered", "timestamp": int(time() * 1000)}


def provider_token(apns: Sender, **changed: Any) -> str:
    return f"bearer {apns.provider_token(**changed)}"


async def test_an_old_provider_token_has_expired(apns: Sender, providers: Providers, time: Time) -> None:
    token = providers.token("apns")
    answer = await apns(token, authorization=provider_token(apns, iat=time() - 3601))
    assert answer.json == {"reason": "ExpiredProviderToken"}


async def test_a_provider_token_expires_in_use(apns: Sender, providers: Providers, time: Time) -> None:
    token = providers.token("apns")
    authorization = provider_token(apns)
    assert (await apns(token, authorization=authorization)).status == 200
    time.now += 3601
    assert (await apns(token, authorization=authorization)).json == {"reason": "ExpiredProviderToken"}


async def test_provider_tokens_that_change_too_often_are_refused(
    apns: Sender, providers: Providers, time: Time
) -> None:
    token = providers.token("apns")
    assert (await apns(token, authorization=provider_token(apns))).status == 200
    time.now += 1199
    answer = await apns(token, authorization=provider_token(apns))
    assert (answer.status, answer.json) == (429, {"reason": "TooManyProviderTokenUpdates"})
    time.now += 1
    assert (await apns(token, authorization=provider_token(apns))).status == 200


@pytest.mark.parametrize("claims", [{"iss": "OTHERTEAM0"}, {"iat": 4_000_000_000}, {"iat": "now"}])
async def test_a_provider_token_with_wrong_claims_is_invalid(
    apns: Sender, providers: Providers, claims: dict[str, Any]
) -> None:
    text = jwt.encode(
        {"iss": providers.team_id, "iat": int(apns.time()), **claims},
        providers.apns_key_file.read_text(),
        algorithm="ES256",
        headers={"kid": providers.key_id},
    )
    answer = await apns(providers.token("apns"), authorization=f"bearer {text}")
    assert (answer.status, answer.json) == (403, {"reason": "InvalidProviderToken"})


@pytest.mark.parametrize("kid", ["OTHERKEY00", None])
async def test_a_provider_token_must_be_signed_by_the_named_key(
    apns: Sender, providers: Providers, kid: str | None
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    claims = {"iss": providers.team_id, "iat": int(apns.time())}
    text = jwt.encode(claims, stranger, algorithm="ES256", headers={"kid": kid or providers.key_id})
    answer = await apns(providers.token("apns"), authorization=f"bearer {text}")
    assert answer.json == {"reason": "InvalidProviderToken"}


@pytest.mark.parametrize("reason", APNS_REASONS)
async def test_every_documented_reason_can_be_scripted(
    apns: Sender, providers: Providers, reason: str
) -> None:
    token = providers.token("apns")
    providers.script("apns", reason=reason, token=token, times=1, retry_after=7)
    answer = await apns(token)
    assert answer.status == APNS_REASONS[reason]
    assert answer.json["reason"] == reason
    assert ("timestamp" in answer.json) == (answer.status == 410)
    assert answer.headers["retry-after"] == "7"
    assert (await apns(token)).status == 200


async def test_a_script_for_one_token_spares_the_others(apns: Sender, providers: Providers) -> None:
    bad, good = providers.token("apns"), providers.token("apns")
    providers.script("apns", reason="Unregistered", token=bad, since=1_700_000_000_000)
    assert (await apns(good)).status == 200
    for _ in range(2):
        assert (await apns(bad)).json == {"reason": "Unregistered", "timestamp": 1_700_000_000_000}


async def test_a_reset_stream_leaves_the_connection_usable(apns: Sender, providers: Providers) -> None:
    token = providers.token("apns")
    providers.script("apns", kind="reset", times=1)
    with pytest.raises(Broken, match="stream reset"):
        await apns(token)
    assert (await apns(token)).status == 200


async def test_goaway_names_the_last_stream_that_was_processed(apns: Sender, providers: Providers) -> None:
    token = providers.token("apns")
    await apns(token)
    providers.script("apns", kind="goaway", reason="Shutdown", times=1)
    with pytest.raises(Broken):
        await apns(token)
    await apns.client.lost.wait()
    goodbye = apns.client.goodbye
    assert goodbye is not None
    assert goodbye.last_stream_id == 1
    assert json.loads(goodbye.additional_data or b"") == {"reason": "Shutdown"}


async def test_goaway_can_leave_the_connection_open_and_silent(apns: Sender, providers: Providers) -> None:
    providers.script("apns", kind="goaway_open", times=1)
    with pytest.raises(Broken, match="goaway"):
        await apns(providers.token("apns"))
    assert not apns.client.lost.is_set()
    assert providers.apns_connections == 1


@pytest.mark.parametrize("kind", ["close", "lose"])
async def test_a_dropped_connection_answers_nothing(apns: Sender, providers: Providers, kind: str) -> None:
    providers.script("apns", kind=kind, times=1)
    with pytest.raises(Broken, match="connection lost"):
        await apns(providers.token("apns"))


async def test_a_hanging_push_does_not_hold_up_the_next(apns: Sender, providers: Providers) -> None:
    token = providers.token("apns")
    providers.script("apns", kind="hang", times=1)
    hanging = asyncio.ensure_future(apns(token))
    await providers.until(lambda recorded: len(recorded) == 1)
    assert (await apns(token)).status == 200
    assert not hanging.done()
    hanging.cancel()


async def test_a_delayed_answer_comes_later(apns: Sender, providers: Providers) -> None:
    providers.script("apns", kind="delay", delay=0.01, times=1)
    assert (await apns(providers.token("apns"))).status == 200


async def test_settings_carry_the_stream_limit(tmp_path: Path, time: Time) -> None:
    streams = Streams(limit=50, before_token=1)
    async with simulated(tmp_path, clock=time, streams=streams) as providers:
        client = await Client.connect(providers.apns_address, providers.ca_file)
        await client.settings.wait()
        await Sender(providers, time, client)(providers.token("apns"))
        await Sender(providers, time, client)(providers.token("apns"))
        assert client.limits == [1, 50]
        await client.close()


async def test_a_client_that_does_not_offer_http2_is_turned_away(providers: Providers) -> None:
    client = await Client.connect(providers.apns_address, providers.ca_file, protocols=("http/1.1",))
    await client.lost.wait()
    assert providers.apns_connections == 0


async def test_a_client_that_does_not_trust_the_authority_cannot_connect(providers: Providers) -> None:
    host, _, port = providers.apns_address.rpartition(":")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context())


async def test_many_error_bodies_fit_through_a_client_that_keeps_its_windows_open(
    apns: Sender, providers: Providers
) -> None:
    providers.script("apns", reason="TooManyRequests")
    answers = await asyncio.gather(*(apns(providers.token("apns")) for _ in range(300)))
    assert {answer.status for answer in answers} == {429}


async def test_closing_says_goodbye(tmp_path: Path, time: Time) -> None:
    async with simulated(tmp_path, clock=time) as providers:
        client = await Client.connect(providers.apns_address, providers.ca_file)
        await client.settings.wait()
    await client.lost.wait()
    assert client.goodbye is not None
