"""The simulated Web Push service over real TLS: what it accepts and how it answers, whom it refuses, what it does wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from crypto.encoding import b64u, unb64u
from crypto.webpush import LARGEST_PLAINTEXT, SubscriptionKey, decrypt, public_point
from simulator.providers import Providers
from simulator.webpush_rules import HOST
from tests.simulator.clients import NOW, Time
from tests.simulator.webpush_client import DAY, Connect, PushSender, error, token_of

STRANGER = ec.generate_private_key(ec.SECP256R1())


async def test_a_push_in_order_is_created_and_reaches_the_browser_as_it_was_sent(
    web: PushSender, subscription: dict[str, Any], key: SubscriptionKey, connect: Connect
) -> None:
    answer = await web.push(subscription, b"sealed", Urgency="high", Topic="abc-_09")
    assert (answer.status, answer.headers["TTL"]) == (201, "60")
    assert answer.headers["Location"].startswith(f"https://{HOST}/m/")
    async with connect() as browser:
        event = await browser.event()
    assert (event["provider"], event["priority"]) == ("webpush", "high")
    assert decrypt(unb64u(event["payload"]["body"]), key=key) == b"sealed"


async def test_everything_is_recorded_as_it_came(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    await web.push(subscription, b"one", TTL="x")
    await web.push(subscription, b"two", Topic="t")
    refused, accepted = providers.recorded
    assert (refused.status, refused.reason) == (400, "invalid_ttl")
    assert (accepted.provider, accepted.token, accepted.status) == ("webpush", token_of(subscription), 201)
    assert accepted.payload == web.encrypted(subscription, b"two")
    assert (accepted.header("topic"), accepted.header(":path")) == ("t", f"/wp/{token_of(subscription)}")
    assert accepted.show()["payload"] == b64u(accepted.payload)


async def test_a_push_without_a_body_is_a_push(
    web: PushSender, subscription: dict[str, Any], connect: Connect
) -> None:
    async with connect() as browser:
        assert (await web.push(subscription, b"")).status == 201
        assert await browser.opened() is None


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"TTL": None}, 400, "missing_header"),
        ({"TTL": "-1"}, 400, "invalid_ttl"),
        ({"TTL": "1.5"}, 400, "invalid_ttl"),
        ({"TTL": ""}, 400, "invalid_ttl"),
        ({"Topic": "a" * 33}, 400, "invalid_topic"),
        ({"Topic": "a+b"}, 400, "invalid_topic"),
        ({"Urgency": "urgent"}, 400, "invalid_urgency"),
        ({"Urgency": "High"}, 400, "invalid_urgency"),
        ({"Content_Encoding": None}, 400, "missing_crypto_keys"),
        ({"Content_Encoding": "aesgcm"}, 400, "missing_crypto_keys"),
        ({"Host": "push.example.org"}, 421, "misdirected"),
        ({"Host": f"{HOST}:8443"}, 421, "misdirected"),
    ],
)
async def test_a_faulty_header_is_refused(
    web: PushSender, subscription: dict[str, Any], changed: dict[str, Any], status: int, reason: str
) -> None:
    answer = await web.push(subscription, **changed)
    assert (answer.status, error(answer.body)) == (status, reason)


async def test_a_header_that_came_twice_is_refused(web: PushSender, subscription: dict[str, Any]) -> None:
    answer = await web.push(subscription, again="TTL")
    assert (answer.status, error(answer.body)) == (400, "duplicate_header")


async def test_the_port_in_the_hosts_name_may_be_said(web: PushSender, subscription: dict[str, Any]) -> None:
    assert (await web.push(subscription, Host=f"{HOST}:443")).status == 201


async def test_a_long_ttl_is_shortened_and_that_is_said(
    web: PushSender, subscription: dict[str, Any]
) -> None:
    answer = await web.push(subscription, TTL="9999999999")
    assert (answer.status, answer.headers["TTL"]) == (201, "2419200")


def bend(body: bytes, at: int, value: bytes) -> bytes:
    return body[:at] + value + body[at + len(value) :]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda _: b"x", id="nothing like it"),
        pytest.param(lambda body: body[: 86 + 16], id="no room for a record"),
        pytest.param(lambda body: bend(body, 20, b"\x00"), id="no key"),
        pytest.param(lambda body: bend(body, 22, bytes(64)), id="not on the curve"),
        pytest.param(lambda body: bend(body[: 86 + 17], 16, (17).to_bytes(4)), id="record size too small"),
        pytest.param(lambda body: bend(body, 16, (21).to_bytes(4)), id="several records"),
    ],
)
async def test_a_body_of_another_form_is_refused(
    web: PushSender, subscription: dict[str, Any], wrong: Callable[[bytes], bytes]
) -> None:
    body = wrong(web.encrypted(subscription, b"hello"))
    answer = await web.send(subscription["endpoint"], body)
    assert (answer.status, error(answer.body)) == (400, "invalid_crypto_keys")


async def test_an_encoding_of_nothing_is_refused(web: PushSender, subscription: dict[str, Any]) -> None:
    answer = await web.push(subscription, b"", Content_Encoding="aes128gcm")
    assert (answer.status, error(answer.body)) == (400, "invalid_crypto_keys")


async def test_a_body_may_have_4096_bytes_and_no_more(web: PushSender, subscription: dict[str, Any]) -> None:
    largest = web.encrypted(subscription, bytes(LARGEST_PLAINTEXT))
    assert len(largest) == 4096
    assert (await web.send(subscription["endpoint"], largest)).status == 201
    answer = await web.send(subscription["endpoint"], largest + b"x")
    assert (answer.status, error(answer.body)) == (413, "too_large")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://push.example.org"},
        {"aud": f"https://{HOST}/"},
        {"aud": None},
        {"exp": int(NOW)},
        {"exp": int(NOW) + DAY + 1},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"sub": "http://example.org"},
        {"sub": "mailto:"},
        {"sub": "https://["},
        {"signer": STRANGER},
        {"k": ""},
        {"k": b64u(public_point(STRANGER))},
    ],
)
async def test_a_sender_who_is_not_who_he_should_be_is_forbidden(
    web: PushSender, subscription: dict[str, Any], claims: dict[str, Any]
) -> None:
    answer = await web.push(subscription, Authorization=web.vapid(**claims))
    assert (answer.status, error(answer.body)) == (403, "authorization_invalid")


@pytest.mark.parametrize("claims", [{"exp": int(NOW) + DAY}, {"sub": "https://example.org/contact"}])
async def test_what_the_standard_allows_a_sender_is_accepted(
    web: PushSender, subscription: dict[str, Any], claims: dict[str, Any]
) -> None:
    assert (await web.push(subscription, Authorization=web.vapid(**claims))).status == 201


@pytest.mark.parametrize("authorization", [None, "Bearer abc", "WebPush abc"])
async def test_a_sender_who_does_not_say_who_he_is_is_asked_to(
    web: PushSender, subscription: dict[str, Any], authorization: str | None
) -> None:
    answer = await web.push(subscription, Authorization=authorization)
    assert (answer.status, error(answer.body)) == (401, "authorization_missing")


@pytest.mark.parametrize("parameters", ["", "t=a", "t=a, t=b, k={k}", "t=a k={k}", "t={t}, k={k}, t={t}"])
async def test_parameters_of_another_form_are_forbidden(
    web: PushSender, subscription: dict[str, Any], parameters: str
) -> None:
    token = web.vapid().partition("t=")[2].partition(",")[0]
    authorization = "vapid " + parameters.format(k=web.server_key, t=token)
    assert (await web.push(subscription, Authorization=authorization)).status == 403


async def test_parameters_may_be_quoted_and_in_any_order(
    web: PushSender, subscription: dict[str, Any]
) -> None:
    token = web.vapid().partition("t=")[2].partition(",")[0]
    authorization = f'Vapid k="{web.server_key}",t="{token}"'
    assert (await web.push(subscription, Authorization=authorization)).status == 201


async def test_another_server_with_a_key_of_its_own_may_not_push_to_it(
    web: PushSender, stranger: PushSender, subscription: dict[str, Any]
) -> None:
    answer = await stranger.push(subscription)
    assert (answer.status, error(answer.body)) == (403, "authorization_invalid")
    assert (await web.push(subscription)).status == 201


async def test_a_subscription_that_never_was_is_not_found_and_one_that_ended_is_gone(
    providers: Providers, web: PushSender, subscription: dict[str, Any]
) -> None:
    never = {**subscription, "endpoint": f"https://{HOST}/wp/never"}
    assert (await web.push(never)).status == 404
    assert (await web.send(f"https://{HOST}/wp/{providers.token('fcm')}", b"")).status == 404
    providers.uninstall(token_of(subscription))
    answer = await web.push(subscription)
    assert (answer.status, error(answer.body)) == (410, "unsubscribed")


async def test_a_newer_push_of_a_topic_takes_the_place_of_one_that_waits(
    web: PushSender, subscription: dict[str, Any], connect: Connect
) -> None:
    for text, topic in ((b"1", "a"), (b"2", "b"), (b"3", "a"), (b"4", None), (b"5", None)):
        await web.push(subscription, text, Topic=topic)
    async with connect() as browser:
        assert [await browser.opened() for _ in range(4)] == [b"2", b"3", b"4", b"5"]


async def test_a_push_waits_for_its_browser_no_longer_than_its_ttl(
    web: PushSender, subscription: dict[str, Any], connect: Connect, time: Time
) -> None:
    await web.push(subscription, b"now or never", TTL="0")
    await web.push(subscription, b"short", TTL="10")
    await web.push(subscription, b"long", TTL="1000")
    time.now += 11
    async with connect() as browser:
        assert await browser.opened() == b"long"
        await web.push(subscription, b"at once", TTL="0", Authorization=web.vapid())
        assert await browser.opened() == b"at once"
