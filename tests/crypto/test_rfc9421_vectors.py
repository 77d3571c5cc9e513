"""RFC 9421's own examples: the signature base and Ed25519 agree with them, and none of them is one of our messages."""

from base64 import b64decode, b64encode
from typing import Any

import pytest

from crypto.encoding import unb64u
from crypto.httpsig import PUSH, STATUS, SignatureFault, content_digest, read_request
from crypto.keys import IdentityKey
from crypto.signature import Profile, _base, sign_message
from tests.harness import second_http
from tests.harness.stored import stored

RFC = stored("rfc9421_http_message_signatures")
KEY = IdentityKey.from_seed(unb64u(RFC["keys"]["test-key-ed25519"]["jwk"]["d"]))
[B26] = [case for case in RFC["cases"] if case["ref"] == "B.2.6"]
DIGESTS = stored("rfc9530_content_digest")
# B.3 is of a proxy and signs the same request; every case that signs a request of the examples.
REQUESTS = [case for case in RFC["cases"] if case["message"] == "test-request"]


def components(signature_base: str) -> dict[str, str]:
    """Components and values, as a signature base lists them."""
    lines = [line.split(": ", 1) for line in signature_base.split("\n")]
    return {name: value for name, value in lines if name != '"@signature-params"'}


def test_the_key_is_that_of_the_examples() -> None:
    assert KEY.public.raw == unb64u(RFC["keys"]["test-key-ed25519"]["jwk"]["x"])


@pytest.mark.parametrize("case", RFC["cases"], ids=lambda case: case["ref"])
def test_a_signature_base_is_built_as_in_the_examples(case: dict[str, Any]) -> None:
    values = components(case["signature_base"])
    built = _base(Profile("", tuple(values)), values, case["signature_params"])
    assert built.decode() == case["signature_base"]


def test_our_signature_over_the_b_2_6_message_is_the_published_one() -> None:
    values = components(B26["signature_base"])
    made = sign_message(Profile("", tuple(values)), KEY, B26["label"], values, B26["signature_params"])
    assert made == (B26["signature_input"], B26["signature"])
    KEY.public.verify(b64decode(B26["signature_b64"]), B26["signature_base"].encode())


def test_the_second_implementation_takes_the_values_from_the_b_2_6_message() -> None:
    request = RFC["messages"]["test-request"]
    message = second_http.Message(
        dict(request["headers"]), request["method"], "https://example.com" + request["target"]
    )
    names = list(components(B26["signature_base"]))
    assert second_http.base(message, names, B26["signature_params"]).decode() == B26["signature_base"]


@pytest.mark.parametrize("entry", RFC["transform"]["messages"], ids=lambda entry: entry["change"])
def test_the_transformed_messages_hold_or_fail_as_published(entry: dict[str, Any]) -> None:
    message = entry["message"]
    accept = ", ".join(value for name, value in message["headers"] if name == "Accept")
    host = dict(message["headers"])["Host"]
    values = {
        '"@method"': message["method"],
        '"@path"': message["target"].split("?")[0],
        '"@authority"': host,
        '"accept"': accept,
    }
    params = dict(message["headers"])["Signature-Input"].removeprefix("transform=")
    signature = dict(message["headers"])["Signature"].removeprefix("transform=:").removesuffix(":")
    built = _base(Profile("", tuple(values)), values, params)
    assert (built.decode() == RFC["transform"]["signature_base"]) is entry["valid"]
    if entry["valid"]:
        KEY.public.verify(b64decode(signature), built)
    assert b64encode(b64decode(signature)).decode() == signature


@pytest.mark.parametrize("profile", [PUSH, STATUS], ids=["push", "status"])
@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case["ref"])
def test_a_signed_example_is_not_of_our_profile(case: dict[str, Any], profile: Profile) -> None:
    headers = [*RFC["messages"]["test-request"]["headers"]]
    headers += [["Signature-Input", case["signature_input"]], ["Signature", case["signature"]]]
    with pytest.raises(SignatureFault) as fault:
        read_request(profile, [(name, value) for name, value in headers])
    assert fault.value.code == "signature_profile"


@pytest.mark.parametrize("entry", RFC["transform"]["messages"], ids=lambda entry: entry["change"])
def test_a_transformed_example_is_not_of_our_profile(entry: dict[str, Any]) -> None:
    with pytest.raises(SignatureFault) as fault:
        read_request(PUSH, [(name, value) for name, value in entry["message"]["headers"]])
    assert fault.value.code == "signature_profile"


def test_the_unsigned_example_has_no_signature() -> None:
    headers = RFC["messages"]["test-request"]["headers"]
    with pytest.raises(SignatureFault) as fault:
        read_request(PUSH, [(name, value) for name, value in headers])
    assert fault.value.code == "signature_missing"


@pytest.mark.parametrize(
    "example", DIGESTS["examples"], ids=lambda example: example["ref"] + " " + example["alg"]
)
def test_a_content_digest_is_that_of_rfc_9530(example: dict[str, Any]) -> None:
    made = content_digest(bytes.fromhex(example["content_hex"]))
    assert (made == example["field_value"]) is (example["alg"] == "sha-256")
    assert second_http.digest(bytes.fromhex(example["content_hex"])) == made
