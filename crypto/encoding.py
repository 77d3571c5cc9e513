"""base64url without padding (`b64u`), strict: one text for one byte string.

A lenient decoder would let two texts name the same key, nonce or handle, and whatever compares texts (an allowlist, a
replay store) would then be fooled by the second. The text itself is therefore looked at before it is decoded: the standard
decoder skips foreign characters and ignores the bits that are left over in the last one (RFC 4648 §3.5).
"""

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from string import ascii_letters, digits
from typing import Final

from crypto.errors import Malformed

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_ALPHABET: Final = (ascii_letters + digits + "-_").encode()
# How many bytes the characters of an incomplete last group stand for, and what the last of them may be.
_LAST: Final = {0: (0, None), 2: (1, frozenset("AQgw")), 3: (2, frozenset("AEIMQUYcgkosw048"))}


def b64u(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64u_length(text: str) -> int | None:
    """How many bytes canonical base64url text stands for; None where it is not that."""
    groups, rest = divmod(len(text), 4)
    last = _LAST.get(rest)
    if last is None or not text.isascii() or text.encode().translate(None, _ALPHABET):
        return None
    more, allowed = last
    return None if allowed is not None and text[-1] not in allowed else 3 * groups + more


def unb64u(text: str, length: int | None = None) -> bytes:
    """The bytes of canonical base64url text; `Malformed` unless it is that, and of `length` bytes where given."""
    found = b64u_length(text)
    if found is None or length not in {None, found}:
        raise Malformed("not canonical base64url of the expected length")
    return a2b_base64(text.encode().translate(_STANDARD) + b"=" * (-len(text) % 4))
