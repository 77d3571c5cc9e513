"""The one accepted form of a signed request: each rule of the profile, with the code of its refusal."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import b64u
from crypto.httpsig import PUSH, SignatureFault, read_request
from tests.harness import second_http
from tests.harness.cast import NOW, SERVER, STRANGER
from tests.harness.exchange import (
    BODY,
    NONCE,
    PUSH_COMPONENTS,
    PUSH_FIELDS,
    PUSH_PARAMETERS,
    accept_push,
    forged,
    push_headers,
)
from tests.harness.stored import stored


def code(headers: Mapping[str, str] | list[tuple[str, str]]) -> str:
    lines = headers.items() if isinstance(headers, Mapping) else headers
    with pytest.raises(SignatureFault) as fault:
        read_request(PUSH, lines)
    assert fault.value.detail
    return fault.value.code


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in PUSH_PARAMETERS.items() if key != name}


@pytest.mark.parametrize("missing", [["Signature"], ["Signature-Input"], ["Signature", "Signature-Input"]])
def test_without_both_fields_the_signature_is_missing(missing: list[str]) -> None:
    assert code({k: v for k, v in push_headers().items() if k not in missing}) == "signature_missing"


@pytest.mark.parametrize(
    "components",
    [
        pytest.param(PUSH_COMPONENTS[::-1], id="reversed"),
        pytest.param([PUSH_COMPONENTS[1], PUSH_COMPONENTS[0], *PUSH_COMPONENTS[2:]], id="two swapped"),
        pytest.param(PUSH_COMPONENTS[:3], id="content-digest left out"),
        pytest.param(PUSH_COMPONENTS[1:], id="@method left out"),
        pytest.param([], id="none"),
        pytest.param([*PUSH_COMPONENTS, '"hushpost-key"'], id="one more"),
        pytest.param([*PUSH_COMPONENTS, PUSH_COMPONENTS[0]], id="one twice"),
        pytest.param([PUSH_COMPONENTS[0], '"@path"', *PUSH_COMPONENTS[2:]], id="another"),
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
        (f";created={NOW}", f";created=0{NOW}"),
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


@pytest.mark.parametrize("name", list(PUSH_PARAMETERS))
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
    assert code(forged(parameters={**PUSH_PARAMETERS, name: value})) == "signature_profile"


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
        f"sha-256=:{'A' * 42}B=:",  # stray bits
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
    assert code(forged(fields={**PUSH_FIELDS, "Content-Digest": value})) == "signature_profile"


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
    parameters = {**PUSH_PARAMETERS, "keyid": f'"{STRANGER.public.id}"'}
    assert code(forged(parameters=parameters)) == "key_mismatch"


def test_the_form_is_checked_before_the_key_and_the_key_before_the_signature() -> None:
    headers = {**push_headers(), "Hushpost-Key": "?", "Signature": f"hushpost=:{'A' * 86}==:"}
    assert code(headers) == "key_mismatch"
    headers["Signature-Input"] = headers["Signature-Input"].replace("ed25519", "ed448")
    assert code(headers) == "signature_profile"


RUBBISH = st.dictionaries(st.sampled_from(sorted(push_headers())), st.text(max_size=80), min_size=1)


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
