"""The official HPKE and X-Wing vectors: first the oracle, then the library calls that the envelope uses.

The library only seals and opens single-shot with an empty aad, which no official vector has; so its KEM and key
schedule are checked with a ciphertext made here from the official `key` and `base_nonce`.
"""

from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from crypto.keys import DeviceKey, DevicePublicKey, Suite
from tests.harness import hpke
from tests.harness.stored import stored

KEMS = {hpke.DHKEM_X25519: library.KEM.X25519, hpke.XWING: library.KEM.MLKEM768_X25519}
AEADS = {1: library.AEAD.AES_128_GCM, 2: library.AEAD.AES_256_GCM, 3: library.AEAD.CHACHA20_POLY1305}
RFC9180 = [v for v in stored("hpke_rfc9180_base_auth")["vectors"] if v["mode"] == 0 and v["kem_id"] in KEMS]
PQ = [v for v in stored("hpke_pq_xwing")["vectors"] if v["kem_id"] == hpke.XWING and v["kdf_id"] == 1]
XWING = stored("xwing_kem")["vectors"]

by_name = pytest.mark.parametrize("vector", RFC9180 + PQ, ids=lambda v: v["name"])


def unhex(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def library_private(vector: dict[str, Any]) -> x25519.X25519PrivateKey | library.MLKEM768X25519PrivateKey:
    if vector["kem_id"] == hpke.DHKEM_X25519:
        return x25519.X25519PrivateKey.from_private_bytes(unhex(vector, "skRm"))
    return library.MLKEM768X25519PrivateKey(*hpke.xwing_parts(unhex(vector, "skRm")))


def test_the_suites_of_the_envelope_are_among_the_vectors() -> None:
    assert {(v["kem_id"], v["aead_id"]) for v in RFC9180 + PQ} >= {(0x20, 2), (0x647A, 3)}


@by_name
def test_the_oracle_follows_the_official_key_schedule(vector: dict[str, Any]) -> None:
    secret = hpke.decapsulate(vector["kem_id"], unhex(vector, "skRm"), unhex(vector, "enc"))
    made = hpke.schedule(secret, unhex(vector, "info"), vector["kem_id"], vector["aead_id"])
    assert hpke.public_key(vector["kem_id"], unhex(vector, "skRm")) == unhex(vector, "pkRm")
    assert secret == unhex(vector, "shared_secret")
    assert (made.key, made.base_nonce) == (unhex(vector, "key"), unhex(vector, "base_nonce"))
    assert made.exporter_secret == unhex(vector, "exporter_secret")
    for export in vector["exports"]:
        assert made.export(unhex(export, "exporter_context"), export["L"]) == unhex(export, "exported_value")


@by_name
def test_the_oracle_opens_and_seals_every_official_ciphertext(vector: dict[str, Any]) -> None:
    made = hpke.schedule(
        unhex(vector, "shared_secret"), unhex(vector, "info"), vector["kem_id"], vector["aead_id"]
    )
    for position, item in enumerate(vector["encryptions"]):
        sequence = item.get("seq", position)
        assert made.seal(unhex(item, "pt"), unhex(item, "aad"), sequence) == unhex(item, "ct")
        assert made.open(unhex(item, "ct"), unhex(item, "aad"), sequence) == unhex(item, "pt")


@pytest.mark.parametrize("vector", RFC9180, ids=lambda v: v["name"])
def test_the_oracle_encapsulates_to_the_official_enc(vector: dict[str, Any]) -> None:
    made = hpke.encapsulate(vector["kem_id"], unhex(vector, "pkRm"), unhex(vector, "skEm"))
    assert made == (unhex(vector, "shared_secret"), unhex(vector, "enc"))


@by_name
def test_the_library_reaches_the_official_key_and_nonce(vector: dict[str, Any]) -> None:
    suite = library.Suite(KEMS[vector["kem_id"]], library.KDF.HKDF_SHA256, AEADS[vector["aead_id"]])
    ciphertext = hpke.aead(vector["aead_id"], unhex(vector, "key")).encrypt(
        unhex(vector, "base_nonce"), b"hi", b""
    )
    sealed = unhex(vector, "enc") + ciphertext
    private = library_private(vector)
    assert suite.decrypt(sealed, private, info=unhex(vector, "info")) == b"hi"
    with pytest.raises(InvalidTag):
        suite.decrypt(sealed, private, info=unhex(vector, "info") + b"\x00")


@by_name
def test_the_oracle_opens_what_the_library_seals(vector: dict[str, Any]) -> None:
    suite = library.Suite(KEMS[vector["kem_id"]], library.KDF.HKDF_SHA256, library.AEAD.AES_256_GCM)
    public = library_private(vector).public_key()
    sealed = suite.encrypt(b"to the device", public, info=b"context")
    opened = hpke.open_sealed(vector["kem_id"], unhex(vector, "skRm"), b"context", sealed)
    assert opened == b"to the device"


@pytest.mark.parametrize("vector", XWING, ids=lambda v: v["seed"][:8])
def test_an_x_wing_seed_gives_the_official_public_key_and_secret(vector: dict[str, Any]) -> None:
    seed = unhex(vector, "seed")
    assert DeviceKey.from_seed(Suite.XWING, seed).public.raw == unhex(vector, "pk")
    assert hpke.public_key(hpke.XWING, seed) == unhex(vector, "pk")
    assert hpke.decapsulate(hpke.XWING, seed, unhex(vector, "ct")) == unhex(vector, "ss")


@pytest.mark.parametrize("vector", RFC9180 + PQ, ids=lambda v: v["name"])
def test_a_device_key_has_the_official_public_key(vector: dict[str, Any]) -> None:
    suite = Suite.X25519 if vector["kem_id"] == hpke.DHKEM_X25519 else Suite.XWING
    key = DeviceKey.from_seed(suite, unhex(vector, "skRm"))
    assert key.public.raw == unhex(vector, "pkRm")
    assert DevicePublicKey(suite, key.public.raw).key_id == key.public.key_id


def test_the_ml_kem_half_has_the_documented_length() -> None:
    public = DeviceKey.from_seed(Suite.XWING, bytes(32)).public.raw
    assert len(public) == 1216
    assert mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).public_bytes_raw() == public[:1184]
