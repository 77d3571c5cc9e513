"""Claims: what was too large for one push lies on the server, sealed for one device (PROTOCOL.md, section 2).

The blob of a message's body is stored. That of a file is made each time that it is fetched, from the same key and nonce.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Claim:
    """What the preview says of it; `size` is the content's before padding, in bytes."""

    id: str
    frame_id: str
    device_id: str
    key: bytes = field(repr=False)
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class StoredClaim:
    claim: Claim
    message_id: str
    blob: bytes = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class FileClaim:
    """What one device may fetch of a file; `claim.frame_id` is the frame that names it, of the message `message_id`."""

    claim: Claim
    file_id: str
    message_id: str
    nonce: bytes
    created_at: int
