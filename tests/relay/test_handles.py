"""`POST /v1/handles`, and what else the relay tells anybody."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.encoding import b64u
from crypto.handle import open_handle
from crypto.httpsig import SignatureFault, verify_directory
from crypto.keys import EpochKey
from relay.config import Environment, LimitSettings
from relay.subscription import LONGEST_ENDPOINT
from relay.wire import DIRECTORY_PATH, HANDLES_PATH
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import (
    EPOCH,
    PROJECT,
    PUBLIC_URL,
    RELAY_KEY,
    SECOND_RELAY_KEY,
    SERVER_KEY,
    STRANGER_KEY,
    TOPIC,
    Answer,
    Relay,
    push,
)
from tests.relay.web import WEB, WEB_APP

POINT = (
    generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)
KEYS = {"p256dh": b64u(POINT), "auth": b64u(bytes(16))}
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/abc"
APNS = {
    "provider": "apns",
    "app": TOPIC,
    "environment": "production",
    "token": "AB" * 32,
    "server": SERVER_KEY.public.id,
    "request": b64u(bytes(16)),
}
FCM = {**APNS, "provider": "fcm", "app": PROJECT, "token": "instance:APA91b" + "x" * 130}
WEBPUSH = {
    **{name: value for name, value in APNS.items() if name != "token"},
    "provider": "webpush",
    "app": "web",
    "subscription": {"endpoint": ENDPOINT, "keys": KEYS, "expirationTime": None},
}


async def _ask(relay: Relay, document: Any, **headers: str) -> Answer:
    sent = {"Content-Type": "application/json", **headers}
    return await relay.send("POST", HANDLES_PATH, headers=sent, body=msgspec.json.encode(document))


@pytest.fixture
async def issuing(start_relay: StartRelay) -> Relay:
    return await start_relay(issue_unconfigured=True, limits=LimitSettings(handles=1000, token=1000))


NULLS = [{**FCM, "subscription": None, "request": None}, {**WEBPUSH, "token": None}]


@pytest.mark.parametrize(
    "wanted", [APNS, FCM, WEBPUSH, *NULLS], ids=["apns", "fcm", "webpush", "fcm-nulls", "webpush-null"]
)
async def test_a_handle_opens_to_what_was_asked_for_and_only_for_its_server(
    issuing: Relay, wanted: dict[str, Any]
) -> None:
    answer = await _ask(issuing, wanted)
    assert answer.status == 201
    document = answer.document
    assert document["expiresAt"] == issuing.clock() + 90 * 86_400_000
    claims = open_handle(
        document["handle"], epochs={EPOCH.number: EPOCH}, server=SERVER_KEY.public.id, now=issuing.clock()
    )
    assert (claims.provider, claims.app, claims.environment) == (
        wanted["provider"],
        wanted["app"],
        "production",
    )
    assert claims.token == (None if claims.provider == "webpush" else _as_kept(wanted["token"]))
    assert (claims.subscription is not None) == (claims.provider == "webpush")
    assert claims.issued_at == issuing.clock()


def _as_kept(token: str) -> str:
    return token.lower() if token == APNS["token"] else token


def _subscription(**changes: Any) -> dict[str, Any]:
    return {**WEBPUSH, "subscription": {"endpoint": ENDPOINT, "keys": KEYS, **changes}}


FAULTS: list[tuple[str, Any]] = [
    ("body", []),
    ("body", {**APNS, "more": 1}),
    ("provider", {**APNS, "provider": "sms"}),
    ("provider", {**APNS, "provider": ["apns"]}),
    ("provider", {}),
    ("app", {**APNS, "app": ""}),
    ("app", {**APNS, "app": 7}),
    ("app", {**APNS, "app": "a b"}),
    ("environment", {**APNS, "environment": "test"}),
    ("environment", {**FCM, "environment": "sandbox"}),
    ("environment", {**APNS, "environment": {}}),
    ("token", {**APNS, "token": "xyz" * 20}),
    ("token", {**APNS, "token": "../" * 12}),
    ("token", {**APNS, "token": None}),
    ("token", {**FCM, "token": "with space" * 10}),
    ("token", {**FCM, "token": "x" * 400}),
    ("token", {**WEBPUSH, "token": "x" * 64}),
    ("subscription", {**APNS, "subscription": {}}),
    ("subscription", {**WEBPUSH, "subscription": None}),
    ("server", {**APNS, "server": "short"}),
    ("server", {**APNS, "server": 5}),
    ("request", {**APNS, "request": "short"}),
    ("subscription.endpoint", _subscription(endpoint="http://updates.push.services.mozilla.com/x")),
    ("subscription.endpoint", _subscription(endpoint="https://updates.push.services.mozilla.com:8443/x")),
    ("subscription.endpoint", _subscription(endpoint="https://user@updates.push.services.mozilla.com/x")),
    (
        "subscription.endpoint",
        _subscription(endpoint="https://updates.push.services.mozilla.com.evil.example/"),
    ),
    (
        "subscription.endpoint",
        _subscription(endpoint="https://evil.example/updates.push.services.mozilla.com"),
    ),
    ("subscription.endpoint", _subscription(endpoint="https://push.apple.com.evil.example/")),
    ("subscription.endpoint", _subscription(endpoint="https://[::1]/x")),
    ("subscription.endpoint", _subscription(endpoint="https://[/x")),
    ("subscription.endpoint", _subscription(endpoint="https://updates.push.services.mozilla.com/\nx")),
    ("subscription.endpoint", _subscription(endpoint=ENDPOINT + "x" * 600)),
    ("subscription.endpoint", _subscription(endpoint=None)),
    ("subscription.keys", _subscription(keys={"p256dh": b64u(POINT)})),
    ("subscription.keys.p256dh", _subscription(keys={**KEYS, "p256dh": b64u(b"\4" + bytes(64))})),
    ("subscription.keys.p256dh", _subscription(keys={**KEYS, "p256dh": None})),
    ("subscription.keys.auth", _subscription(keys={**KEYS, "auth": b64u(bytes(15))})),
]


@pytest.mark.parametrize(("field", "document"), FAULTS, ids=[f"{f}-{n}" for n, (f, _) in enumerate(FAULTS)])
async def test_a_faulty_field_is_named_and_not_repeated(issuing: Relay, field: str, document: Any) -> None:
    answer = await _ask(issuing, document)
    assert (answer.status, answer.code, answer.document["field"]) == (400, "bad_request", field)
    for secret in ("xyzxyz", "evil.example", "../", "x" * 20):
        assert secret not in answer.body.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "localhost", "2130706433", "[::ffff:10.0.0.1]"])
async def test_even_an_open_relay_takes_no_address_for_a_push_service(
    start_relay: StartRelay, host: str
) -> None:
    relay = await start_relay(issue_unconfigured=True, webpush_hosts=("*",))
    answer = await _ask(relay, _subscription(endpoint=f"https://{host}/x"))
    assert answer.document["field"] == "subscription.endpoint"
    assert (await _ask(relay, _subscription(endpoint="https://push.example.org/x"))).status == 201


async def test_an_app_that_is_not_configured_gets_no_handle(start_relay: StartRelay) -> None:
    relay = await start_relay(webpush=(WEB_APP,))
    assert (await _ask(relay, APNS)).document["field"] == "app"
    assert (await _ask(relay, WEBPUSH)).document["field"] == "app"
    assert (await _ask(relay, {**WEBPUSH, "app": WEB})).status == 201


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"Content-Type": "text/plain"}, b"{}", "bad_request"),
        ({}, b"{", "bad_json"),
        ({}, b'{"app":"a","app":"a"}', "bad_json"),
        ({}, b" " * 20_000, "body_too_large"),
        ({"Content-Encoding": "gzip"}, b"{}", "encoding_unsupported"),
    ],
)
async def test_a_faulty_handle_request_is_refused(
    issuing: Relay, headers: dict[str, str], body: bytes, code: str
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    assert (await issuing.send("POST", HANDLES_PATH, headers=sent, body=body)).code == code


@pytest.mark.parametrize(("app", "status"), [("w" * 80, 201), ("w" * 100, 400)])
async def test_the_longest_endpoint_fits_a_handle_unless_the_apps_name_is_long_too(
    issuing: Relay, app: str, status: int
) -> None:
    wanted = {**_subscription(endpoint=ENDPOINT.ljust(LONGEST_ENDPOINT, "x")), "app": app}
    answer = await _ask(issuing, wanted)
    assert answer.status == status
    assert answer.document.get("field") == (None if status == 201 else "subscription.endpoint")


async def test_handle_requests_are_limited_by_address(start_relay: StartRelay) -> None:
    relay = await start_relay(issue_unconfigured=True, limits=LimitSettings(handles=1))
    first = await _ask(relay, APNS)
    assert first.headers["RateLimit"] == '"handles";r=0;t=60'
    second = await _ask(relay, APNS)
    assert (second.status, second.code, second.headers["Retry-After"]) == (429, "limited", "60")


async def test_a_proxys_word_counts_only_where_it_is_trusted(start_relay: StartRelay) -> None:
    import ipaddress  # noqa: PLC0415 - only here

    limits = LimitSettings(handles=1)
    plain = await start_relay(issue_unconfigured=True, limits=limits)
    statuses = [(await _ask(plain, APNS, **{"X-Forwarded-For": f"192.0.2.{n}"})).status for n in range(2)]
    assert statuses == [201, 429]
    behind = await start_relay(
        issue_unconfigured=True, limits=limits, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),)
    )
    hops = [
        "192.0.2.1",
        "192.0.2.2",
        "6.6.6.6, 192.0.2.1",
        "2001:db8::1",
        "2001:db8::2",
        "192.0.2.9, 127.0.0.9",
    ]
    statuses = [(await _ask(behind, APNS, **{"X-Forwarded-For": hop})).status for hop in hops]
    assert statuses == [201, 201, 429, 201, 429, 201]


async def test_the_highest_epoch_seals_all_open_and_one_taken_out_revokes(start_relay: StartRelay) -> None:
    older, newer = EpochKey(3, bytes([3]) * 32), EpochKey(11, bytes([11]) * 32)
    before = await start_relay(epochs={3: older}, issue_unconfigured=True)
    old = (await _ask(before, APNS)).document["handle"]
    both = await start_relay(epochs={11: newer, 3: older}, issue_unconfigured=True)
    new = (await _ask(both, APNS)).document["handle"]
    open_handle(new, epochs={11: newer}, server=SERVER_KEY.public.id, now=both.clock())
    reasons = [outcome.reason for outcome in await both.push(push(old, 1), push(new, 2))]
    assert reasons == ["not_configured", "not_configured"]  # both opened
    after = await start_relay(epochs={11: newer})
    reasons = [outcome.reason for outcome in await after.push(push(old, 3), push(new, 4))]
    assert reasons == ["handle_invalid", "not_configured"]


async def test_the_directory_is_signed_by_every_key_in_it(start_relay: StartRelay) -> None:
    relay = await start_relay(identities=(RELAY_KEY, SECOND_RELAY_KEY))
    answer = await relay.send("GET", DIRECTORY_PATH)
    both = [RELAY_KEY.public, SECOND_RELAY_KEY.public]
    for trusted in both:
        listed = verify_directory(
            trusted=[trusted],
            status=200,
            headers=answer.headers.items(),
            body=answer.body,
            target_uri=PUBLIC_URL + DIRECTORY_PATH,
            now=relay.now,
        )
        assert listed == both
    with pytest.raises(SignatureFault):
        verify_directory(
            trusted=[STRANGER_KEY.public],
            status=200,
            headers=answer.headers.items(),
            body=answer.body,
            target_uri=PUBLIC_URL + DIRECTORY_PATH,
            now=relay.now,
        )
    assert answer.headers["Content-Type"] == "application/http-message-signatures-directory+json"


async def test_the_directory_stays_fresh(relay: Relay) -> None:
    first = await relay.send("GET", DIRECTORY_PATH)
    relay.clock.advance(29_000)
    assert (await relay.send("GET", DIRECTORY_PATH)).headers["Signature"] == first.headers["Signature"]
    relay.clock.advance(2_000)
    assert (await relay.send("GET", DIRECTORY_PATH)).headers["Signature"] != first.headers["Signature"]


async def test_the_apps_are_listed(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(
        apns=(apns_app(providers), apns_app(providers, environment=Environment.SANDBOX)),
        fcm=(fcm_project(providers),),
    )
    assert (await relay.send("GET", "/v1/apps")).document == [
        {"provider": "apns", "app": TOPIC, "environment": "production"},
        {"provider": "apns", "app": TOPIC, "environment": "sandbox"},
        {"provider": "fcm", "app": PROJECT, "environment": "production"},
    ]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/apps", DIRECTORY_PATH, "/nothing"])
async def test_every_answer_tells_the_limits_and_is_not_stored(relay: Relay, path: str) -> None:
    answer = await relay.send("GET", path)
    assert answer.headers["RateLimit-Policy"] == '"handles";q=60;w=60'
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_process_that_shuts_down_is_not_ready(relay: Relay) -> None:
    await relay.app.shutdown()
    answer = await relay.send("GET", "/readyz")
    assert (answer.status, answer.document["status"]) == (503, "draining")
    assert (await relay.send("GET", "/healthz")).status == 200


async def test_a_mounted_relay_works_under_its_public_url(start_relay: StartRelay) -> None:
    relay = await start_relay(mount="/base", issue_unconfigured=True)
    [outcome] = await relay.push(push(relay.handle("ab" * 32)))
    assert outcome.reason == "not_configured"
    assert (await relay.send("GET", "/nothing")).code == "not_found"
    answer = await relay.send("PUT", "/v1/push")
    assert (answer.code, answer.headers["Allow"]) == ("method_not_allowed", "POST")
