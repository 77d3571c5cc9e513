"""What the demonstration's relay and providers saw, held against PROTOCOL §2: constants, and ciphertext of one of four sizes.

A record must have exactly the form that every message has. What varies in it is looked through for the text: the
envelope, and whatever else could carry it. A text of a few bytes can stand in ciphertext by chance, so that it is
looked for only from a length on at which that does not happen; the form rules it out for the shorter ones. A push service
sees an envelope only encrypted once more, in a body of a length that tells the envelope's.
"""

import json
from dataclasses import dataclass
from typing import Any

from crypto.encoding import unb64u
from crypto.envelope import LARGEST_WEB_PUSH, SIZES
from crypto.errors import CryptoError
from simulator.children import StepFailed

_APNS_ALERT = {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1, "sound": "default"}
_FCM_PARTS = [{"message"}, {"token", "data", "android"}, {"hp"}, {"priority", "ttl"}]
_PROVIDERS = ("apns", "fcm", "webpush")
_WEBPUSH_WRAPPING = 103  # RFC 8188's header with a P-256 point (86), a delimiter and the tag (17)
_WEBPUSH_SIZES = SIZES[: SIZES.index(LARGEST_WEB_PUSH) + 1]
_TOPIC_BYTES = 16
_SURE = 6  # bytes: one chance in 10^11 that they stand in an envelope


@dataclass(frozen=True)
class Sight:
    """What one provider saw of one push. `at` in milliseconds; `wrapping`: bytes of Web Push's own around the envelope."""

    provider: str
    token: str
    envelope_bytes: int
    at: int
    wrapping: int = 0


def examine(record: dict[str, Any], text: str) -> Sight | None:
    """Check a provider's record; None where it is of no push. `StepFailed` where it shows what it must not."""
    provider = record["provider"]
    seen = [record["payload"], *(value for header in record["headers"] for value in header)]
    if any(reveals(part.encode(), text) for part in seen):
        raise StepFailed(f"{provider} was given the text")
    if provider not in _PROVIDERS:
        return None
    wrapping = _WEBPUSH_WRAPPING if provider == "webpush" else 0
    try:
        seen_bytes = _web_push(record) if wrapping else _envelope(provider, json.loads(record["payload"]))
    except (ValueError, KeyError, TypeError, AttributeError, CryptoError):
        raise StepFailed(f"{provider} was given something else than the protocol's payload") from None
    length = len(seen_bytes) - wrapping
    if length not in (_WEBPUSH_SIZES if wrapping else SIZES):
        raise StepFailed(f"{provider} was given {len(seen_bytes)} bytes, which is none of the four sizes")
    if reveals(seen_bytes, text):
        raise StepFailed(f"{provider} was given the text")
    return Sight(provider, record["token"], length, record["at"], wrapping)


def _web_push(record: dict[str, Any]) -> bytes:
    """The body of a push that names nothing but its encoding and a topic of 16 bytes; an error of any kind otherwise."""
    headers = {name.lower(): value for name, value in record["headers"]}
    unb64u(headers["topic"], _TOPIC_BYTES)
    if headers["content-encoding"] != "aes128gcm":
        raise ValueError("content-encoding")
    return unb64u(record["payload"])


def _envelope(provider: str, payload: dict[str, Any]) -> bytes:
    """The envelope in a payload that otherwise has only what every message has; an error of any kind otherwise."""
    if provider == "apns":
        if payload.keys() != {"aps", "hp"} or payload["aps"] != _APNS_ALERT:
            raise ValueError("aps")
        return unb64u(payload["hp"])
    message = payload["message"]
    parts = [set(payload), set(message), set(message["data"]), set(message["android"])]
    if parts != _FCM_PARTS:
        raise ValueError("message")
    return unb64u(message["data"]["hp"])


def reveals(data: bytes, text: str) -> bool:
    """Whether bytes hold a text: as it is, or as JSON writes it."""
    forms = {
        text.encode(),
        json.dumps(text)[1:-1].encode(),
        json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    }
    return any(len(form) >= _SURE and form in data for form in forms)
