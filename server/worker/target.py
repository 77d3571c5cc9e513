"""Where a URL leads that somebody else wrote: read once, by the reader that the connection is made by. Pure.

What two readers could understand differently is refused (a user name, an address in an old spelling, a name that ends in a dot), since
what was checked must be what is connected to. Where a name leads is seen at the connection (`relay/guard.py`).
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address

from yarl import URL

from relay.guard import Network, is_open
from server.domain.outgoing import Reason

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A last label that begins with a digit is an address, in one spelling or another: 127.1, 0x7f000001, 017700000001.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]){_LABEL}")
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_LONGEST_NAME = 253
_PLAIN = re.compile(r"[A-Za-z]+://[^/?#@]+(?:[/?#]|\Z)(?!.*[\x00-\x20\x7f-\xa0\\])", re.DOTALL)
# Other protocols', some of which would take a request for orders (the Fetch standard's list, which browsers go by).
_PORTS = frozenset(
    {
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103),
        *(104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513),
        *(
            514,
            515,
            526,
            530,
            531,
            532,
            540,
            548,
            554,
            556,
            563,
            587,
            601,
            636,
            989,
            990,
            993,
            995,
            1719,
            1720,
        ),
        *(
            1723,
            2049,
            3659,
            4045,
            4190,
            5060,
            5061,
            6000,
            6566,
            6665,
            6666,
            6667,
            6668,
            6669,
            6679,
            6697,
            10080,
        ),
    }
)


class Refused(Exception):
    """Nobody is asked."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def read_target(text: str, allowed: Sequence[Network]) -> URL:
    """Return the URL to ask; Refused. `allowed` are networks inside that may be asked."""
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise Refused(Reason.BAD_URL) from None
    if not _PLAIN.match(text) or url.scheme not in {"http", "https"} or not host:
        raise Refused(Reason.BAD_URL)
    _check_host(host, allowed)
    if not port or port in _PORTS:
        raise Refused(Reason.REFUSED_PORT)
    return url


def _check_host(host: str, allowed: Sequence[Network]) -> None:
    if _is_address(host):
        if not is_open(host, allowed):
            raise Refused(Reason.REFUSED_INSIDE)
    elif not _NAME.fullmatch(host) or len(host) > _LONGEST_NAME:
        raise Refused(Reason.BAD_URL)


def _is_address(host: str) -> bool:
    try:
        return bool(_ADDRESS.fullmatch(host)) or bool(IPv6Address(host))
    except AddressValueError:
        return False
