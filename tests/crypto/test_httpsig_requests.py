"""Signed requests: one profile, each rule with its code, nothing altered is accepted."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.encoding import b64u
from crypto.httpsig import PUSH, STATUS, SignatureFault, read_request
from tests.harness import second_http
from tests.harness.cast import NOW, SERVER, SERVER_SEED, STRANGER
from tests.harness.exchange import (
    BODY,
    JSON,
    NONCE,
    PUSH_URI,
    STATUS_URI,
    accept_push,
    accept_status,
    push_headers,
    status_headers,
)
from tests.harness.stored import stored

COMPONENTS = second_http.COMPONENTS["push"]
PARAMETERS = second_http.parameters("push", SERVER_SEED, NOW, NOW + 60, NONCE)
FIELDS = {
    "Content-Type": JSON,
    "Content-Digest": second_http.digest(BODY),
    "Hushpost-Key": b64u(SERVER.public.raw),
}


def forged(
    *,
    components: list[str] = COMPONENTS,
    parameters: Mapping[str, str] = PARAMETERS,
    fields: Mapping[str, str] = FIELDS,
    label: str = "hushpost",
) -> dict[str, str]:
    """A request whose signature is right for what it says, whatever that is."""
    message = second_http.Message(dict(fields), "POST", PUSH_URI)
    return {**fields, **second_http.sign(message, components, dict(parameters), SERVER_SEED, label)}


def code(headers: Mapping[str, str] | list[tuple[str, str]]) -> str:
    lines = headers.items() if isinstance(headers, Mapping) else headers
    with pytest.raises(SignatureFault) as fault:
        read_request(PUSH, lines)
    assert fault.value.detail
    return fault.value.code


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in PARAMETERS.items() if key != name}


def test_a_request_of_the_profile_is_accepted_and_told_whose_it_is() -> None:
    assert accept_push(push_headers()) == SERVER.public
    assert accept_push(forged()) == SERVER.public
    assert accept_status(status_headers()) == SERVER.public
    signature = read_request(PUSH, push_headers().items())
    assert (signature.created, signature.expires) == (NOW, NOW + 60)
    assert (signature.keyid, signature.nonce) == (SERVER.public.id, b64u(NONCE))


def test_the_headers_are_those_of_the_protocol() -> None:
    headers = push_headers()
    assert headers["Signature-Input"] == (
        'hushpost=("@method" "@target-uri" "content-type" "content-digest")'
        f';created={NOW};expires={NOW + 60};nonce="{b64u(NONCE)}";keyid="{SERVER.public.id}"'
        ';alg="ed25519";tag="hushpost-push"'
    )
    assert headers["Hushpost-Key"] == b64u(SERVER.public.raw)
    assert set(headers) == {*FIELDS, "Signature-Input", "Signature"}
    assert set(status_headers()) == {"Hushpost-Key", "Signature-Input", "Signature"}


def test_header_names_are_read_in_any_case() -> None:
    for changed in (str.lower, str.upper):
        assert accept_push({changed(name): value for name, value in push_headers().items()}) == SERVER.public


def test_parameters_are_read_in_any_order() -> None:
    assert accept_push(forged(parameters=dict(reversed(PARAMETERS.items())))) == SERVER.public


@pytest.mark.parametrize("missing", [["Signature"], ["Signature-Input"], ["Signature", "Signature-Input"]])
def test_without_both_fields_the_signature_is_missing(missing: list[str]) -> None:
    assert code({k: v for k, v in push_headers().items() if k not in missing}) == "signature_missing"


@pytest.mark.parametrize(
    "components",
    [
        pytest.param(COMPONENTS[::-1], id="reversed"),
        pytest.param([COMPONENTS[1], COMPONENTS[0], *COMPONENTS[2:]], id="two swapped"),
        pytest.param(COMPONENTS[:3], id="content-digest left out"),
        pytest.param(COMPONENTS[1:], id="@method left out"),
        pytest.param([], id="none"),
        pytest.param([*COMPONENTS, '"hushpost-key"'], id="one more"),
        pytest.param([*COMPONENTS, COMPONENTS[0]], id="one twice"),
        pytest.param([COMPONENTS[0], '"@path"', *COMPONENTS[2:]], id="another"),
    ],
)
def test_other_covered_components_are_refused(components: list[str]) -> None:
    assert code(forged(components=components)) == "signature_profile"


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"content-digest")', '"content-digest";sf)'),
        ('"content-digest")', '"content-digest";key="sha-256")'),
        ('"content-type"', '"Content-Type"'),
        ('"@method" ', '"@method"  '),
        ('("@method"', '( "@method"'),
        ('"content-digest")', '"content-digest" )'),
        ('"@method"', "@method"),
        ('"@target-uri"', '"@target-uri";req'),
        (");created", ") ;created"),
        (";created", "; created"),
        ("hushpost=", "hushpost ="),
        ("hushpost=", "Hushpost="),
        ("hushpost=", ""),
        ("hushpost=", "hushpost=hushpost="),
        (f";created={NOW}", f";created=+{NOW}"),
        (f";created={NOW}", f";created=-{NOW}"),
        (f";created={NOW}", f";created={NOW}.0"),
        (f";created={NOW}", f";created=@{NOW}"),
        (f";created={NOW}", f";created={NOW}{'0' * 20}"),
        (f";created={NOW}", ";created"),
        (f";created={NOW}", ";created=?1"),
        (f";created={NOW}", f';created="{NOW}"'),
        ('alg="ed25519"', "alg=ed25519"),
        ('alg="ed25519"', "alg=:ZWQyNTUxOQ==:"),
        ('tag="hushpost-push"', 'tag="hushpost\\-push"'),
    ],
)
def test_another_spelling_is_refused(written: str, instead: str) -> None:
    headers = push_headers()
    assert written in headers["Signature-Input"]
    headers["Signature-Input"] = headers["Signature-Input"].replace(written, instead)
    assert code(headers) == "signature_profile"


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_each_parameter_is_required(name: str) -> None:
    assert code(forged(parameters=without(name))) == "signature_profile"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("extra", "1", id="an extra integer"),
        pytest.param("context", '"hushpost"', id="an extra string"),
        pytest.param("alg", '"hmac-sha256"', id="alg hmac"),
        pytest.param("alg", '"rsa-v1_5-sha256"', id="alg rsa"),
        pytest.param("alg", '"Ed25519"', id="alg in capitals"),
        pytest.param("alg", '""', id="alg empty"),
        pytest.param("tag", '"hushpost-status"', id="the tag of another profile"),
        pytest.param("tag", '"hushpost-push "', id="tag with a space"),
        pytest.param("expires", str(NOW + 61), id="expires 61 s after created"),
        pytest.param("expires", str(NOW + 86_400), id="expires a day after created"),
        pytest.param("expires", str(NOW - 1), id="expires before created"),
        pytest.param("created", str(NOW - 1), id="created 61 s before expires"),
        pytest.param("nonce", f'"{b64u(bytes(15))}"', id="nonce of 15 bytes"),
        pytest.param("nonce", f'"{b64u(bytes(17))}"', id="nonce of 17 bytes"),
        pytest.param("nonce", f'"{b64u(NONCE)}=="', id="nonce with padding"),
        pytest.param("nonce", f'"{b64u(NONCE)[:-1]}x"', id="nonce with stray bits"),
        pytest.param("nonce", '""', id="nonce empty"),
        pytest.param("nonce", "7", id="nonce a number"),
        pytest.param("keyid", f'"{SERVER.public.id[:-1]}"', id="keyid cut"),
        pytest.param("keyid", '"server-1"', id="keyid a name"),
    ],
)
def test_a_parameter_outside_its_rule_is_refused(name: str, value: str) -> None:
    assert code(forged(parameters={**PARAMETERS, name: value})) == "signature_profile"


def test_a_parameter_given_twice_is_refused() -> None:
    headers = push_headers()
    for again in (f";created={NOW}", ';alg="ed25519"', f';nonce="{b64u(NONCE)}"'):
        twice = {**headers, "Signature-Input": headers["Signature-Input"] + again}
        assert code(twice) == "signature_profile"


def test_an_expiry_at_the_very_end_of_its_rule_is_accepted() -> None:
    assert accept_push(push_headers(lifetime=60)) == SERVER.public
    assert accept_push(push_headers(lifetime=0)) == SERVER.public


def test_another_label_is_refused() -> None:
    assert code(forged(label="sig1")) == "signature_profile"


def test_labels_that_differ_between_the_two_fields_are_refused() -> None:
    headers = push_headers()
    headers["Signature"] = headers["Signature"].replace("hushpost", "other")
    assert code(headers) == "signature_profile"


def test_a_second_signature_is_refused_wherever_it_stands() -> None:
    ours, other = push_headers(), forged(label="sig2")
    both = {name: f"{ours[name]}, {other[name]}" for name in ("Signature-Input", "Signature")}
    first = {name: f"{other[name]}, {ours[name]}" for name in ("Signature-Input", "Signature")}
    for headers in (
        {**ours, **both},
        {**ours, **first},
        {**ours, "Signature": both["Signature"]},
        {**ours, "Signature-Input": both["Signature-Input"]},
        {**ours, "Signature": f"{ours['Signature']}, {ours['Signature']}"},
        {**ours, **{name: f"{ours[name]}, {ours[name]}" for name in both}},
    ):
        assert code(headers) == "signature_profile"


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_a_second_line_of_a_field_is_refused(name: str) -> None:
    headers = push_headers()
    assert code([*headers.items(), (name.lower(), headers[name])]) == "signature_profile"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hushpost",
        "hushpost=",
        "hushpost=::",
        f"hushpost=:{'A' * 84}:",
        f"hushpost=:{'A' * 88}:",
        f"hushpost=:{'A' * 86}:",
        f"hushpost=:{'A' * 85}B==:",  # stray bits
        f"hushpost=:{'-' * 86}==:",
        f'hushpost="{"A" * 86}=="',
        f"hushpost=:{'A' * 86}==:;p=1",
        f" hushpost=:{'A' * 86}==: ,",
    ],
)
def test_a_signature_of_another_form_is_refused(value: str) -> None:
    assert code({**push_headers(), "Signature": value}) == "signature_profile"


DIGESTS = stored("rfc9530_content_digest")
OTHERS = sorted({example["field_value"] for example in DIGESTS["examples"] if example["alg"] != "sha-256"})


@pytest.mark.parametrize(
    "value",
    [
        *OTHERS,
        *DIGESTS["malformed_in_rfc"],
        f"{second_http.digest(BODY)}, {second_http.digest(BODY)}",
        f"{second_http.digest(BODY)}, {OTHERS[-1]}",
        f"{OTHERS[-1]}, {second_http.digest(BODY)}",
        second_http.digest(BODY).upper(),
        second_http.digest(BODY) + ";p=1",
        second_http.digest(BODY).replace("=:", "=", 1),
        "",
    ],
)
def test_a_content_digest_is_one_sha_256_and_nothing_else(value: str) -> None:
    assert code(forged(fields={**FIELDS, "Content-Digest": value})) == "signature_profile"


@pytest.mark.parametrize("name", ["Content-Type", "Content-Digest"])
def test_a_covered_field_must_be_there(name: str) -> None:
    assert code({k: v for k, v in push_headers().items() if k != name}) == "signature_profile"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        b64u(STRANGER.public.raw),
        b64u(SERVER.public.raw) + "=",
        b64u(SERVER.public.raw)[:-1],
        b64u(bytes(31)),
        b64u(bytes(33)),
        SERVER.public.raw.hex(),
        f"{b64u(SERVER.public.raw)}, {b64u(SERVER.public.raw)}",
    ],
)
def test_a_key_that_is_missing_malformed_or_not_the_keyids_is_a_mismatch(value: str | None) -> None:
    headers = {name: text for name, text in push_headers().items() if name != "Hushpost-Key"}
    assert code(headers if value is None else {**headers, "Hushpost-Key": value}) == "key_mismatch"


def test_a_keyid_of_another_key_is_a_mismatch() -> None:
    parameters = {**PARAMETERS, "keyid": f'"{STRANGER.public.id}"'}
    assert code(forged(parameters=parameters)) == "key_mismatch"


def test_the_form_is_checked_before_the_key_and_the_key_before_the_signature() -> None:
    headers = {**push_headers(), "Hushpost-Key": "?", "Signature": f"hushpost=:{'A' * 86}==:"}
    assert code(headers) == "key_mismatch"
    headers["Signature-Input"] = headers["Signature-Input"].replace("ed25519", "ed448")
    assert code(headers) == "signature_profile"


@dataclass(frozen=True)
class Case:
    code: str
    method: str = "POST"
    target_uri: str = PUSH_URI
    body: bytes = BODY
    now: float = NOW


@pytest.mark.parametrize(
    "case",
    [
        Case("signature_invalid", method="PUT"),
        Case("signature_invalid", method="post"),
        Case("signature_invalid", target_uri="https://other.example/v1/push"),
        Case("signature_invalid", target_uri="http://relay.example/v1/push"),
        Case("signature_invalid", target_uri=PUSH_URI + "?"),
        Case("signature_invalid", target_uri=PUSH_URI + "/"),
        Case("created_skew", now=NOW + 61),
        Case("created_skew", now=NOW - 61),
        Case("created_skew", now=NOW - 60.5),
        Case("created_skew", now=NOW + 10**6),
        Case("digest_mismatch", body=b""),
        Case("digest_mismatch", body=BODY + b" "),
    ],
    ids=lambda case: case.code,
)
def test_what_was_signed_for_something_else_is_refused(case: Case) -> None:
    with pytest.raises(SignatureFault) as fault:
        accept_push(
            push_headers(), method=case.method, target_uri=case.target_uri, body=case.body, now=case.now
        )
    assert fault.value.code == case.code


@pytest.mark.parametrize("now", [NOW - 60, NOW - 0.5, NOW, NOW + 59.9, NOW + 60])
def test_a_request_is_good_within_a_minute_of_its_creation(now: float) -> None:
    assert accept_push(push_headers(), now=now) == SERVER.public


def test_a_request_is_no_longer_good_once_its_own_expiry_has_passed() -> None:
    headers = push_headers(lifetime=20)
    assert accept_push(headers, now=NOW + 20) == SERVER.public
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers, now=NOW + 21)
    assert fault.value.code == "signature_expired"


def test_a_request_signed_by_another_key_under_this_keyid_is_invalid() -> None:
    message = second_http.Message(dict(FIELDS), "POST", PUSH_URI)
    signed = second_http.sign(message, COMPONENTS, PARAMETERS, STRANGER.seed)
    with pytest.raises(SignatureFault) as fault:
        accept_push({**FIELDS, **signed})
    assert fault.value.code == "signature_invalid"


def test_a_push_is_no_status_request_and_the_reverse() -> None:
    assert code(status_headers()) == "signature_profile"
    with pytest.raises(SignatureFault) as fault:
        read_request(STATUS, push_headers().items())
    assert fault.value.code == "signature_profile"


def test_a_status_request_is_bound_to_its_address() -> None:
    signature = read_request(STATUS, status_headers().items())
    signature.verify(method="GET", target_uri=STATUS_URI)
    with pytest.raises(SignatureFault, match="signature_invalid"):
        signature.verify(method="GET", target_uri=PUSH_URI)


CODES = {
    "Content-Type": {"signature_invalid"},
    "Content-Digest": {"signature_profile", "signature_invalid"},
    "Hushpost-Key": {"key_mismatch"},
    "Signature": {"signature_profile", "signature_invalid"},
    "Signature-Input": {"signature_profile", "signature_invalid", "key_mismatch"},
}


@settings(max_examples=400)
@given(data=st.data())
def test_any_flipped_bit_in_a_header_is_refused(data: st.DataObject) -> None:
    headers = push_headers()
    name = data.draw(st.sampled_from(sorted(headers)))
    at = data.draw(st.integers(0, len(headers[name]) - 1))
    other = chr(ord(headers[name][at]) ^ 1 << data.draw(st.integers(0, 7)))
    headers[name] = headers[name][:at] + other + headers[name][at + 1 :]
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers)
    assert fault.value.code in CODES[name]


@given(data=st.data(), body=st.binary(min_size=1, max_size=300))
def test_any_flipped_bit_in_a_body_is_a_digest_mismatch(data: st.DataObject, body: bytes) -> None:
    headers = push_headers(body=body)
    assert accept_push(headers, body=body) == SERVER.public
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    other = bytearray(body)
    other[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers, body=bytes(other))
    assert fault.value.code == "digest_mismatch"


RUBBISH = st.dictionaries(st.sampled_from(sorted(CODES)), st.text(max_size=80), min_size=1)


@given(rubbish=RUBBISH.filter(lambda rubbish: rubbish.keys() != {"Content-Type"}))
def test_rubbish_in_the_headers_is_a_signature_fault(rubbish: dict[str, str]) -> None:
    assert code({**push_headers(), **rubbish}).startswith(("signature_", "key_"))


@pytest.mark.parametrize(
    "value",
    [
        "a=()" * 2000,
        "hushpost=(" + '"@method" ' * 2000,
        "hushpost=()" + ";a=1" * 4000,
        "hushpost=()" + ';a="' * 4000,
        "a=(), " * 3000,
    ],
)
def test_a_long_hostile_header_is_refused_at_once(value: str) -> None:
    """The reader takes time in proportion to the header; a test that hangs here has found the exception."""
    assert code({**push_headers(), "Signature-Input": value}) == "signature_profile"


def test_a_lone_surrogate_in_a_covered_field_is_a_signature_fault() -> None:
    with pytest.raises(SignatureFault) as fault:
        accept_push({**push_headers(), "Content-Type": "application/json\udcff"})
    assert fault.value.code == "signature_invalid"
