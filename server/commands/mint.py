"""The JWTs of people who are signed in: HS256 and nothing else, with the type, audience, issuer and expiry checked.

An access token is good for 15 minutes and only as long as its session is. A refresh token names its session and holds
a random part; the session knows the SHA-256 of the newest one.
"""

from dataclasses import dataclass, field
from typing import Any

import jwt

from crypto.encoding import b64u
from server.domain.errors import Unauthenticated
from server.domain.ports import Random

ACCESS_SECONDS = 900
REFRESH_SECONDS = 30 * 86_400

_ALGORITHM = "HS256"
_ACCESS = "hushpost-access"
_REFRESH = "hushpost-refresh"


@dataclass(frozen=True)
class Mint:
    """Makes and reads the JWTs of one server; `issuer` is its key id, times are milliseconds."""

    key: bytes = field(repr=False)
    issuer: str
    random: Random

    def access(self, session_id: str, now: int) -> str:
        """Return an access token of a session."""
        return self._sign(_ACCESS, session_id, now, ACCESS_SECONDS)

    def refresh(self, session_id: str, now: int) -> str:
        """Return a refresh token of a session, different each time."""
        return self._sign(_REFRESH, session_id, now, REFRESH_SECONDS)

    def read_access(self, token: str, now: int) -> str:
        """Return the session id of an access token; Unauthenticated."""
        return self._read(_ACCESS, token, now)

    def read_refresh(self, token: str, now: int) -> str:
        """Return the session id of a refresh token that may have been spent; Unauthenticated."""
        return self._read(_REFRESH, token, now)

    def _sign(self, kind: str, session_id: str, now: int, seconds: int) -> str:
        claims = {
            "iss": self.issuer,
            "aud": kind,
            "sid": session_id,
            "iat": now // 1000,
            "exp": now // 1000 + seconds,
            "jti": b64u(self.random(16)),
        }
        return jwt.encode(claims, self.key, algorithm=_ALGORITHM, headers={"typ": kind})

    def _read(self, kind: str, token: str, now: int) -> str:
        try:
            opened = jwt.decode_complete(
                token,
                self.key,
                algorithms=[_ALGORITHM],
                audience=kind,
                issuer=self.issuer,
                # The times are checked below, by the server's clock and not by the library's.
                options={
                    "require": ["iss", "aud", "sid", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, UnicodeEncodeError):  # the latter: bytes in the header that are no text
            raise Unauthenticated("the token is not one of this server's", code="token_invalid") from None
        claims: dict[str, Any] = opened["payload"]
        if opened["header"].get("typ") != kind or not isinstance(claims["sid"], str):
            raise Unauthenticated("the token is of another kind", code="token_invalid")
        if not isinstance(claims["exp"], int) or claims["exp"] * 1000 <= now:
            raise Unauthenticated("the token has expired", code="token_expired")
        return claims["sid"]
