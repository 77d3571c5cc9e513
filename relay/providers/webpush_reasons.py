"""Push services' answers as verdicts: RFC 8030's statuses, and what the large services add to them.

A status is all that is read. The bodies differ from service to service, and a service may be a stranger's machine, which
answers whatever it likes. Therefore no answer makes the relay unready: a subscription made for another key, or a path
that a stranger chose at a known service, is answered 401 or 403 too, and would let anybody take the relay out of service.
An operator whose key is refused sees it in the metrics, as pushes that are `rejected` for `credentials_refused`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from relay.providers.provider import Verdict

_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_SERVER_FAULT: Final = range(500, 600)

BAD_ENDPOINT: Final = Verdict("rejected", "bad_endpoint")
"""Not, or no longer, an address that this relay sends to: its host, where its name leads, or where it points."""

ACCEPTED: Final = Verdict("accepted")
UNAVAILABLE: Final = Verdict("retry", "unavailable")
UNKNOWN: Final = Verdict("rejected", "unknown_refusal")
GONE: Final = Verdict("gone", "unregistered")
REFUSED: Final = Verdict("rejected", "credentials_refused")
THROTTLED: Final = Verdict("retry", "throttled", retry_after=60)

STATUSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        # A header or the encryption, which only we write.
        400: Verdict("rejected", "bad_provider_request"),
        # The VAPID token or key; or the subscription was made for another key (RFC 8292, section 4.2).
        401: REFUSED,
        403: REFUSED,
        # RFC 8030, section 7.3, and before it expired: the same to us.
        404: GONE,
        410: GONE,
        # Microsoft's word for too many.
        406: THROTTLED,
        408: UNAVAILABLE,
        # RFC 8030, section 7.2.
        413: Verdict("rejected", "payload_too_large"),
        # This name is not that service: an endpoint that somebody made up.
        421: BAD_ENDPOINT,
        429: THROTTLED,
        500: Verdict("retry", "provider_error"),
    }
)


def verdict(status: int) -> Verdict:
    """The verdict of an answer with this status; what it says of waiting comes on top."""
    known = STATUSES.get(status)
    if known is not None:
        return known
    if status in _SUCCESS:
        return ACCEPTED
    if status in _REDIRECT:
        return BAD_ENDPOINT
    return UNAVAILABLE if status in _SERVER_FAULT else UNKNOWN
