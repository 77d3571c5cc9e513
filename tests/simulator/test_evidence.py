"""The demonstration's judgement of what a provider was given: it must see a leak, and nothing where there is none."""

import json
from typing import Any

import pytest

from crypto.encoding import b64u
from simulator.children import StepFailed
from simulator.evidence import Sight, examine, reveals

ENVELOPE = bytes(768)
TEXT = "Backup finished ✓"
APS = {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1, "sound": "default"}


def record(provider: str, payload: Any) -> dict[str, Any]:
    return {
        "provider": provider,
        "environment": "production",
        "token": "t",
        "headers": [["apns-topic", "org.example"]],
        "payload": payload if isinstance(payload, str) else json.dumps(payload),
        "status": 200,
        "reason": "",
        "at": 5,
    }


def apns(envelope: bytes = ENVELOPE, **more: Any) -> dict[str, Any]:
    return record("apns", {"aps": APS, "hp": b64u(envelope), **more})


def fcm(envelope: bytes = ENVELOPE, **more: Any) -> dict[str, Any]:
    message = {
        "token": "t",
        "data": {"hp": b64u(envelope)},
        "android": {"priority": "HIGH", "ttl": "1s"},
        **more,
    }
    return record("fcm", {"message": message})


def web(envelope: bytes = ENVELOPE, *, encoding: str = "aes128gcm", **headers: str) -> dict[str, Any]:
    """A push as a push service records it; what is around the envelope is in its place and as long."""
    named = {"topic": b64u(bytes(16)), "content-encoding": encoding, "ttl": "60", **headers}
    return {
        **record("webpush", b64u(bytes(86) + envelope + bytes(17))),
        "headers": [list(pair) for pair in named.items()],
    }


def test_ciphertext_of_one_of_the_four_sizes_is_what_may_be_seen() -> None:
    assert examine(apns(), TEXT) == Sight("apns", "t", 768, 5)
    assert examine(fcm(bytes(2944)), TEXT) == Sight("fcm", "t", 2944, 5)
    assert examine(web(bytes(2304)), TEXT) == Sight("webpush", "t", 2304, 5, wrapping=103)


def test_a_request_for_a_token_is_no_push() -> None:
    assert examine(record("google", "grant_type=jwt"), TEXT) is None


@pytest.mark.parametrize(
    "leaking",
    [
        apns(title=TEXT),
        apns(TEXT.encode() + bytes(768 - len(TEXT.encode()))),
        fcm(notification={"title": "x"}),
        fcm(TEXT.encode() + bytes(768 - len(TEXT.encode()))),
        web(TEXT.encode() + bytes(768 - len(TEXT.encode()))),
        web(urgency=TEXT),
        record("google", f"assertion={TEXT}"),
        record("google", json.dumps(TEXT)),
    ],
)
def test_the_text_in_any_place_is_seen(leaking: dict[str, Any]) -> None:
    with pytest.raises(StepFailed):
        examine(leaking, TEXT)


@pytest.mark.parametrize(
    "strange",
    [
        apns(bytes(769)),
        apns(bytes(0)),
        apns(extra="x"),
        fcm(topic="x"),
        web(bytes(769)),
        web(bytes(2944)),
        web(topic="Backup"),
        web(encoding="gzip"),
        {**web(), "headers": []},
        record("apns", "not JSON"),
        record("apns", []),
        record("fcm", {"message": {"data": {}}}),
        record(
            "fcm", {"message": {"token": "t", "data": {"hp": "="}, "android": {"priority": "", "ttl": ""}}}
        ),
    ],
)
def test_another_form_than_the_protocols_is_seen_even_without_a_text(strange: dict[str, Any]) -> None:
    with pytest.raises(StepFailed):
        examine(strange, "a")


def test_a_text_of_a_few_bytes_is_not_looked_for_where_it_may_stand_by_chance() -> None:
    assert not reveals(b"....a....", "a")
    assert reveals(b"....abcdef....", "abcdef")


def test_a_text_is_seen_as_json_writes_it() -> None:
    assert reveals(json.dumps('line\n"two" ✓').encode(), 'line\n"two" ✓')
