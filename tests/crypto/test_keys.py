"""Keys: ids, text forms, public documents, fingerprints."""

import hashlib
import json
import pickle
import secrets
from typing import Any
from uuid import UUID

import pytest

from crypto.encoding import b64u
from crypto.errors import Altered, Malformed
from crypto.keys import (
    DeviceKey,
    DevicePublicKey,
    EpochKey,
    IdentityKey,
    IdentityPublicKey,
    Suite,
    fingerprint,
    jwks,
    read_jwks,
    read_keys,
)
from tests.harness import second
from tests.harness.stored import stored

# RFC 8037, appendix A.1 to A.3; RFC 8032, section 7.1, is the same pair (TEST 1).
RFC8037_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC8032_EMPTY = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)

SEED = bytes(range(32))
IDENTITY = IdentityKey.from_seed(SEED)
DEVICES = [DeviceKey.from_seed(suite, SEED) for suite in Suite]
EPOCH = EpochKey.from_text(f"hushpost-epoch-1:7:{b64u(SEED)}")


def test_an_identity_is_known_by_its_rfc_8037_thumbprint() -> None:
    public = IdentityKey.from_seed(RFC8037_SEED).public
    assert public.raw == RFC8032_PUBLIC
    assert public.id == RFC8037_THUMBPRINT
    assert b64u(public.id_raw) == public.id
    assert len(public.id_raw) == 32
    assert second.keyid_raw(public.raw) == public.id_raw


def test_a_signature_is_that_of_rfc_8032() -> None:
    key = IdentityKey.from_seed(RFC8037_SEED)
    signature = key.sign(b"")
    assert signature == bytes.fromhex(RFC8032_EMPTY)
    key.public.verify(signature, b"")
    with pytest.raises(Altered):
        key.public.verify(signature, b"\x00")


def test_an_identity_that_has_signed_still_travels_to_another_process() -> None:
    key = IdentityKey.from_seed(RFC8037_SEED)
    signature = key.sign(b"x")
    assert pickle.loads(pickle.dumps(key)).sign(b"x") == signature  # noqa: S301 - our own bytes


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_altered(length: int) -> None:
    with pytest.raises(Altered):
        IDENTITY.public.verify(bytes(length), b"")


def test_a_public_jwk_holds_nothing_private() -> None:
    assert IDENTITY.public.jwk == {"crv": "Ed25519", "kty": "OKP", "x": b64u(IDENTITY.public.raw)}


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_identity_key_of_another_length_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        IdentityPublicKey(bytes(length))
    with pytest.raises(Malformed):
        IdentityKey.from_seed(bytes(length))


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.suite.name)
def test_a_device_key_id_is_the_start_of_the_hash_of_its_public_key(device: DeviceKey) -> None:
    assert device.public.key_id == hashlib.sha256(device.public.raw).digest()[:8]
    assert len(device.public.raw) == device.suite.public_length
    assert device.public.raw == second.Device(device.suite, SEED, UUID(int=0)).public


def test_the_suites_have_the_documented_lengths() -> None:
    assert [(s.value, s.public_length, s.enc_length) for s in Suite] == [(1, 32, 32), (2, 1216, 1120)]


@pytest.mark.parametrize("key", stored("x25519_bad_public_keys")["keys"], ids=lambda k: f"tc{k['tcId']}")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_point_that_shares_only_zero_is_refused_at_registration(suite: Suite, key: dict[str, Any]) -> None:
    point = bytes.fromhex(key["public"])
    raw = DEVICES[suite - 1].public.raw[:-32] + point
    with pytest.raises(Malformed):
        DevicePublicKey(suite, raw)


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("by", [-1216, -32, -1, 1, 32, 1184])
def test_a_device_public_key_of_another_length_is_malformed(suite: Suite, by: int) -> None:
    raw = DEVICES[suite - 1].public.raw
    with pytest.raises(Malformed):
        DevicePublicKey(suite, (raw + raw)[: max(len(raw) + by, 0)])


def test_an_ml_kem_key_with_a_coefficient_that_is_not_reduced_is_malformed() -> None:
    raw = DEVICES[1].public.raw
    with pytest.raises(Malformed):
        DevicePublicKey(Suite.XWING, b"\xff" * 384 + raw[384:])


def test_the_text_forms_are_those_of_the_protocol() -> None:
    assert IDENTITY.text == f"hushpost-identity-1:{b64u(SEED)}"
    assert [device.text for device in DEVICES] == [f"hushpost-device-{n}:{b64u(SEED)}" for n in (1, 2)]
    assert EPOCH.text == f"hushpost-epoch-1:7:{b64u(SEED)}"


def test_a_key_comes_back_from_its_text() -> None:
    assert IdentityKey.from_text(IDENTITY.text).public == IDENTITY.public
    assert [DeviceKey.from_text(d.text).public for d in DEVICES] == [d.public for d in DEVICES]
    assert (EPOCH.number, EPOCH.secret) == (7, SEED)


BAD_SECRETS = [
    b64u(SEED)[:-1],
    b64u(SEED) + "A",
    b64u(SEED) + "=",
    b64u(bytes(31)),
    b64u(bytes(33)),
    b64u(SEED)[:-1] + "9",  # the same bytes with stray bits
    b64u(b"\xff" * 32).replace("_", "/"),
    " " + b64u(SEED),
    "",
]
PREFIXES = ["hushpost-identity-1:", "hushpost-device-1:", "hushpost-device-2:", "hushpost-epoch-1:7:"]


@pytest.mark.parametrize("secret", BAD_SECRETS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_key_text_that_is_not_canonical_is_malformed(prefix: str, secret: str) -> None:
    line = prefix + secret
    for kind in (IdentityKey, DeviceKey, EpochKey):
        with pytest.raises(Malformed) as fault:
            kind.from_text(line)
        assert not secret.strip() or secret not in str(fault.value)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (IdentityKey, DEVICES[0].text),
        (IdentityKey, EPOCH.text),
        (DeviceKey, IDENTITY.text),
        (DeviceKey, f"hushpost-device-3:{b64u(SEED)}"),
        (DeviceKey, f"HUSHPOST-DEVICE-1:{b64u(SEED)}"),
        (EpochKey, IDENTITY.text),
        (EpochKey, f"hushpost-epoch-1:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1::{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1:-1:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1:07:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1: 7:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1:4294967296:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1:{'1' * 5000}:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-1:\N{ARABIC-INDIC DIGIT SEVEN}:{b64u(SEED)}"),
        (EpochKey, f"hushpost-epoch-2:7:{b64u(SEED)}"),
    ],
)
def test_a_key_text_of_another_type_is_malformed(
    kind: type[IdentityKey | DeviceKey | EpochKey], line: str
) -> None:
    with pytest.raises(Malformed):
        kind.from_text(line)


def test_a_key_file_is_one_key_a_line_with_comments_and_blank_lines() -> None:
    text = f"# the server's\n{IDENTITY.text}\n\n  {DEVICES[0].text}\r\n{DEVICES[1].text}\n#\n{EPOCH.text}"
    assert read_keys(text) == [IDENTITY, *DEVICES, EPOCH]


@pytest.mark.parametrize("bad", ["age-secret-key-1", IDENTITY.text + " # mine", IDENTITY.text[:-1]])
def test_a_faulty_line_of_a_key_file_is_named_by_its_number_and_not_shown(bad: str) -> None:
    with pytest.raises(Malformed, match="line 3") as fault:
        read_keys(f"{EPOCH.text}\n\n{bad}\n")
    assert b64u(SEED)[:20] not in str(fault.value)


def test_no_secret_shows_in_a_repr() -> None:
    shown = repr([IDENTITY, *DEVICES, EPOCH])
    for secret in (b64u(SEED), SEED.hex(), repr(SEED), repr(SEED)[2:-1]):
        assert secret not in shown


def test_generated_keys_take_their_seed_from_the_given_source() -> None:
    def source(length: int) -> bytes:
        return SEED[:length]

    assert IdentityKey.generate(source) == IDENTITY
    assert [DeviceKey.generate(suite, source) for suite in Suite] == DEVICES
    assert EpochKey.generate(7, source) == EPOCH
    assert IdentityKey.generate(secrets.token_bytes) != IdentityKey.generate(secrets.token_bytes)


def test_a_jwk_set_comes_back_in_its_order() -> None:
    keys = [IdentityKey.from_seed(bytes([n]) * 32).public for n in range(3)]
    document = json.loads(json.dumps(jwks(keys)))
    assert read_jwks(document) == keys
    assert {jwk["kid"] for jwk in document["keys"]} == {key.id for key in keys}
    assert all("d" not in jwk for jwk in document["keys"])


def test_a_jwk_set_may_hold_keys_of_other_types() -> None:
    document: dict[str, Any] = jwks([IDENTITY.public])
    document["keys"] = [
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        *document["keys"],
        {"kty": "OKP", "crv": "X25519"},
    ]
    assert read_jwks(document) == [IDENTITY.public]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": {}},
        {"keys": [{"kty": "OKP", "crv": "Ed25519"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 5}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64u(bytes(31))}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64u(bytes(32)) + "="}]},
    ],
)
def test_what_is_not_a_jwk_set_is_malformed(document: object) -> None:
    with pytest.raises(Malformed):
        read_jwks(document)


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.suite.name)
def test_a_fingerprint_is_six_groups_of_four_that_change_with_either_key(device: DeviceKey) -> None:
    shown = fingerprint(IDENTITY.public, device.public)
    assert shown == second.fingerprint(IDENTITY.public.raw, device.public.raw)
    assert [len(group) for group in shown.split(" ")] == [4] * 6
    other = DeviceKey.from_seed(device.suite, bytes(32))
    assert shown != fingerprint(IDENTITY.public, other.public)
    assert shown != fingerprint(IdentityKey.from_seed(bytes(32)).public, device.public)


def test_an_identity_key_that_has_signed_goes_to_another_process() -> None:
    key = IdentityKey.from_seed(bytes(range(32)))
    signature = key.sign(b"before")

    moved = pickle.loads(pickle.dumps(key))  # noqa: S301 - our own bytes

    assert moved == key
    assert moved.sign(b"before") == signature
