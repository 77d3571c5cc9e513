"""Every code of PROTOCOL.md, section 4, from a real request, and which of two faults is the one that is told."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from crypto.encoding import b64u
from crypto.httpsig import STATUS_ANSWER, SignatureFault
from relay.config import Admission, LimitSettings
from relay.wire import ERROR_STATUS, MAX_BYTES, PUSH_PATH, STATUS_PATH
from tests.harness.clock import SettableClock
from tests.relay.conftest import StartRelay
from tests.relay.running import PASS_KEY, SERVER_KEY, STRANGER_KEY, Answer, Relay, body_of, config, push

EMPTY = b'{"pushes":[]}'
Fault = Callable[[Relay], Awaitable[Answer]]


def _stripped(*names: str) -> Fault:
    async def send(relay: Relay) -> Answer:
        headers = {name: value for name, value in relay.sign(EMPTY).items() if name not in names}
        return await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)

    return send


def _posting(body: bytes = EMPTY, *, path: str = PUSH_PATH, headers: Any = None, **changes: Any) -> Fault:
    async def send(relay: Relay) -> Answer:
        return await relay.post(body, path=path, headers=headers, **changes)

    return send


def _created(seconds: int, lifetime: int = 60) -> Fault:
    async def send(relay: Relay) -> Answer:
        return await relay.post(EMPTY, created=relay.now + seconds, lifetime=lifetime)

    return send


async def _replayed(relay: Relay) -> Answer:
    headers = relay.sign(EMPTY)
    first = await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)
    assert first.status == 200
    return await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)


async def _two_signatures(relay: Relay) -> Answer:
    headers = relay.sign(EMPTY)
    headers["Signature"] += ", other=:AAAA:"
    return await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)


async def _altered_body(relay: Relay) -> Answer:
    return await relay.send("POST", PUSH_PATH, headers=relay.sign(EMPTY), body=b'{"pushes":[] }')


async def _altered_signature(relay: Relay) -> Answer:
    headers = relay.sign(EMPTY) | {"Content-Type": "application/json; charset=utf-8"}
    return await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)


async def _draining(relay: Relay) -> Answer:
    await relay.app.shutdown()
    return await relay.post(EMPTY)


async def _starting(relay: Relay) -> Answer:
    return await relay.post(EMPTY, created=relay.now - 1)


async def _get(relay: Relay) -> Answer:
    return await relay.send("GET", PUSH_PATH)


async def _nowhere(relay: Relay) -> Answer:
    return await relay.send("GET", "/v1/nothing")


OTHER_KEY = {"Hushpost-Key": b64u(PASS_KEY.public.raw)}
PUSHED = body_of([push("handle", number) for number in range(501)])

UNSIGNED: list[tuple[str, Fault]] = [
    ("signature_missing", _stripped("Signature", "Signature-Input")),
    ("signature_missing", _stripped("Signature")),
    ("signature_missing", _stripped("Signature-Input")),
    ("key_mismatch", _stripped("Hushpost-Key")),
    ("key_mismatch", _posting(headers=OTHER_KEY)),
    ("key_mismatch", _posting(headers={"Hushpost-Key": "not a key"})),
    ("signature_profile", _two_signatures),
    ("signature_profile", _posting(lifetime=61)),
    ("signature_profile", _posting(nonce=bytes(15))),
    ("signature_invalid", _posting(target_uri="https://other.test/v1/push")),
    ("signature_invalid", _altered_signature),
    ("key_not_admitted", _posting(key=STRANGER_KEY)),
    ("encoding_unsupported", _posting(headers={"Content-Encoding": "gzip"})),
    ("encoding_unsupported", _posting(headers={"Content-Encoding": "identity"})),
    ("not_found", _nowhere),
    ("method_not_allowed", _get),
]

SIGNED: list[tuple[str, Fault]] = [
    ("created_skew", _created(61)),
    ("created_skew", _created(-61)),
    ("signature_expired", _created(-2, lifetime=1)),
    ("nonce_replayed", _replayed),
    ("starting", _starting),
    ("draining", _draining),
    ("body_too_large", _posting(b" " * (MAX_BYTES + 1))),
    ("digest_mismatch", _altered_body),
    ("bad_request", _posting(content_type="text/plain")),
    ("bad_request", _posting(path=PUSH_PATH + "?a=b")),
    ("bad_request", _posting(b"[]")),
    ("bad_request", _posting(b'{"pushes":{}}')),
    ("bad_request", _posting(b"{}")),
    ("bad_request", _posting(b'{"pushes":[],"more":1}')),
    ("bad_json", _posting(b"{")),
    ("bad_json", _posting(b"")),
    ("bad_json", _posting(b'{"pushes":[],"pushes":[]}')),
    ("bad_json", _posting(b'{"pushes":[{"id":"a","id" :"b"}]}')),
    ("bad_json", _posting(b'{"pushes":[NaN]}')),
    ("bad_json", _posting('{"pushes":[]}'.encode("utf-16"))),
    ("bad_json", _posting(b'{"pushes":' + b"[" * 100_000)),
    ("too_many_pushes", _posting(PUSHED)),
]


def _names(table: list[tuple[str, Fault]]) -> list[str]:
    return [f"{code}-{index}" for index, (code, _) in enumerate(table)]


def _check_form(answer: Answer, code: str) -> None:
    assert answer.code == code, answer.body
    assert answer.status == ERROR_STATUS[code] == answer.document["status"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.document["detail"]
    assert answer.document["title"]
    assert "RateLimit" in answer.headers
    assert "RateLimit-Policy" in answer.headers
    assert ("Retry-After" in answer.headers) == (answer.status in {429, 503})


@pytest.mark.parametrize(("code", "fault"), UNSIGNED, ids=_names(UNSIGNED))
async def test_what_is_refused_before_verification_is_told_unsigned(
    relay: Relay, code: str, fault: Fault
) -> None:
    answer = await fault(relay)
    _check_form(answer, code)
    assert "Signature" not in answer.headers


@pytest.mark.parametrize(("code", "fault"), SIGNED, ids=_names(SIGNED))
async def test_what_is_refused_after_verification_is_signed(relay: Relay, code: str, fault: Fault) -> None:
    answer = await fault(relay)
    _check_form(answer, code)
    relay.verify(answer)


async def test_a_denied_key_is_refused_in_every_mode(start_relay: StartRelay) -> None:
    for admission in Admission:
        relay = await start_relay(
            admission=admission, denied=frozenset({SERVER_KEY.public.id}), pass_keys=(PASS_KEY.public,)
        )
        _check_form(await relay.post(EMPTY), "key_denied")


async def test_a_missing_pass_is_an_invalid_pass(start_relay: StartRelay) -> None:
    relay = await start_relay(admission=Admission.PASS, pass_keys=(PASS_KEY.public,))
    _check_form(await relay.post(EMPTY), "pass_invalid")


async def test_a_full_nonce_store_says_when_it_will_have_room(start_relay: StartRelay) -> None:
    relay = await start_relay(limits=LimitSettings(nonces=1))
    assert (await relay.post(EMPTY)).status == 200
    answer = await relay.post(EMPTY)
    _check_form(answer, "nonce_store_full")
    relay.verify(answer)
    assert answer.headers["Retry-After"] == "61"
    relay.clock.advance(61_000)
    assert (await relay.post(EMPTY)).status == 200


class FaultyClock(SettableClock):
    """Fails once, after `good` more looks, where that is set."""

    good: int | None = None

    def __call__(self) -> int:
        if self.good == 0:
            self.good = None
            raise RuntimeError("a secret")
        if self.good is not None:
            self.good -= 1
        return super().__call__()


@pytest.mark.parametrize("good", [1, 2], ids=["at the nonce", "at the limits"])
async def test_our_own_fault_after_verification_is_a_signed_500_without_a_trace(
    clock: SettableClock, good: int
) -> None:
    faulty = FaultyClock(clock.now)
    async with ClientSession() as session:
        relay = await Relay.start(config(), clock=faulty, session=session)
        body = body_of([push("handle")])
        headers = relay.sign(body)
        faulty.good = good
        answer = await relay.send("POST", PUSH_PATH, headers=headers, body=body)
        _check_form(answer, "internal")
        assert b"secret" not in answer.body
        relay.verify(answer)
        await relay.stop()


ORDER: list[tuple[str, dict[str, Any]]] = [
    ("encoding_unsupported", {"headers": {"Content-Encoding": "gzip"}}),
    ("signature_profile", {"lifetime": 61}),
    ("key_mismatch", {"headers": OTHER_KEY}),
    ("key_not_admitted", {"key": STRANGER_KEY}),
    ("signature_invalid", {"target_uri": "https://other.test/v1/push"}),
    ("created_skew", {"created": 1_800_000_100}),
    ("starting", {"created": 1_799_999_999}),
    ("body_too_large", {"body": b" " * (MAX_BYTES + 1)}),
    ("bad_request", {"content_type": "text/plain"}),
    ("bad_json", {"body": b"{"}),
    ("too_many_pushes", {"body": PUSHED}),
]


@pytest.mark.parametrize("first", range(len(ORDER) - 1))
async def test_of_two_faults_the_earlier_in_the_order_is_told(relay: Relay, first: int) -> None:
    code, fault = ORDER[first]
    for _, other in ORDER[first + 1 :]:
        changes = {**other, **fault, "headers": {**other.get("headers", {}), **fault.get("headers", {})}}
        answer = await relay.post(changes.pop("body", EMPTY), **changes)
        assert answer.code == code


async def test_a_refused_request_leaves_its_nonce_unused_only_before_verification(relay: Relay) -> None:
    nonce = bytes(16)
    assert (
        await relay.post(EMPTY, nonce=nonce, target_uri="https://other.test/")
    ).code == "signature_invalid"
    assert (await relay.post(b"{", nonce=nonce)).code == "bad_json"
    assert (await relay.post(EMPTY, nonce=nonce)).code == "nonce_replayed"


async def test_a_nonce_belongs_to_its_server(start_relay: StartRelay) -> None:
    relay = await start_relay(allowlist=frozenset({SERVER_KEY.public.id, STRANGER_KEY.public.id}))
    for key in (SERVER_KEY, STRANGER_KEY):
        assert (await relay.post(EMPTY, nonce=bytes(16), key=key)).status == 200


async def test_a_nonce_is_remembered_until_its_request_expires(relay: Relay) -> None:
    headers = relay.sign(EMPTY)
    assert (await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)).status == 200
    relay.clock.advance(60_000)
    assert (await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)).code == "nonce_replayed"
    relay.clock.advance(1_000)
    assert (await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)).code == "created_skew"


async def test_an_answer_is_bound_to_its_request(relay: Relay) -> None:
    first, second = await relay.post(EMPTY), await relay.post(EMPTY)
    relay.verify(first)
    swapped = Answer(first.status, first.headers, first.body, second.sent)
    with pytest.raises(SignatureFault):
        relay.verify(swapped)


async def test_the_status_tells_a_server_its_limits_signed(relay: Relay) -> None:
    answer = await relay.status()
    relay.verify(answer, path=STATUS_PATH, profile=STATUS_ANSWER)
    document = answer.document
    assert document["server"] == SERVER_KEY.public.id
    assert document["apps"] == []
    resets_at = relay.clock() + 60_000
    assert document["limits"] == [
        {"name": "server", "limit": 6000, "remaining": 6000, "resetsAt": resets_at},
        {"name": "normal", "limit": 4800, "remaining": 4800, "resetsAt": resets_at},
    ]


async def test_the_status_refuses_replay_and_query_signed(relay: Relay) -> None:
    headers = (await relay.status()).sent
    replayed = await relay.send("GET", STATUS_PATH, headers=headers)
    queried = await relay.status(STATUS_PATH + "?a=b")
    for answer, code in ((replayed, "nonce_replayed"), (queried, "bad_request")):
        assert answer.code == code
        relay.verify(answer, path=STATUS_PATH, profile=STATUS_ANSWER)
