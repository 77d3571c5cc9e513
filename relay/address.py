"""Who is calling, as far as the network says: the address that limits are counted by.

`X-Forwarded-For` is believed only from a configured proxy, and then from its right end: the left end is
written by the caller. An IPv6 host has a whole /64 to choose addresses from, so that is counted as one.
"""

import ipaddress
from collections.abc import Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PREFIX = 64 // 8


def client_address(request: web.Request, trusted: Sequence[Network]) -> bytes:
    """Bytes to count by; empty where the connection has no address (a UNIX socket)."""
    address = _parse(request.remote or "")
    if address is not None and _is_in(address, trusted):
        address = _forwarded(request, trusted) or address
    return b"" if address is None else _key(address)


def _forwarded(request: web.Request, trusted: Sequence[Network]) -> Address | None:
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed(hops):
        address = _parse(hop.strip())
        if address is None or not _is_in(address, trusted):
            return address
    return None


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _key(address: Address) -> bytes:
    return address.packed[:_PREFIX] if isinstance(address, ipaddress.IPv6Address) else address.packed
