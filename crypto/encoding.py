"""base64url without padding (`b64u`), strict: one text for one byte string.

A lenient decoder would let two texts name the same key, nonce or handle, and whatever compares texts (an allowlist, a
replay store) would then be fooled by the second.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BinasciiError

from crypto.errors import Malformed


def b64u(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str, length: int | None = None) -> bytes:
    """The bytes of canonical base64url text; `Malformed` unless it is that, and of `length` bytes where given."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, BinasciiError) as error:
        raise Malformed("not base64url") from error
    # The standard decoder skips foreign characters and ignores stray bits; encoding again exposes both.
    if b64u(data) != text or (length is not None and len(data) != length):
        raise Malformed("not canonical base64url of the expected length")
    return data
