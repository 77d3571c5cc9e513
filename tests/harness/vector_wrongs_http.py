"""The signed messages that `hushpost-v1.json` says must be refused, each with its code from the protocol's table."""

from typing import Any

from tests.harness import second_http
from tests.harness.cast import NOW, SERVER_SEED, STRANGER
from tests.harness.second import b64u

Entry = dict[str, Any]
Cases = dict[str, tuple[Entry, str]]

COMPONENTS = second_http.COMPONENTS["push"]
PARAMETERS = second_http.parameters("push", SERVER_SEED, NOW, NOW + 60, bytes(range(16)))


def _entries(right: Entry, cases: Cases) -> list[Entry]:
    kept = {name: value for name, value in right.items() if name != "base"}
    return [{**kept, "name": name, **other, "error": error} for name, (other, error) in cases.items()]


def _fields(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Signature")}


def _forged(
    request: Entry,
    *,
    parameters: dict[str, str] = PARAMETERS,
    components: list[str] = COMPONENTS,
    label: str = "hushpost",
) -> dict[str, str]:
    """Headers whose signature is right for what they say."""
    fields = _fields(request["headers"])
    message = second_http.Message(fields, request["method"], request["targetUri"])
    return {**fields, **second_http.sign(message, components, parameters, SERVER_SEED, label)}


def wrong_requests(push: Entry) -> list[Entry]:
    return _entries(push, {**_wrong_forms(push), **_wrong_parameters(push), **_wrong_uses(push)})


def _wrong_forms(push: Entry) -> Cases:
    headers: dict[str, str] = push["headers"]
    other = _forged(push, label="other")
    twice = {name: f"{headers[name]}, {other[name]}" for name in ("Signature-Input", "Signature")}
    sha512 = "sha-512=:" + "A" * 86 + "==:"
    stranger = b64u(STRANGER.public.raw)
    return {
        "no signature": ({"headers": _fields(headers)}, "signature_missing"),
        "another label": ({"headers": other}, "signature_profile"),
        "a second signature": ({"headers": {**headers, **twice}}, "signature_profile"),
        "components in another order": (
            {"headers": _forged(push, components=COMPONENTS[::-1])},
            "signature_profile",
        ),
        "a digest of another algorithm": (
            {"headers": {**headers, "Content-Digest": sha512}},
            "signature_profile",
        ),
        "another key": ({"headers": {**headers, "Hushpost-Key": stranger}}, "key_mismatch"),
        "no key": (
            {"headers": {name: value for name, value in headers.items() if name != "Hushpost-Key"}},
            "key_mismatch",
        ),
    }


def _wrong_parameters(push: Entry) -> Cases:
    rules = {
        "no nonce": {name: value for name, value in PARAMETERS.items() if name != "nonce"},
        "a parameter too many": {**PARAMETERS, "context": '"x"'},
        "another algorithm": {**PARAMETERS, "alg": '"hmac-sha256"'},
        "another tag": {**PARAMETERS, "tag": '"hushpost-status"'},
        "61 seconds of life": {**PARAMETERS, "expires": str(NOW + 61)},
        "a nonce of 15 bytes": {**PARAMETERS, "nonce": f'"{b64u(bytes(15))}"'},
    }
    return {
        name: ({"headers": _forged(push, parameters=parameters)}, "signature_profile")
        for name, parameters in rules.items()
    }


def _wrong_uses(push: Entry) -> Cases:
    headers: dict[str, str] = push["headers"]
    brief = _forged(push, parameters={**PARAMETERS, "expires": str(NOW + 5)})
    return {
        "another content type": ({"headers": {**headers, "Content-Type": "text/plain"}}, "signature_invalid"),
        "another method": ({"method": "PUT"}, "signature_invalid"),
        "another relay": ({"targetUri": "https://other.example/v1/push"}, "signature_invalid"),
        "another body": ({"body": push["body"] + " "}, "digest_mismatch"),
        "61 seconds late": ({"now": NOW + 61}, "created_skew"),
        "61 seconds early": ({"now": NOW - 61}, "created_skew"),
        "after its own expiry": ({"headers": brief, "now": NOW + 6}, "signature_expired"),
    }


def wrong_answers(outcome: Entry) -> list[Entry]:
    headers: dict[str, str] = outcome["headers"]
    request: Entry = outcome["request"]
    signature = _another(request["headers"]["Signature"])
    cases: Cases = {
        "no signature": ({"headers": _fields(headers)}, "signature_missing"),
        "a status changed on the way": ({"status": 202}, "signature_invalid"),
        "a body changed on the way": ({"body": outcome["body"] + " "}, "digest_mismatch"),
        "the answer to another request": (
            {"request": {**request, "headers": {**request["headers"], "Signature": signature}}},
            "signature_invalid",
        ),
        "the answer to another address": (
            {"request": {**request, "targetUri": "https://other.example/v1/push"}},
            "signature_invalid",
        ),
        "signed by a key that is not the relay's": ({"key": "stranger"}, "key_mismatch"),
        "an outcome where a status answer is expected": ({"profile": "status_answer"}, "signature_profile"),
        "too old": ({"now": NOW + 61}, "created_skew"),
    }
    return _entries(outcome, cases)


def _another(member: str) -> str:
    """A signature member with another first character."""
    at = member.index(":") + 1
    return member[:at] + ("A" if member[at] != "A" else "B") + member[at + 1 :]
