"""Why something did not open, for the caller's decisions and counters.

The four reasons are kept apart inside because they lead to different repairs (another key, an attack or a fault on the
way, a renewal, a bug in the sender). Nothing that an outsider can see may depend on more than them: the messages never
name an offset, a length or a value.
"""

from typing import ClassVar


class CryptoError(Exception):
    """What could not be opened, made or read; `reason` is stable and safe to show."""

    reason: ClassVar[str]


class NotMyKey(CryptoError):
    """Addressed to a key (epoch, device key, server) that the opener does not hold."""

    reason = "not_my_key"


class Altered(CryptoError):
    """A tag, digest or signature does not match: not what the sender made."""

    reason = "altered"


class Expired(CryptoError):
    """Genuine, and no longer valid."""

    reason = "expired"


class Malformed(CryptoError):
    """Not of the form that the protocol gives it."""

    reason = "malformed"


class TooLarge(CryptoError):
    """The body does not fit the largest size; send a preview with a claim."""

    reason = "too_large"
