"""Where a request came from, and whether that is this machine."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import HttpVersion11, web

Network = IPv4Network | IPv6Network
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_UNKNOWN = "unknown"


def client_address(request: web.Request, trusted: Sequence[Network]) -> str:
    """Return the address to count attempts by: an IPv4 address, or the /64 of an IPv6 one (one customer's share).

    `X-Forwarded-For` is believed from right to left, as far as trusted proxies wrote it.
    """
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    address = request.remote or _UNKNOWN
    while hops and _is_in(address, trusted) and (hop := hops.pop().strip()):
        address = hop
    return _share(address)


def is_local(request: web.Request, *, loopback: bool) -> bool:
    """Say whether a request on a loopback listener comes from this machine, and not through a proxy on it.

    The Host is looked at because a page in a browser on this machine may call a foreign name that points here, the version
    because a proxy that is told nothing else (nginx) calls in HTTP/1.0, as the address that it was given, and says of no one.
    """
    host = _host(request)
    return (
        loopback
        and request.version >= HttpVersion11
        and (host == "localhost" or _is_loopback(host))
        and _is_loopback(request.remote or "")
        and not any(name in request.headers for name in _FORWARDED)
    )


def _host(request: web.Request) -> str:
    try:
        return request.url.host or ""
    except ValueError:  # a Host that is none
        return ""


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _share(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return _UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
