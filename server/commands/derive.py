"""Keys for single purposes from the server's one secret, so that none can stand in for another (RFC 5869)."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SESSIONS = "sessions"  # signs JWTs
SHARED = "shared"  # names what processes keep in Redis
PUSH_TOKENS = "push tokens"  # tells whether two are the same
FIRST_ACCOUNT = "first account"  # the code that the log shows


def derive(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for a purpose; the secret itself is used for nothing else."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"hushpost/1 " + purpose.encode()).derive(
        secret
    )


def webhook_key(secret: bytes, bucket_id: str, epoch: int) -> bytes:
    """Return the key that a bucket's webhooks are signed with; its `epoch` rises when it is replaced."""
    return derive(secret, f"webhooks {bucket_id} {epoch}")


def first_account_code(secret: bytes) -> str:
    """Return the code with which the first account is made from elsewhere: 80 bits, in groups to read aloud."""
    digits = derive(secret, FIRST_ACCOUNT)[:10].hex().upper()
    return "-".join(digits[i : i + 5] for i in range(0, len(digits), 5))
