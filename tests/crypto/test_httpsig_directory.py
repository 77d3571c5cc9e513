"""Key directories: every listed key signs, and a new one is believed only beside one that was trusted before."""

import json
from collections.abc import Sequence

import pytest

from crypto.httpsig import SignatureFault, sign_directory, verify_directory
from crypto.keys import IdentityKey, IdentityPublicKey, jwks
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, STRANGER
from tests.harness.exchange import DIRECTORY_URI

NEXT = IdentityKey.from_seed(bytes([7]) * 32)


def listing(*keys: IdentityKey) -> bytes:
    return json.dumps(jwks([key.public for key in keys])).encode()


def signed(keys: Sequence[IdentityKey], body: bytes, *, lifetime: int = 60) -> dict[str, str]:
    return sign_directory(
        keys, status=200, body=body, target_uri=DIRECTORY_URI, created=NOW, lifetime=lifetime
    )


def verified(
    headers: dict[str, str],
    body: bytes,
    *,
    trusted: Sequence[IdentityKey] = (RELAY,),
    status: int = 200,
    target_uri: str = DIRECTORY_URI,
    now: float = NOW,
) -> list[IdentityPublicKey]:
    return verify_directory(
        trusted=[key.public for key in trusted],
        status=status,
        headers=headers.items(),
        body=body,
        target_uri=target_uri,
        now=now,
    )


def code(
    headers: dict[str, str],
    body: bytes,
    *,
    trusted: Sequence[IdentityKey] = (RELAY,),
    status: int = 200,
    target_uri: str = DIRECTORY_URI,
    now: float = NOW,
) -> str:
    with pytest.raises(SignatureFault) as fault:
        verified(headers, body, trusted=trusted, status=status, target_uri=target_uri, now=now)
    return fault.value.code


BOTH = listing(RELAY, NEXT)
HEADERS = signed([RELAY, NEXT], BOTH)


def test_a_directory_signed_by_all_its_keys_is_believed_from_any_trusted_one() -> None:
    for trusted in ([RELAY], [NEXT], [RELAY, NEXT], [STRANGER, NEXT]):
        assert verified(HEADERS, BOTH, trusted=trusted) == [RELAY.public, NEXT.public]


def test_a_directory_of_one_key_is_signed_once() -> None:
    body = listing(RELAY)
    headers = signed([RELAY], body)
    assert headers["Signature-Input"] == (
        'k1=("@status" "content-digest" "@target-uri";req)'
        f';created={NOW};expires={NOW + 60};keyid="{RELAY.public.id}";alg="ed25519";tag="hushpost-directory"'
    )
    assert verified(headers, body) == [RELAY.public]


def test_the_second_implementation_reads_a_directory() -> None:
    request = second_http.Message({}, "GET", DIRECTORY_URI)
    message = second_http.Message(HEADERS, status=200, request=request)
    read = second_http.check_directory(message, BOTH, [NEXT.public.raw], NOW)
    assert read == [RELAY.public.raw, NEXT.public.raw]


def test_a_new_key_without_the_signature_of_a_trusted_one_is_refused() -> None:
    body = listing(STRANGER)
    assert code(signed([STRANGER], body), body) == "key_mismatch"
    assert code(HEADERS, BOTH, trusted=[STRANGER]) == "key_mismatch"


def test_a_listed_key_that_has_not_signed_is_refused() -> None:
    """Whoever holds the old key cannot list somebody else's as the relay's."""
    body = listing(RELAY, STRANGER)
    assert code(signed([RELAY], body), body) == "key_mismatch"


def test_a_trusted_signature_of_a_key_that_is_not_listed_does_not_count() -> None:
    body = listing(STRANGER)
    assert code(signed([RELAY, STRANGER], body), body) == "key_mismatch"


def test_one_wrong_signature_among_right_ones_is_refused() -> None:
    swapped = HEADERS["Signature"].replace("k1=", "k0=").replace("k2=", "k1=").replace("k0=", "k2=")
    first, second = swapped.split(", ")
    assert code({**HEADERS, "Signature": f"{second}, {first}"}, BOTH) == "signature_invalid"
    for label in ("k1", "k2"):
        at = HEADERS["Signature"].index(f"{label}=:") + 10
        other = "A" if HEADERS["Signature"][at] != "A" else "B"
        forged = HEADERS["Signature"][:at] + other + HEADERS["Signature"][at + 1 :]
        assert code({**HEADERS, "Signature": forged}, BOTH) == "signature_invalid"


@pytest.mark.parametrize(("label", "instead"), [("k2=", "k3="), ("k1=", "hushpost="), ("k2=", "k1=")])
def test_labels_count_from_k1(label: str, instead: str) -> None:
    renamed = {name: HEADERS[name].replace(label, instead) for name in ("Signature", "Signature-Input")}
    assert code({**HEADERS, **renamed}, BOTH) == "signature_profile"


def test_a_directory_is_bound_to_its_address_status_body_and_time() -> None:
    assert code(HEADERS, BOTH, target_uri=DIRECTORY_URI + "/") == "signature_invalid"
    assert code(HEADERS, BOTH, status=203) == "signature_invalid"
    assert code(HEADERS, BOTH + b" ") == "digest_mismatch"
    assert code(HEADERS, BOTH, now=NOW + 61) == "created_skew"
    assert (
        code(signed([RELAY], listing(RELAY), lifetime=5), listing(RELAY), now=NOW + 6) == "signature_expired"
    )


def test_an_unsigned_directory_is_refused() -> None:
    assert code({"Content-Digest": HEADERS["Content-Digest"]}, BOTH) == "signature_missing"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"RSA"}]}', b"\xff", b"[" * 10**5]
)
def test_a_body_that_lists_no_key_is_refused(body: bytes) -> None:
    assert code(signed([RELAY], body), body) in {"bad_json", "key_mismatch"}


def test_an_identity_answer_is_no_directory() -> None:
    renamed = HEADERS["Signature-Input"].replace("hushpost-directory", "hushpost-identity")
    assert code({**HEADERS, "Signature-Input": renamed}, BOTH) == "signature_profile"
