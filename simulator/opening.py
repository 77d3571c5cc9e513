"""From what a push or a fetch brought to what it says: open, verify, read. No I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from crypto.claim import open_claim
from crypto.encoding import unb64u
from crypto.envelope import open_envelope
from crypto.errors import Malformed
from crypto.frame import Frame
from simulator.mail import Content
from simulator.state import PhoneState


@dataclass(frozen=True)
class Opened:
    """A verified frame, and its body as JSON; `size` is the envelope's."""

    frame: Frame
    content: Content = field(repr=False)
    size: int


@dataclass(frozen=True)
class Claim:
    """Where the whole of a preview lies, and what opens it."""

    id: str
    key: bytes = field(repr=False)
    sha256: bytes
    size: int


@dataclass(frozen=True)
class Answer:
    """A fetch's answer as the server wrote it."""

    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    retracted: Sequence[str]
    read: Sequence[str]
    head: int
    more: bool


def open_text(envelope: str, state: PhoneState) -> Opened:
    """Open an envelope with whatever key it names; a `CryptoError` says why it cannot be."""
    data = unb64u(envelope)
    frame = open_envelope(
        data,
        keys=[held.key for held in state.keys],
        device_id=UUID(state.pairing.device_id),
        server=state.pairing.server,
    )
    return Opened(frame, read_content(frame.body), len(data))


def read_content(body: bytes) -> Content:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Malformed("a body that is not JSON") from error
    if not isinstance(content, dict):
        raise Malformed("a body that is not an object")
    return content


def claim_of(content: Content) -> Claim | None:
    """Read the claim that a preview names; `Malformed` where it is not one."""
    claim = content.get("claim")
    if claim is None:
        return None
    match claim:
        case {"id": str(name), "key": str(key), "sha256": str(digest), "size": int(size)} if size >= 0:
            return Claim(name, unb64u(key, 32), unb64u(digest, 32), size)
    raise Malformed("a claim without id, key, sha256 and size")


def open_whole(blob: bytes, claim: Claim, *, message_id: str, device_id: str) -> Content:
    """Open a fetched claim, which is the whole body of its message."""
    return read_content(open_blob(blob, claim, message_id=message_id, device_id=device_id))


def open_blob(blob: bytes, claim: Claim, *, message_id: str, device_id: str) -> bytes:
    """Open a fetched claim: a body, or a file that came with it."""
    return open_claim(
        blob,
        message_id=UUID(message_id),
        device_id=UUID(device_id),
        key=claim.key,
        sha256=claim.sha256,
        size=claim.size,
    )


def read_answer(body: Mapping[str, Any]) -> Answer:
    match body:
        case {
            "messages": list(messages),
            "retracted": list(retracted),
            "read": list(read),
            "head": int(head),
            "more": bool(more),
        } if all(isinstance(one, dict) and isinstance(one.get("sequence"), int) for one in messages):
            return Answer(messages, [str(one) for one in retracted], [str(one) for one in read], head, more)
    raise Malformed("an answer without messages, retracted, read, head and more")
