"""`hushpost-v1.json` against the second implementation, which shares no code with the product."""

import base64
from typing import Any
from uuid import UUID

import pytest

from tests.harness import second, second_http
from tests.harness.second import Refused, b64u, unb64u
from tests.harness.stored import stored

Entry = dict[str, Any]
ALL = stored("hushpost-v1")
WRONG = ALL["wrong"]
PUBLIC = {entry["name"]: bytes.fromhex(entry["public"]) for entry in ALL["keys"]["identities"]}
SEEDS = {entry["name"]: bytes.fromhex(entry["seed"]) for entry in ALL["keys"]["identities"]}
DEVICES = {
    entry["name"]: second.Device(entry["suite"], bytes.fromhex(entry["seed"]), UUID(entry["deviceId"]))
    for entry in ALL["keys"]["devices"]
}
EPOCHS = {entry["number"]: bytes.fromhex(entry["key"]) for entry in ALL["keys"]["epochs"]}


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry["name"])


def test_the_keys_follow_from_their_seeds() -> None:
    for entry in ALL["keys"]["identities"]:
        public = second.identity_public(SEEDS[entry["name"]])
        assert public.hex() == entry["public"]
        assert b64u(second.keyid_raw(public)) == entry["keyid"]
        assert entry["text"] == f"hushpost-identity-1:{b64u(SEEDS[entry['name']])}"
    for entry in ALL["keys"]["devices"]:
        device = DEVICES[entry["name"]]
        assert (device.public.hex(), device.key_id.hex()) == (entry["public"], entry["keyId"])
        assert entry["text"] == f"hushpost-device-{device.suite}:{b64u(device.seed)}"
        assert entry["fingerprint"] == second.fingerprint(PUBLIC["server"], device.public)
    for entry in ALL["keys"]["epochs"]:
        assert entry["text"] == f"hushpost-epoch-1:{entry['number']}:{b64u(bytes.fromhex(entry['key']))}"


@each(ALL["envelopes"])
def test_an_envelope_opens_to_the_listed_bytes(entry: Entry) -> None:
    device, server = DEVICES[entry["device"]], PUBLIC[entry["server"]]
    envelope = unb64u(entry["envelope"])
    plain = second.open_plaintext(envelope, device, server)
    assert device.info(server).hex() == entry["info"]
    assert plain[:102].hex() == entry["frame"]
    read = second.open_envelope(envelope, device, server)
    wire = entry["body"].encode() if entry["deflated"] is None else unb64u(entry["deflated"])
    assert read == second.Said(
        UUID(entry["messageId"]),
        entry["sequence"],
        entry["sentAt"],
        entry["kind"],
        entry["encoding"],
        entry["body"].encode(),
    )
    assert plain == (plain[:102] + wire).ljust(second.frame_length(device.suite, entry["size"]), b"\x00")


@each(WRONG["envelopes"])
def test_a_wrong_envelope_is_refused(entry: Entry) -> None:
    known = DEVICES[entry["device"]]
    device = second.Device(known.suite, known.seed, UUID(entry["deviceId"]))
    with pytest.raises(Refused) as fault:
        second.open_envelope(unb64u(entry["envelope"]), device, PUBLIC[entry["server"]])
    assert fault.value.reason == entry["error"]


@each(ALL["claims"])
def test_a_claim_opens_and_is_made_again(entry: Entry) -> None:
    ids = UUID(entry["messageId"]), UUID(entry["deviceId"])
    blob = second.seal_claim(
        entry["content"].encode(), *ids, unb64u(entry["claim"]["key"]), bytes.fromhex(entry["nonce"])
    )
    assert b64u(blob) == entry["blob"]
    assert second.open_claim(blob, entry["claim"], *ids).decode() == entry["content"]


@each(WRONG["claims"])
def test_a_wrong_claim_is_refused(entry: Entry) -> None:
    ids = UUID(entry["messageId"]), UUID(entry["deviceId"])
    with pytest.raises(Refused) as fault:
        second.open_claim(unb64u(entry["blob"]), entry["claim"], *ids)
    assert fault.value.reason == entry["error"]


@each(ALL["handles"])
def test_a_handle_opens_and_is_made_again(entry: Entry) -> None:
    said = entry["claims"]
    assert second.open_handle(entry["handle"], EPOCHS, said["server"], said["issuedAt"]) == said
    text = entry["text"].encode().ljust(entry["padded"])
    nonce = bytes.fromhex(entry["nonce"])
    assert second.seal_handle(text, entry["epoch"], EPOCHS[entry["epoch"]], nonce) == entry["handle"]


@each(WRONG["handles"])
def test_a_wrong_handle_is_refused(entry: Entry) -> None:
    with pytest.raises(Refused) as fault:
        second.open_handle(entry["handle"], EPOCHS, entry["server"], entry["now"])
    assert fault.value.reason == entry["error"]


@pytest.mark.parametrize("entry", ALL["collapses"], ids=lambda entry: entry["collapseId"] or "none")
def test_a_collapse_value_is_as_listed(entry: Entry) -> None:
    made = second.collapse(
        bytes.fromhex(entry["secret"]),
        UUID(entry["deviceId"]),
        message_id=UUID(entry["messageId"]),
        collapse_id=entry["collapseId"],
    )
    assert made == entry["collapse"]
    assert len(unb64u(made)) == 16


def request_of(entry: Entry) -> second_http.Message:
    return second_http.Message(entry["headers"], entry["method"], entry["targetUri"])


def answer_of(entry: Entry) -> second_http.Message:
    return second_http.Message(entry["headers"], status=entry["status"], request=request_of(entry["request"]))


def check_request(entry: Entry) -> bytes:
    body = None if entry["body"] is None else entry["body"].encode()
    return second_http.check_request(entry["profile"], request_of(entry), body, entry["now"])


def check_answer(entry: Entry) -> None:
    public = PUBLIC[entry["key"]]
    second_http.check_answer(entry["profile"], answer_of(entry), entry["body"].encode(), public, entry["now"])


def signature_holds(entry: Entry) -> bool:
    """Whether the listed base is what the listed signature is over."""
    value = entry["headers"]["Signature"].removeprefix("hushpost=:").removesuffix(":")
    return second.ed25519_holds(PUBLIC[entry["key"]], base64.b64decode(value), entry["base"].encode())


@each(ALL["requests"])
def test_a_request_verifies(entry: Entry) -> None:
    assert check_request(entry) == PUBLIC[entry["key"]]
    assert signature_holds(entry)


@each(WRONG["requests"])
def test_a_wrong_request_is_refused(entry: Entry) -> None:
    with pytest.raises(Refused) as fault:
        check_request(entry)
    assert fault.value.reason == entry["error"]


@each(ALL["answers"])
def test_an_answer_verifies(entry: Entry) -> None:
    check_answer(entry)
    assert signature_holds(entry)


@each(WRONG["answers"])
def test_a_wrong_answer_is_refused(entry: Entry) -> None:
    with pytest.raises(Refused) as fault:
        check_answer(entry)
    assert fault.value.reason == entry["error"]


@each(ALL["directories"])
def test_a_directory_verifies(entry: Entry) -> None:
    request = second_http.Message({}, "GET", entry["targetUri"])
    message = second_http.Message(entry["headers"], status=entry["status"], request=request)
    trusted = [PUBLIC[name] for name in entry["trusted"]]
    listed = second_http.check_directory(message, entry["body"].encode(), trusted, entry["now"])
    assert listed == [PUBLIC[name] for name in entry["keys"]]
