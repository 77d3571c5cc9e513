"""What `hushpost-v1.json` says must be refused, each with its reason: made by the second implementation.

An entry repeats what it takes to check it and adds `error`. The altered ones start from right entries, given here as
the file has them.
"""

import hashlib
from typing import Any

from crypto.keys import Suite
from tests.harness import second
from tests.harness.cast import (
    DEVICE_ID,
    EPHEMERAL,
    MESSAGE_ID,
    NOW,
    OTHER_DEVICE_ID,
    SECOND_PHONES,
    SERVER,
    SERVER_SEED,
    STRANGER,
    said,
)
from tests.harness.second import b64u, unb64u
from tests.harness.vector_wrongs_http import wrong_answers, wrong_requests

Entry = dict[str, Any]

X25519, XWING = SECOND_PHONES[Suite.X25519], SECOND_PHONES[Suite.XWING]


def wrongs(right: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
    return {
        "keys": _keys(),
        "envelopes": [*_altered(right["envelopes"]), *_misaddressed(right["envelopes"]), *_crafted()],
        "claims": _claims(right["claims"]),
        "handles": _handles(right["handles"]),
        "requests": wrong_requests(right["requests"][0]),
        "answers": wrong_answers(right["answers"][0]),
    }


def _keys() -> list[Entry]:
    seed = b64u(bytes(range(32)))
    texts = {
        "an unknown type": f"hushpost-identity-2:{seed}",
        "a device key of an unknown suite": f"hushpost-device-3:{seed}",
        "a key with padding": f"hushpost-device-1:{seed}=",
        "a key with stray bits": f"hushpost-device-1:{seed[:-1]}9",
        "a key of 31 bytes": f"hushpost-device-2:{b64u(bytes(31))}",
        "an epoch without a number": f"hushpost-epoch-1:{seed}",
        "an epoch number with a leading zero": f"hushpost-epoch-1:03:{seed}",
    }
    public = {
        "an X25519 point of small order": (1, bytes(32)),
        "an X-Wing key that ends in a point of small order": (2, XWING.public[:1184] + bytes(32)),
        "an ML-KEM key that is not reduced": (2, b"\xff" * 384 + XWING.public[384:]),
        "an X-Wing key without its X25519 half": (2, XWING.public[:1184]),
    }
    return [
        *({"name": name, "text": text, "error": "malformed"} for name, text in texts.items()),
        *(
            {"name": name, "suite": suite, "public": raw.hex(), "error": "malformed"}
            for name, (suite, raw) in public.items()
        ),
    ]


def _flip(data: bytes, at: int) -> bytes:
    position = at % len(data)
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _envelope(name: str, device: str, sealed: bytes, error: str, **other: str) -> Entry:
    addressed = {"device": device, "deviceId": str(DEVICE_ID), "server": "server", **other}
    return {"name": f"{device}: {name}", **addressed, "envelope": b64u(sealed), "error": error}


def _messages(envelopes: list[Entry]) -> list[tuple[str, bytes]]:
    return [(e["device"], unb64u(e["envelope"])) for e in envelopes if e["name"].endswith(": a message")]


def _altered(envelopes: list[Entry]) -> list[Entry]:
    entries = []
    for device, sealed in _messages(envelopes):
        entries += [
            _envelope("version 0", device, b"\x00" + sealed[1:], "malformed"),
            _envelope("version 2", device, b"\x02" + sealed[1:], "malformed"),
            _envelope("a bit of the key id", device, _flip(sealed, 9), "not_my_key"),
            _envelope("a bit of enc", device, _flip(sealed, 10), "altered"),
            _envelope("a bit of the ciphertext", device, _flip(sealed, -100), "altered"),
            _envelope("a bit of the tag", device, _flip(sealed, -1), "altered"),
            _envelope("one byte short", device, sealed[:-1], "malformed"),
            _envelope("one byte long", device, sealed + b"\x00", "malformed"),
        ]
    return entries


def _misaddressed(envelopes: list[Entry]) -> list[Entry]:
    entries = []
    for device, sealed in _messages(envelopes):
        other = "xwing" if device == "x25519" else "x25519"
        entries += [
            _envelope("another device id", device, sealed, "altered", deviceId=str(OTHER_DEVICE_ID)),
            _envelope("another server", device, sealed, "altered", server="stranger"),
            _envelope(f"what is for {device}", other, sealed, "not_my_key"),
        ]
    return entries


# One stored DEFLATE block: the same bytes whatever compressor is installed.
STORED = b"\x01\x02\x00\xfd\xff{}"
ZLIB = bytes.fromhex("789cabae0500017500f9")


def _bomb() -> bytes:
    """65,537 times "a" in one block of fixed codes (RFC 1951, section 3.2.6): one literal, 254 copies of 258, one of 4."""
    bits = "1" + "10" + "10010001" + ("11000101" + "00000") * 254 + "0000010" + "00000" + "0000000"
    return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")


def _sealed(frame: second.Said, padding: int = 0, length: int | None = None) -> bytes:
    return second.seal(
        frame,
        server_seed=SERVER_SEED,
        device=X25519,
        size=768,
        ephemeral=EPHEMERAL,
        padding=padding,
        length=length,
    )


def _crafted() -> list[Entry]:
    phone, public = X25519, SERVER.public.raw
    signed = said(b"{}").signed()
    forged = second.frame_signature(STRANGER.seed, phone.info(public), signed) + signed
    moved = second.Device(1, phone.seed, OTHER_DEVICE_ID)
    stolen = second.frame_signature(SERVER_SEED, moved.info(public), signed) + signed
    room = second.frame_length(1, 768)
    frames = {
        "padding that is not zero": (_sealed(said(b"{}"), padding=1), "malformed"),
        "a length beyond the frame": (_sealed(said(b"{}"), length=609), "malformed"),
        "an encoding that nobody knows": (_sealed(said(b"{}", encoding=2)), "malformed"),
        "a body that inflates to 65,537 bytes": (
            _sealed(said(_bomb(), encoding=1)),
            "malformed",
        ),
        "a byte after the final block": (_sealed(said(STORED + b"\x00", encoding=1)), "malformed"),
        "a stream cut short": (_sealed(said(STORED[:-1], encoding=1)), "malformed"),
        "a zlib wrapper": (_sealed(said(ZLIB, encoding=1)), "malformed"),
        "signed by a stranger": (
            second.seal_frame(phone, public, forged.ljust(room, b"\x00"), EPHEMERAL),
            "altered",
        ),
        "a frame signed for another device": (
            second.seal_frame(phone, public, stolen.ljust(room, b"\x00"), EPHEMERAL),
            "altered",
        ),
        "an enc of small order": (phone.prefix() + bytes(768 - 10), "altered"),
    }
    return [_envelope(name, "x25519", sealed, error) for name, (sealed, error) in frames.items()]


def _claims(claims: list[Entry]) -> list[Entry]:
    whole = claims[1]
    blob = unb64u(whole["blob"])
    loose = second.seal_claim(b"{...}!", MESSAGE_ID, DEVICE_ID, unb64u(whole["claim"]["key"]), bytes(12))
    named = b64u(hashlib.sha256(loose).digest())
    wide = second.seal_claim(
        b"{}".ljust(8, b"\0"), MESSAGE_ID, DEVICE_ID, unb64u(whole["claim"]["key"]), bytes(12)
    )
    wide_named = b64u(hashlib.sha256(wide).digest())
    altered = b64u(_flip(blob, 500))
    cases: dict[str, tuple[Entry, str]] = {
        "an altered blob": ({"blob": altered}, "altered"),
        "an altered blob that is named": (
            {
                "blob": altered,
                "claim": {**whole["claim"], "sha256": b64u(hashlib.sha256(unb64u(altered)).digest())},
            },
            "altered",
        ),
        "another message": ({"messageId": str(DEVICE_ID)}, "altered"),
        "another device": ({"deviceId": str(OTHER_DEVICE_ID)}, "altered"),
        "another key": ({"claim": {**whole["claim"], "key": b64u(bytes(32))}}, "altered"),
        "padding that is not zero": (
            {"blob": b64u(loose), "claim": {**whole["claim"], "sha256": named, "size": 5}},
            "malformed",
        ),
        "padding beyond the next power of two": (
            {"blob": b64u(wide), "claim": {**whole["claim"], "sha256": wide_named, "size": 2}},
            "malformed",
        ),
    }
    kept = {name: value for name, value in whole.items() if name not in ("content", "nonce")}
    return [{**kept, "name": name, **other, "error": error} for name, (other, error) in cases.items()]


def _handles(handles: list[Entry]) -> list[Entry]:
    sealed = unb64u(handles[0]["handle"])
    fresh = {"server": SERVER.public.id, "now": NOW * 1000}
    late = (NOW + 91 * 86_400) * 1000
    other = {"server": STRANGER.public.id}
    cases: dict[str, tuple[bytes, Entry, str]] = {
        "another version": (b"\x02" + sealed[1:], {}, "malformed"),
        "cut short": (sealed[:-1], {}, "malformed"),
        "an epoch that is not configured": (_flip(sealed, 4), {}, "not_my_key"),
        "an altered nonce": (_flip(sealed, 5), {}, "altered"),
        "an altered ciphertext": (_flip(sealed, 300), {}, "altered"),
        "bound to another server": (sealed, other, "not_my_key"),
        "expired": (sealed, {"now": late}, "expired"),
        "expired, and bound to another server": (sealed, {**other, "now": late}, "not_my_key"),
    }
    entries = [
        {"name": name, "handle": b64u(data), **fresh, **changes, "error": error}
        for name, (data, changes, error) in cases.items()
    ]
    return [*entries, {"name": "padded base64", "handle": b64u(sealed) + "==", **fresh, "error": "malformed"}]
