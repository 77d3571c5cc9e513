"""The provider token: one for a period of forty minutes, whoever makes it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from relay.config import ApnsApp, Environment
from relay.providers.apns_token import ProviderToken

KEY = ec.generate_private_key(ec.SECP256R1())
MINUTE = 60
TIMES = st.floats(min_value=1_600_000_000, max_value=4_000_000_000)


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def app(key: str | None = None) -> ApnsApp:
    return ApnsApp(
        topic="org.hushpost.app",
        environment=Environment.PRODUCTION,
        key_id="KEYID00001",
        team_id="TEAMID0001",
        key=pem(KEY) if key is None else key,
        host="api.push.apple.com",
        port=443,
        roots=None,
    )


def header_at(now: float) -> bytes:
    return ProviderToken(app(), lambda: now).header()


def issued_at(header: bytes) -> int:
    claims = jwt.decode(
        header.removeprefix(b"bearer "), KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False}
    )
    assert claims.keys() == {"iss", "iat"}
    assert claims["iss"] == "TEAMID0001"
    return int(claims["iat"])


def test_it_is_a_token_as_apple_wants_it() -> None:
    header = header_at(1_800_000_000)
    assert jwt.get_unverified_header(header.removeprefix(b"bearer ")) == {
        "alg": "ES256",
        "kid": "KEYID00001",
        "typ": "JWT",
    }
    assert isinstance(issued_at(header), int)


@given(TIMES)
def test_it_is_never_so_young_or_so_old_that_a_clock_ten_minutes_off_would_matter(now: float) -> None:
    age = now - issued_at(header_at(now))
    assert 10 * MINUTE <= age <= 50 * MINUTE


@given(TIMES, st.floats(min_value=0, max_value=20 * MINUTE))
def test_no_more_than_one_is_made_in_twenty_minutes(now: float, later: float) -> None:
    first, second = issued_at(header_at(now)), issued_at(header_at(now + later))
    assert second - first in {0, 40 * MINUTE}
    if first != second:
        assert issued_at(header_at(now + later + 20 * MINUTE)) == second


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "key.p8"
    file.write_text(pem(KEY))
    program = (
        "import sys; from pathlib import Path; import tests.relay.test_apns_token as test;"
        "from relay.providers.apns_token import ProviderToken;"
        "app = test.app(Path(sys.argv[1]).read_text());"
        "sys.stdout.buffer.write(ProviderToken(app, lambda: 1_800_000_400.5).header())"
    )
    root = Path(__file__).parents[2]
    made = subprocess.run(
        [sys.executable, "-c", program, str(file)], cwd=root, capture_output=True, check=True, timeout=60
    )
    assert made.stdout == header_at(1_800_000_000)


def test_it_is_signed_once_for_a_period_and_again_after_the_clock_was_put_back() -> None:
    now = [1_800_000_000.0]
    token = ProviderToken(app(), lambda: now[0])
    first = token.header()
    now[0] += 1
    assert token.header() is first
    now[0] += 40 * MINUTE
    assert token.header() != first
    now[0] -= 40 * MINUTE
    assert token.header() == first


def test_its_age_is_that_of_the_token_in_use() -> None:
    now = 1_800_000_000.0
    token = ProviderToken(app(), lambda: now)
    header = token.header()
    assert token.age == now - issued_at(header)


@pytest.mark.parametrize(
    "make",
    [
        lambda: "no key",
        lambda: pem(ec.generate_private_key(ec.SECP384R1())),
        lambda: pem(ed25519.Ed25519PrivateKey.generate()),
        lambda: KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    ],
)
def test_only_a_private_key_on_p256_is_usable(make: Callable[[], str]) -> None:
    assert not ProviderToken(app(make()), lambda: 0.0).usable
    assert ProviderToken(app(), lambda: 0.0).usable
