"""The relay's VAPID key: its forms, and tokens that another implementation verifies."""

import secrets
import subprocess

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from crypto.vapid import VapidKey, is_subject
from tests.harness.stored import stored

# Any pair of P-256 does; this one's halves are printed in an RFC.
RFC = stored("rfc8291_web_push")
KEY = VapidKey(unb64u(RFC["as_private"]))
TOKEN = KEY.token(
    audience="https://push.example.net", expires=1_453_523_768, subject="mailto:push@example.com"
)


def as_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def test_the_public_half_is_what_browsers_subscribe_with() -> None:
    assert KEY.application_server_key == RFC["as_public"]


def test_pyjwt_verifies_a_token_and_reads_what_was_said() -> None:
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64u(RFC["as_public"]))
    said = jwt.decode(
        TOKEN,
        public,
        algorithms=["ES256"],
        audience="https://push.example.net",
        options={"verify_exp": False},
    )
    assert said == {
        "aud": "https://push.example.net",
        "exp": 1_453_523_768,
        "sub": "mailto:push@example.com",
    }
    assert jwt.get_unverified_header(TOKEN) == {"typ": "JWT", "alg": "ES256"}


def test_the_same_is_said_in_the_same_bytes() -> None:
    again = VapidKey(KEY.scalar).token(
        audience="https://push.example.net", expires=1_453_523_768, subject="mailto:push@example.com"
    )
    assert again == TOKEN


def test_a_key_comes_back_from_its_text_and_from_its_scalar() -> None:
    made = VapidKey.generate(secrets.token_bytes)
    assert VapidKey.from_text(made.text) == made
    assert VapidKey.from_text(f"\n{made.text}\n") == made
    assert VapidKey.from_text(b64u(made.scalar)) == made


def test_the_older_form_of_pem_is_read() -> None:
    key = ec.derive_private_key(int.from_bytes(KEY.scalar), ec.SECP256R1())
    assert VapidKey.from_text(as_pem(key, PrivateFormat.TraditionalOpenSSL)) == KEY


def test_openssl_reads_the_text() -> None:
    command = ["openssl", "pkey", "-text_pub", "-noout"]
    shown = subprocess.run(command, input=KEY.text, capture_output=True, text=True, check=True)
    assert "P-256" in shown.stdout


WRONG = [
    "",
    "secret-canary",
    b64u(bytes(31)),
    b64u(bytes(32)),  # no scalar
    b64u(b"\xff" * 32),
    "-----BEGIN PRIVATE KEY-----\nsecret-canary\n-----END PRIVATE KEY-----",
    as_pem(ec.generate_private_key(ec.SECP384R1()), PrivateFormat.PKCS8),
    as_pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8),
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    .decode(),
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_is_no_such_key_is_malformed_and_not_repeated(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        VapidKey.from_text(text)
    assert "canary" not in str(caught.value)


def test_no_secret_shows_in_a_repr() -> None:
    assert repr(KEY) == "VapidKey()"


@pytest.mark.parametrize(
    "subject", ["mailto:a@example.org", "https://example.org", "https://example.org/contact?x=1"]
)
def test_an_address_is_a_subject(subject: str) -> None:
    assert is_subject(subject)


NO_SUBJECTS = [
    "",
    "a@example.org",
    "mailto:",
    "mailto:a",
    "mailto: a@example.org",
    "mailto:<a@example.org>",
    "mailto:a@b@c",
    "http://example.org",
    "https://",
    "https:///x",
    "https://a b",
    "https://a@example.org",
]


@pytest.mark.parametrize("subject", NO_SUBJECTS)
def test_anything_else_is_no_subject(subject: str) -> None:
    assert not is_subject(subject)
