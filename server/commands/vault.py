"""Secrets of others that the server needs again: encrypted before they are stored, and opened only where they lie.

A copy of the database has none of them without the server's own secret; one that is moved to another row opens nowhere.
"""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.commands.derive import derive
from server.domain.ports import Random

_FORM = b"\x01"
_NONCE = 12  # bytes


class NotOpened(Exception):
    """What is stored was sealed with another key, for another row, or is damaged."""


@dataclass(frozen=True)
class Vault:
    """Seals the secrets of one purpose."""

    purpose: str
    key: bytes = field(repr=False)
    random: Random = field(repr=False)

    def seal(self, secret: bytes, row: str) -> bytes:
        """Encrypt what is stored in the row of an id."""
        nonce = self.random(_NONCE)
        return _FORM + nonce + AESGCM(self.key).encrypt(nonce, secret, self._about(row))

    def open(self, sealed: bytes, row: str) -> bytes:
        """Return what was sealed for the row of an id; NotOpened."""
        form, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if form != _FORM or len(nonce) != _NONCE:
            raise NotOpened(self._wrong)
        try:
            return AESGCM(self.key).decrypt(nonce, rest, self._about(row))
        except InvalidTag:
            raise NotOpened(self._wrong) from None

    def _about(self, row: str) -> bytes:
        return f"hushpost/1 vault\0{self.purpose}\0{row}".encode()

    @property
    def _wrong(self) -> str:
        return f"a secret for {self.purpose} was stored under another secret of the server, or is damaged; set it anew"


def vault_of(secret: bytes, purpose: str, random: Random) -> Vault:
    """Return the vault of a purpose; `secret` is the server's."""
    return Vault(purpose, derive(secret, f"vault {purpose}"), random)
