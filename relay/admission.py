"""Who may push (PROTOCOL.md, section 5): anybody, the servers on a list, or those with a pass from the operator.

Admission is asked about a key id before the signature is verified: it says whether that key may push, not
that the caller holds it.
"""

from typing import Final

from relay.config import Admission, RelayConfig
from relay.errors import Problem

PASS_HEADER: Final = "Hushpost-Pass"  # noqa: S105  a header's name
PASS_TYPE: Final = "hushpost-pass"  # noqa: S105  a media type
LONGEST_PASS_SECONDS: Final = 90 * 86_400


class Gate:
    """Admits key ids by the configured rule."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._passes = None
        if config.admission is Admission.PASS:
            # Here, because the library for JWTs costs 3 MB, which a relay without passes need not carry.
            from relay.passes import Passes  # noqa: PLC0415 - see above

            self._passes = Passes(config.pass_keys, config.public_url)

    def admit(self, keyid: str, token: str | None, now: float) -> int | None:
        """The caller's own quota, if a pass gives one. Raises `key_denied`, `key_not_admitted`, `pass_invalid`."""
        if keyid in self._config.denied:
            raise Problem("key_denied", "this relay's operator has denied this key")
        if self._config.admission is Admission.ALLOWLIST and keyid not in self._config.allowlist:
            raise Problem(
                "key_not_admitted", "this relay serves listed keys; ask its operator to add the key id"
            )
        return None if self._passes is None else self._passes.check(keyid, token, now).quota
