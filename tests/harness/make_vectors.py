"""Writes `tests/vectors/hushpost-v1.json`, run as `python -m tests.harness.make_vectors`.

What is right is made by the product (so a second implementation can contradict it), what is wrong by the second
implementation (the product makes nothing wrong). Everything follows from fixed keys, except the encapsulation in an
envelope: one that is in the file already and still holds the same frame is kept, so a second run changes nothing.
`docs/test-vectors.md` explains the file to whoever writes a client.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from crypto.claim import seal_claim
from crypto.encoding import b64u, unb64u
from crypto.envelope import seal
from crypto.frame import Frame
from crypto.handle import HandleClaims, Subscription, seal_handle
from crypto.keys import Suite, fingerprint
from tests.harness import second
from tests.harness.cast import (
    DEVICE_ID,
    EPOCH,
    MESSAGE_ID,
    NOW,
    OTHER_DEVICE_ID,
    PHONES,
    RELAY,
    ROOM,
    SECOND_PHONES,
    SERVER,
    STRANGER,
)
from tests.harness.stored import VECTORS
from tests.harness.vector_messages import answers, directories, requests
from tests.harness.vector_wrongs import wrongs

FILE = VECTORS / "hushpost-v1.json"
NAMES = {Suite.X25519: "x25519", Suite.XWING: "xwing"}
IDENTITIES = {"server": SERVER, "relay": RELAY, "stranger": STRANGER}
LETTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\')
CLAIM_KEY = bytes(range(32, 64))
CLAIM_NONCE = bytes(range(12))
HANDLE_NONCE = bytes(range(100, 112))
COLLAPSE_SECRET = bytes(range(64, 96))
SUBSCRIPTION = Subscription(
    "https://push.example/wpush/v2/gAAAAABexample",
    # RFC 8291, section 5: the receiver's point and secret.
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "BTBZMqHH6r4Tts7J_aSIgg",
)


def keys() -> dict[str, Any]:
    identities = [
        {
            "name": name,
            "text": key.text,
            "seed": key.seed.hex(),
            "public": key.public.raw.hex(),
            "jwk": key.public.jwk,
            "keyid": key.public.id,
        }
        for name, key in IDENTITIES.items()
    ]
    devices = [
        {
            "name": NAMES[suite],
            "suite": int(suite),
            "text": phone.text,
            "seed": phone.seed.hex(),
            "public": phone.public.raw.hex(),
            "keyId": phone.public.key_id.hex(),
            "deviceId": str(DEVICE_ID),
            "fingerprint": fingerprint(SERVER.public, phone.public),
        }
        for suite, phone in PHONES.items()
    ]
    epochs = [{"number": EPOCH.number, "text": EPOCH.text, "key": EPOCH.secret.hex()}]
    return {"identities": identities, "devices": devices, "epochs": epochs}


def written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def filling(length: int) -> bytes:
    """A message of exactly `length` bytes that compression would not bring down to a smaller size."""
    text = "".join(LETTERS[byte % len(LETTERS)] for byte in hashlib.shake_256(b"filling").digest(length))
    return written({"title": "Full", "body": text[: length - len(written({"title": "Full", "body": ""}))]})


NOTE = {"title": "Backup finished \N{CHECK MARK}", "body": "12.4 GB in 3 min", "deliveryType": "NORMAL"}
EARLIER = "01890a5d-ac90-7000-8000-000000000001"
BODIES = {
    "a message": (1, written(NOTE)),
    "an empty object": (1, b"{}"),
    "fields that nobody knows": (1, written({**NOTE, "newInVersion9": {"a": [1, None, "\N{PARTY POPPER}"]}})),
    "a retraction": (2, written({"ids": [EARLIER]})),
    "read elsewhere": (3, written({"ids": [EARLIER]})),
    "an update": (4, written({**NOTE, "of": EARLIER})),
    "a kind that nobody knows": (9, written({"ids": []})),
    "a compressed message": (1, written({"title": "Log", "body": "disk 91 % full; " * 120})),
    "a body larger than any envelope": (1, written({"title": "Tick", "body": "tick tock " * 900})),
}


def frames() -> Iterator[tuple[str, Suite, Frame]]:
    for suite, name in NAMES.items():
        for said, (kind, body) in BODIES.items():
            yield f"{name}: {said}", suite, Frame(MESSAGE_ID, 42, NOW * 1000, kind, body)
    for (suite, size), room in ROOM.items():
        frame = Frame(MESSAGE_ID, 2**32 + 7, NOW * 1000 + 999, 1, filling(room))
        yield f"{NAMES[suite]}: a body that fills {size} bytes", suite, frame


def envelopes(kept: dict[str, str]) -> list[dict[str, Any]]:
    return [envelope(name, suite, frame, kept.get(name)) for name, suite, frame in frames()]


def envelope(name: str, suite: Suite, frame: Frame, kept: str | None) -> dict[str, Any]:
    sealed = kept if kept and holds(kept, suite, frame) else made(suite, frame)
    plain = second.open_plaintext(unb64u(sealed), SECOND_PHONES[suite], SERVER.public.raw)
    end = second.FRAME_HEAD + int.from_bytes(plain[98:102], "big")
    return {
        "name": name,
        "device": NAMES[suite],
        "server": "server",
        "messageId": str(frame.message_id),
        "sequence": frame.sequence,
        "sentAt": frame.sent_at,
        "kind": frame.kind,
        "body": frame.body.decode(),
        "encoding": plain[97],
        "size": len(unb64u(sealed)),
        "info": SECOND_PHONES[suite].info(SERVER.public.raw).hex(),
        "frame": plain[: second.FRAME_HEAD].hex(),
        "deflated": b64u(plain[second.FRAME_HEAD : end]) if plain[97] else None,
        "envelope": sealed,
    }


def made(suite: Suite, frame: Frame) -> str:
    device = PHONES[suite].public
    return b64u(seal(frame, signer=SERVER, device=device, device_id=DEVICE_ID, largest=2944))


def holds(sealed: str, suite: Suite, frame: Frame) -> bool:
    """Whether an envelope of the present file says what it should at the right size.

    Neither encapsulation nor compression is compared: the one is random, the other the installed zlib's.
    """
    data = unb64u(sealed)
    try:
        read = second.open_envelope(data, SECOND_PHONES[suite], SERVER.public.raw)
    except second.Refused:
        return False
    said = Frame(read.message_id, read.sequence, read.sent_at, read.kind, read.body)
    return said == frame and len(data) == len(unb64u(made(suite, frame)))


def claims() -> list[dict[str, Any]]:
    contents = {
        "a whole body": written({"title": "Report", "body": "line after line; " * 300}),
        "content of a power of two": written({"body": "x" * 245}),
        "one byte": b"1",
    }
    return [claim(name, content) for name, content in contents.items()]


def claim(name: str, content: bytes) -> dict[str, Any]:
    blob = seal_claim(content, message_id=MESSAGE_ID, device_id=DEVICE_ID, key=CLAIM_KEY, nonce=CLAIM_NONCE)
    named = {"key": b64u(CLAIM_KEY), "sha256": b64u(hashlib.sha256(blob).digest()), "size": len(content)}
    return {
        "name": name,
        "messageId": str(MESSAGE_ID),
        "deviceId": str(DEVICE_ID),
        "nonce": CLAIM_NONCE.hex(),
        "content": content.decode(),
        "claim": {"id": EARLIER, **named},
        "blob": b64u(blob),
    }


def handles() -> list[dict[str, Any]]:
    where = {
        "apns": ("example.hushpost.app", "production", "c0ffee" * 10 + "0123", None),
        "fcm": ("example-project", "production", "fcm-token:APA91b" + "Zz9_-" * 24, None),
        "webpush": ("https://app.example", "production", None, SUBSCRIPTION),
    }
    return [
        handle(HandleClaims(provider, *rest, SERVER.public.id, NOW * 1000, (NOW + 90 * 86_400) * 1000))
        for provider, rest in where.items()
    ]


def handle(said: HandleClaims) -> dict[str, Any]:
    sealed = seal_handle(said, epoch=EPOCH, nonce=HANDLE_NONCE)
    text = second.handle_text(sealed, {EPOCH.number: EPOCH.secret})
    return {
        "name": said.provider,
        "epoch": EPOCH.number,
        "nonce": HANDLE_NONCE.hex(),
        "claims": json.loads(text),
        "text": text.rstrip(b" ").decode(),
        "padded": len(text),
        "handle": sealed,
    }


def collapses() -> list[dict[str, Any]]:
    cases = [
        (DEVICE_ID, None),
        (DEVICE_ID, "backup"),
        (OTHER_DEVICE_ID, "backup"),
        (DEVICE_ID, "T\N{LATIN SMALL LETTER U WITH DIAERESIS}r"),
    ]
    return [
        {
            "secret": COLLAPSE_SECRET.hex(),
            "deviceId": str(device_id),
            "messageId": str(MESSAGE_ID),
            "collapseId": collapse_id,
            "collapse": second.collapse(
                COLLAPSE_SECRET, device_id, message_id=MESSAGE_ID, collapse_id=collapse_id
            ),
        }
        for device_id, collapse_id in cases
    ]


def build(present: dict[str, Any]) -> dict[str, Any]:
    """The whole document; `present` is the one that it replaces, or empty."""
    kept = {entry["name"]: entry["envelope"] for entry in present.get("envelopes", [])}
    sealed = envelopes(kept)
    parts = {"envelopes": sealed, "claims": claims(), "handles": handles()}
    signed = {"requests": requests(), "answers": answers(), "directories": directories()}
    return {
        "protocol": "Hushpost wire protocol, version 1",
        "explained": "docs/test-vectors.md",
        "keys": keys(),
        **parts,
        "collapses": collapses(),
        **signed,
        "wrong": wrongs({**parts, **signed}),
    }


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    present = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    FILE.write_text(text_of(build(present)), encoding="utf-8")


if __name__ == "__main__":
    main()
