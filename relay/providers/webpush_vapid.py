"""What a push service is told of who pushes (VAPID, RFC 8292): one token for each service, for hours.

A token names its service, so there is one for each; how many are kept is bounded, since strangers choose services. All
tokens made in the same six hours expire at the same time, and signing is deterministic: every process of a relay says
the same, and none is good for more than twelve hours.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from crypto.vapid import VapidKey

HALF_LIFETIME: Final = 6 * 3_600
KEPT: Final = 1_000


class Vapid:
    """`clock` in seconds."""

    def __init__(self, key: VapidKey, subject: str, clock: Callable[[], float]) -> None:
        self._key = key
        self._subject = subject
        self._clock = clock
        self._expires = 0
        self._fields: OrderedDict[str, str] = OrderedDict()

    def authorization(self, host: str) -> str:
        """The field for pushes to this host (in lower case), at port 443."""
        expires = (int(self._clock()) // HALF_LIFETIME + 2) * HALF_LIFETIME
        if expires != self._expires:
            self._expires = expires
            self._fields.clear()
        field = self._fields.get(host)
        if field is None:
            field = self._fields[host] = self._make(host, expires)
        self._fields.move_to_end(host)
        if len(self._fields) > KEPT:
            self._fields.popitem(last=False)
        return field

    def _make(self, host: str, expires: int) -> str:
        token = self._key.token(audience=f"https://{host}", expires=expires, subject=self._subject)
        return f"vapid t={token}, k={self._key.application_server_key}"
