"""`hushpost-v1.json` against the product: what is right opens and is made again, what is wrong is refused as it says."""

from typing import Any
from uuid import UUID

import pytest

from crypto.claim import open_claim, seal_claim
from crypto.encoding import b64u, unb64u
from crypto.envelope import open_envelope, seal
from crypto.errors import CryptoError
from crypto.handle import HandleClaims, Subscription, open_handle, seal_handle
from crypto.httpsig import (
    RequestContext,
    SignatureFault,
    read_request,
    request_context,
    sign_answer,
    sign_directory,
    sign_request,
    verify_answer,
    verify_directory,
)
from crypto.keys import (
    DeviceKey,
    DevicePublicKey,
    EpochKey,
    IdentityKey,
    Suite,
    fingerprint,
    read_jwks,
    read_keys,
)
from tests.harness.exchange import PROFILES
from tests.harness.make_vectors import FILE, build, text_of
from tests.harness.stored import stored

Entry = dict[str, Any]
ALL = stored("hushpost-v1")
WRONG = ALL["wrong"]
IDENTITIES = {entry["name"]: IdentityKey.from_text(entry["text"]) for entry in ALL["keys"]["identities"]}
DEVICES = {entry["name"]: DeviceKey.from_text(entry["text"]) for entry in ALL["keys"]["devices"]}
DEVICE_IDS = {entry["name"]: UUID(entry["deviceId"]) for entry in ALL["keys"]["devices"]}
EPOCHS = {entry["number"]: EpochKey.from_text(entry["text"]) for entry in ALL["keys"]["epochs"]}


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry["name"])


def test_the_generator_makes_the_file_as_it_is() -> None:
    """Nobody has edited it by hand, and a change of the protocol's bytes does not go unnoticed."""
    assert text_of(build(ALL)) == FILE.read_text(encoding="utf-8")


@each(ALL["keys"]["identities"])
def test_an_identity_is_as_listed(entry: Entry) -> None:
    key = IDENTITIES[entry["name"]]
    assert IdentityKey.from_seed(bytes.fromhex(entry["seed"])) == key
    assert (key.public.raw.hex(), key.public.id) == (entry["public"], entry["keyid"])
    assert read_jwks({"keys": [entry["jwk"]]}) == [key.public]
    assert read_keys(entry["text"]) == [key]


@each(ALL["keys"]["devices"])
def test_a_device_key_is_as_listed(entry: Entry) -> None:
    key = DEVICES[entry["name"]]
    assert DeviceKey.from_seed(Suite(entry["suite"]), bytes.fromhex(entry["seed"])) == key
    assert (key.public.raw.hex(), key.public.key_id.hex()) == (entry["public"], entry["keyId"])
    assert fingerprint(IDENTITIES["server"].public, key.public) == entry["fingerprint"]


def read_key(entry: Entry) -> object:
    if "text" in entry:
        return read_keys(entry["text"])
    return DevicePublicKey(Suite(entry["suite"]), bytes.fromhex(entry["public"]))


@each(WRONG["keys"])
def test_a_wrong_key_is_refused(entry: Entry) -> None:
    with pytest.raises(CryptoError) as fault:
        read_key(entry)
    assert fault.value.reason == entry["error"]


@each(ALL["envelopes"])
def test_an_envelope_opens_and_its_frame_seals_at_the_same_size(entry: Entry) -> None:
    envelope, key = unb64u(entry["envelope"]), DEVICES[entry["device"]]
    device_id, server = DEVICE_IDS[entry["device"]], IDENTITIES[entry["server"]]
    frame = open_envelope(envelope, keys=[key], device_id=device_id, server=server.public)
    assert (str(frame.message_id), frame.sequence, frame.sent_at, frame.kind, frame.body.decode()) == tuple(
        entry[name] for name in ("messageId", "sequence", "sentAt", "kind", "body")
    )
    again = seal(frame, signer=server, device=key.public, device_id=device_id, largest=2944)
    assert len(again) == len(envelope) == entry["size"]


@each(WRONG["envelopes"])
def test_a_wrong_envelope_is_refused(entry: Entry) -> None:
    with pytest.raises(CryptoError) as fault:
        open_envelope(
            unb64u(entry["envelope"]),
            keys=[DEVICES[entry["device"]]],
            device_id=UUID(entry["deviceId"]),
            server=IDENTITIES[entry["server"]].public,
        )
    assert fault.value.reason == entry["error"]


def opened(entry: Entry) -> bytes:
    return open_claim(
        unb64u(entry["blob"]),
        message_id=UUID(entry["messageId"]),
        device_id=UUID(entry["deviceId"]),
        key=unb64u(entry["claim"]["key"]),
        sha256=unb64u(entry["claim"]["sha256"]),
        size=entry["claim"]["size"],
    )


@each(ALL["claims"])
def test_a_claim_opens_and_is_made_again(entry: Entry) -> None:
    content = opened(entry)
    assert content.decode() == entry["content"]
    blob = seal_claim(
        content,
        message_id=UUID(entry["messageId"]),
        device_id=UUID(entry["deviceId"]),
        key=unb64u(entry["claim"]["key"]),
        nonce=bytes.fromhex(entry["nonce"]),
    )
    assert b64u(blob) == entry["blob"]


@each(WRONG["claims"])
def test_a_wrong_claim_is_refused(entry: Entry) -> None:
    with pytest.raises(CryptoError) as fault:
        opened(entry)
    assert fault.value.reason == entry["error"]


@each(ALL["handles"])
def test_a_handle_opens_and_is_made_again(entry: Entry) -> None:
    said = entry["claims"]
    where = said.get("subscription")
    claims = HandleClaims(
        provider=said["provider"],
        app=said["app"],
        environment=said["environment"],
        token=said.get("token"),
        subscription=where
        and Subscription(where["endpoint"], where["keys"]["p256dh"], where["keys"]["auth"]),
        server=said["server"],
        issued_at=said["issuedAt"],
        expires_at=said["expiresAt"],
    )
    read = open_handle(entry["handle"], epochs=EPOCHS, server=claims.server, now=claims.issued_at)
    assert read == claims
    sealed = seal_handle(claims, epoch=EPOCHS[entry["epoch"]], nonce=bytes.fromhex(entry["nonce"]))
    assert sealed == entry["handle"]


@each(WRONG["handles"])
def test_a_wrong_handle_is_refused(entry: Entry) -> None:
    with pytest.raises(CryptoError) as fault:
        open_handle(entry["handle"], epochs=EPOCHS, server=entry["server"], now=entry["now"])
    assert fault.value.reason == entry["error"]


def accept(entry: Entry) -> str:
    """Reads and checks a request in the relay's order; the keyid."""
    signature = read_request(PROFILES[entry["profile"]], entry["headers"].items())
    signature.verify(method=entry["method"], target_uri=entry["targetUri"])
    signature.check_time(entry["now"])
    if entry["body"] is not None:
        signature.check_digest(entry["body"].encode())
    return signature.keyid


@each(ALL["requests"])
def test_a_request_verifies_and_is_signed_again(entry: Entry) -> None:
    assert accept(entry) == IDENTITIES[entry["key"]].public.id
    signature = read_request(PROFILES[entry["profile"]], entry["headers"].items())
    body = entry["body"]
    assert entry["headers"] == sign_request(
        PROFILES[entry["profile"]],
        key=IDENTITIES[entry["key"]],
        method=entry["method"],
        target_uri=entry["targetUri"],
        content_type=entry["headers"].get("Content-Type"),
        body=None if body is None else body.encode(),
        created=signature.created,
        lifetime=signature.expires - signature.created,
        nonce=unb64u(signature.nonce),
    )


@each(WRONG["requests"])
def test_a_wrong_request_is_refused(entry: Entry) -> None:
    with pytest.raises(SignatureFault) as fault:
        accept(entry)
    assert fault.value.code == entry["error"]


def context_of(entry: Entry) -> RequestContext:
    request = entry["request"]
    return request_context(request["method"], request["targetUri"], request["headers"].items())


def check_answer(entry: Entry) -> None:
    verify_answer(
        PROFILES[entry["profile"]],
        keys=[IDENTITIES[entry["key"]].public],
        status=entry["status"],
        headers=entry["headers"].items(),
        body=entry["body"].encode(),
        request=context_of(entry),
        now=entry["now"],
    )


@each(ALL["answers"])
def test_an_answer_verifies_and_is_signed_again(entry: Entry) -> None:
    check_answer(entry)
    signed = sign_answer(
        PROFILES[entry["profile"]],
        key=IDENTITIES[entry["key"]],
        status=entry["status"],
        content_type=entry["headers"]["Content-Type"],
        body=entry["body"].encode(),
        request=context_of(entry),
        created=entry["now"],
        lifetime=60,
    )
    assert entry["headers"] == {"Content-Type": entry["headers"]["Content-Type"], **signed}


@each(WRONG["answers"])
def test_a_wrong_answer_is_refused(entry: Entry) -> None:
    with pytest.raises(SignatureFault) as fault:
        check_answer(entry)
    assert fault.value.code == entry["error"]


@each(ALL["directories"])
def test_a_directory_verifies_and_is_signed_again(entry: Entry) -> None:
    keys = [IDENTITIES[name] for name in entry["keys"]]
    body = entry["body"].encode()
    listed = verify_directory(
        trusted=[IDENTITIES[name].public for name in entry["trusted"]],
        status=entry["status"],
        headers=entry["headers"].items(),
        body=body,
        target_uri=entry["targetUri"],
        now=entry["now"],
    )
    assert listed == [key.public for key in keys]
    assert entry["headers"] == sign_directory(
        keys,
        status=entry["status"],
        body=body,
        target_uri=entry["targetUri"],
        created=entry["now"],
        lifetime=60,
    )
