"""Refusals that only the relay's own state, or a clock that can be set, brings about.

All others are cases of the conformance kit, put to our relay in `tests/relay/conformance`.
"""

import pytest
from aiohttp import ClientSession

from crypto.httpsig import STATUS_ANSWER
from relay.config import Admission, LimitSettings
from relay.wire import ERROR_STATUS, PUSH_PATH, STATUS_PATH
from tests.harness.clock import SettableClock
from tests.relay.conftest import StartRelay
from tests.relay.running import PASS_KEY, SERVER_KEY, STRANGER_KEY, Answer, Relay, body_of, config, push

EMPTY = b'{"pushes":[]}'


def _check_form(answer: Answer, code: str) -> None:
    assert answer.code == code, answer.body
    assert answer.status == ERROR_STATUS[code] == answer.document["status"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.document["detail"]
    assert answer.document["title"]
    assert "RateLimit" in answer.headers
    assert "RateLimit-Policy" in answer.headers
    assert ("Retry-After" in answer.headers) == (answer.status in {429, 503})


@pytest.mark.parametrize("seconds", [-61, 61])
async def test_created_may_be_a_minute_away_and_no_more(relay: Relay, seconds: int) -> None:
    answer = await relay.post(EMPTY, created=relay.now + seconds)
    _check_form(answer, "created_skew")
    relay.verify(answer)
    almost = await relay.post(EMPTY, created=relay.now + seconds - seconds // 60)
    assert almost.status == 200 or almost.code == "starting"


async def test_a_signature_is_good_in_the_second_that_it_expires(relay: Relay) -> None:
    headers = relay.sign(EMPTY, lifetime=1)
    relay.clock.advance(1_000)
    assert (await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)).status == 200
    headers = relay.sign(EMPTY, lifetime=1)
    relay.clock.advance(2_000)
    answer = await relay.send("POST", PUSH_PATH, headers=headers, body=EMPTY)
    _check_form(answer, "signature_expired")
    relay.verify(answer)


async def test_what_was_signed_before_the_process_started_may_be_a_replay(relay: Relay) -> None:
    answer = await relay.post(EMPTY, created=relay.now - 1)
    _check_form(answer, "starting")
    relay.verify(answer)


async def test_a_process_that_ends_takes_nothing_more(relay: Relay) -> None:
    await relay.app.shutdown()
    answer = await relay.post(EMPTY)
    _check_form(answer, "draining")
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
