"""The JWTs of people who are signed in, and of inboxes: HS256 and nothing else, with the type, audience, issuer and expiry checked.

An access token is good for 15 minutes and only as long as its session is. A refresh token names its session and holds
a random part; the session knows the SHA-256 of the newest one. The token of an inbox session names a user, and the sign-in that
it was made with where there was one: it ends with either, and nothing is stored of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from crypto.encoding import b64u
from server.domain.errors import Unauthenticated
from server.domain.ports import Random

ACCESS_SECONDS = 900
INBOX_SECONDS = 900
REFRESH_SECONDS = 30 * 86_400

_ALGORITHM = "HS256"
_ACCESS = "hushpost-access"
_REFRESH = "hushpost-refresh"
_INBOX = "hushpost-inbox"


@dataclass(frozen=True)
class InboxSession:
    """One inbox, for a short while. `session_id` is the sign-in that it was made with, None where it was made for the user."""

    user_id: str
    session_id: str | None
    expires_at: int


@dataclass(frozen=True)
class Mint:
    """Makes and reads the JWTs of one server; `issuer` is its key id, times are milliseconds."""

    key: bytes = field(repr=False)
    issuer: str
    random: Random

    def access(self, session_id: str, now: int) -> str:
        """Return an access token of a session."""
        return self._sign(_ACCESS, {"sid": session_id}, now, ACCESS_SECONDS)

    def refresh(self, session_id: str, now: int) -> str:
        """Return a refresh token of a session, different each time."""
        return self._sign(_REFRESH, {"sid": session_id}, now, REFRESH_SECONDS)

    def inbox(self, user_id: str, session_id: str | None, now: int) -> str:
        """Return the token of an inbox session, which ends with the sign-in where it was made with one."""
        of_session = {} if session_id is None else {"sid": session_id}
        return self._sign(_INBOX, {"sub": user_id, **of_session}, now, INBOX_SECONDS)

    def read_access(self, token: str, now: int) -> str:
        """Return the session id of an access token; Unauthenticated."""
        return _text(self._read(_ACCESS, token, now), "sid")

    def read_refresh(self, token: str, now: int) -> str:
        """Return the session id of a refresh token that may have been spent; Unauthenticated."""
        return _text(self._read(_REFRESH, token, now), "sid")

    def read_inbox(self, token: str, now: int) -> InboxSession:
        """Return what the token of an inbox session is good for; Unauthenticated."""
        claims = self._read(_INBOX, token, now)
        session_id = _text(claims, "sid") if "sid" in claims else None
        return InboxSession(_text(claims, "sub"), session_id, claims["exp"] * 1000)

    def _sign(self, kind: str, about: Mapping[str, str], now: int, seconds: int) -> str:
        claims = {
            "iss": self.issuer,
            "aud": kind,
            **about,
            "iat": now // 1000,
            "exp": now // 1000 + seconds,
            "jti": b64u(self.random(16)),
        }
        return jwt.encode(claims, self.key, algorithm=_ALGORITHM, headers={"typ": kind})

    def _read(self, kind: str, token: str, now: int) -> dict[str, Any]:
        try:
            opened = jwt.decode_complete(
                token,
                self.key,
                algorithms=[_ALGORITHM],
                audience=kind,
                issuer=self.issuer,
                # The times are checked below, by the server's clock and not by the library's.
                options={
                    "require": ["iss", "aud", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, UnicodeEncodeError):  # the latter: bytes in the header that are no text
            raise Unauthenticated("the token is not one of this server's", code="token_invalid") from None
        claims: dict[str, Any] = opened["payload"]
        if opened["header"].get("typ") != kind:
            raise _of_another_kind()
        if not isinstance(claims["exp"], int) or claims["exp"] * 1000 <= now:
            raise Unauthenticated("the token has expired", code="token_expired")
        return claims


def is_of_inbox(token: str) -> bool:
    """Say whether a token claims to be that of an inbox session; nothing is checked."""
    try:
        return jwt.get_unverified_header(token).get("typ") == _INBOX
    except (jwt.PyJWTError, UnicodeEncodeError):
        return False


def _text(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name)
    if not isinstance(found, str):
        raise _of_another_kind()
    return found


def _of_another_kind() -> Unauthenticated:
    return Unauthenticated("the token is of another kind", code="token_invalid")
