"""Claims: what was too large for one push lies on the server, sealed for one device (PROTOCOL.md, section 2)."""

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
