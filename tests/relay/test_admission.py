"""Who may push: anybody within limits, listed keys, or the holders of a pass."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crypto.keys import IdentityKey
from relay.admission import LONGEST_PASS_SECONDS, PASS_HEADER, PASS_TYPE
from relay.config import Admission, LimitSettings
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import PASS_KEY, PUBLIC_URL, SERVER_KEY, STRANGER_KEY, Answer, Relay, body_of, push

EMPTY = b'{"pushes":[]}'
NOW = 1_800_000_000
OTHER = IdentityKey.from_seed(bytes([9]) * 32)


def _pass(key: IdentityKey = PASS_KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    values = {"sub": SERVER_KEY.public.id, "aud": PUBLIC_URL, "exp": NOW + 3_600, "quota": 10} | claims
    values = {name: value for name, value in values.items() if value is not None}
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    return jwt.encode(values, private, algorithm="EdDSA", headers={"typ": PASS_TYPE, **(header or {})})


@pytest.fixture
async def passing(start_relay: StartRelay) -> Relay:
    return await start_relay(admission=Admission.PASS, pass_keys=(OTHER.public, PASS_KEY.public))


async def _post(relay: Relay, text: str, **changes: Any) -> Answer:
    return await relay.post(EMPTY, headers={PASS_HEADER: text}, **changes)


async def test_a_pass_admits_its_server_with_its_quota(passing: Relay) -> None:
    for _ in range(2):
        answer = await _post(passing, _pass())
        assert answer.status == 200
        assert answer.headers["RateLimit-Policy"] == '"server";q=10;w=60, "normal";q=8;w=60'


@pytest.mark.parametrize(
    "header",
    [
        {"kid": PASS_KEY.public.id},
        {"jku": "https://evil.example/keys"},
        {"jwk": STRANGER_KEY.public.jwk},
        {"x5u": "https://evil.example/cert"},
    ],
)
async def test_headers_that_point_to_other_keys_are_ignored(passing: Relay, header: dict[str, Any]) -> None:
    assert (await _post(passing, _pass(header=header))).status == 200
    forged = _pass(STRANGER_KEY, header=header)
    assert (await _post(passing, forged)).code == "pass_invalid"


def _symmetric() -> str:
    claims = {"sub": SERVER_KEY.public.id, "aud": PUBLIC_URL, "exp": NOW + 60}
    return jwt.encode(claims, PASS_KEY.public.raw, algorithm="HS256", headers={"typ": PASS_TYPE})


def _unsigned() -> str:
    claims = {"sub": SERVER_KEY.public.id, "aud": PUBLIC_URL, "exp": NOW + 60}
    return jwt.encode(claims, "", algorithm="none", headers={"typ": PASS_TYPE})


INVALID = [
    _pass(STRANGER_KEY),
    _pass(header={"typ": "JWT"}),
    _pass(header={"kid": "unknown"}),
    _pass(header={"crit": ["b64"], "b64": True}),
    _pass(sub=STRANGER_KEY.public.id),
    _pass(sub=None),
    _pass(aud="https://other.test"),
    _pass(aud=[PUBLIC_URL]),
    _pass(aud=None),
    _pass(exp=NOW),
    _pass(exp=NOW + LONGEST_PASS_SECONDS + 1),
    _pass(exp=None),
    _pass(nbf=NOW + 61),
    _pass(quota=0),
    _pass(quota=True),
    _pass(quota="many"),
    _symmetric(),
    _unsigned(),
    "",
    "a.b.c",
    "x" * 5_000,
    _pass()[:-4] + "AAAA",
]


@pytest.mark.parametrize("text", INVALID, ids=[str(number) for number in range(len(INVALID))])
async def test_a_faulty_pass_is_refused(passing: Relay, text: str) -> None:
    answer = await _post(passing, text)
    assert (answer.status, answer.code) == (403, "pass_invalid")
    assert text == "" or text not in answer.body.decode()


async def test_a_pass_that_was_verified_expires_all_the_same(passing: Relay) -> None:
    text = _pass()
    assert (await _post(passing, text)).status == 200
    passing.clock.advance(3_600_000)
    assert (await _post(passing, text)).code == "pass_invalid"


async def test_a_pass_does_not_admit_another_server(passing: Relay) -> None:
    text = _pass()
    assert (await _post(passing, text)).status == 200
    assert (await _post(passing, text, key=STRANGER_KEY)).code == "pass_invalid"


async def test_an_open_relay_limits_by_server_address_and_in_total(
    start_relay: StartRelay, providers: Providers
) -> None:
    limits = LimitSettings(open_server=2, open_address=3, open_total=4)
    relay = await start_relay(admission=Admission.OPEN, apns=(apns_app(providers),), limits=limits)

    def batch(key: IdentityKey, first: int, count: int) -> bytes:
        handle = relay.handle(providers.token("apns"), server=key.public.id)
        return body_of([push(handle, number) for number in range(first, first + count)])

    one = await relay.post(batch(SERVER_KEY, 1, 3))
    assert [outcome.reason for outcome in one.outcomes] == [None, None, "limited"]
    assert one.headers["RateLimit"] == (
        '"server";r=0;t=60, "address";r=1;t=60, "total";r=2;t=60, "normal";r=1;t=60'
    )
    two = await relay.post(batch(STRANGER_KEY, 4, 2), key=STRANGER_KEY)
    assert [outcome.reason for outcome in two.outcomes] == [None, "limited"]


async def test_an_open_relay_limits_requests_before_it_verifies_them(start_relay: StartRelay) -> None:
    relay = await start_relay(admission=Admission.OPEN, limits=LimitSettings(open_requests=1))
    assert (await relay.post(EMPTY, key=STRANGER_KEY)).status == 200
    answer = await relay.post(EMPTY, target_uri="https://other.test/")
    assert (answer.status, answer.code) == (429, "limited")
    assert "Signature" not in answer.headers
    assert '"requests";r=0;t=60' in answer.headers["RateLimit"]
