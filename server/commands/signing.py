"""Answers that a device must be able to trust before it trusts the server: signed with its identity key."""

from collections.abc import Iterable
from dataclasses import dataclass

from crypto.encoding import unb64u
from crypto.errors import Malformed
from crypto.httpsig import (
    IDENTITY,
    LIFETIME,
    PAIR,
    Profile,
    content_digest,
    request_context,
    sign_answer,
    sign_directory,
)
from crypto.keys import IdentityKey, jwks
from server.domain.errors import Fault, Invalid

_NONCE_BYTES = 16
_FIX = "send Content-Digest with the SHA-256 of the body: sha-256=:<base64>:"


@dataclass(frozen=True)
class Signer:
    """Signs answers; times are milliseconds, `target_uri` the address as the device called it."""

    identity: IdentityKey

    def identity_answer(self, target_uri: str, body: bytes, content_type: str, now: int) -> dict[str, str]:
        """Return the headers of `GET /api/v1/identity` (PROTOCOL.md, section 6)."""
        return self._sign(IDENTITY, "GET", target_uri, [], (200, body, content_type), now)

    def pairing_answer(
        self, target_uri: str, headers: Iterable[tuple[str, str]], body: bytes, content_type: str, now: int
    ) -> dict[str, str]:
        """Return the headers of a pairing's 201, bound to the request that had these headers."""
        return self._sign(PAIR, "POST", target_uri, headers, (201, body, content_type), now)

    def directory(self, target_uri: str, body: bytes, now: int) -> dict[str, str]:
        """Return the headers of the key directory (section 1)."""
        return sign_directory(
            [self.identity],
            status=200,
            body=body,
            target_uri=target_uri,
            created=now // 1000,
            lifetime=LIFETIME,
        )

    @property
    def key_set(self) -> dict[str, list[dict[str, str]]]:
        return jwks([self.identity.public])

    def _sign(
        self,
        profile: Profile,
        method: str,
        target_uri: str,
        headers: Iterable[tuple[str, str]],
        answer: tuple[int, bytes, str],
        now: int,
    ) -> dict[str, str]:
        status, body, content_type = answer
        return sign_answer(
            profile,
            key=self.identity,
            status=status,
            content_type=content_type,
            body=body,
            request=request_context(method, target_uri, headers),
            created=now // 1000,
            lifetime=LIFETIME,
        )


def is_nonce(text: str) -> bool:
    """Say whether a text is 16 bytes in base64url."""
    try:
        return len(unb64u(text, _NONCE_BYTES)) == _NONCE_BYTES
    except Malformed:
        return False


def check_digest(received: str | None, body: bytes) -> None:
    """Refuse a body that is not the one its sender digested; Invalid."""
    if received is None:
        raise Invalid("Content-Digest is missing", faults=[Fault("Content-Digest", "is missing", _FIX)])
    if received.strip() != content_digest(body):
        fault = Fault("Content-Digest", "is not that of the body", _FIX)
        raise Invalid("Content-Digest does not match", code="digest_mismatch", faults=[fault])
