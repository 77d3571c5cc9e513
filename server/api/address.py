"""Where a request came from, and whether that is this machine."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import HttpVersion11, web

Network = IPv4Network | IPv6Network
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_RFC_7239 = "Forwarded"
_UNKNOWN = "unknown"
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = rf'({_WORD})=(?:({_WORD})|"([^"\\]*)")'
_ELEMENT = re.compile(rf"[ \t]*(?:{_PAIR}(?:;{_PAIR})*)?[ \t]*(?:,|\Z)")  # RFC 7239, section 4
_NODE = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?")  # section 6


@dataclass(frozen=True)
class Proxies:
    """The networks of those who are believed, and the header in which they say it: X-Forwarded-For or Forwarded.

    What stands in the other one is anybody's word: most proxies let it pass as it came.
    """

    networks: Sequence[Network]
    header: str


def client_address(request: web.Request, proxies: Proxies) -> str:
    """Return the address to count attempts by: an IPv4 address, or the /64 of an IPv6 one (one customer's share).

    What the header says is believed from right to left, as far as trusted proxies wrote it.
    """
    address = request.remote or _UNKNOWN
    if _is_in(address, proxies.networks):
        values = request.headers.getall(proxies.header, [])
        read = _for_of if proxies.header == _RFC_7239 else _listed
        hops = read(",".join(values))
        while hops and _is_in(address, proxies.networks) and (hop := hops.pop()):
            address = hop
    return _share(address)


def _listed(text: str) -> list[str]:
    return [_plain(hop.strip()) for hop in text.split(",")]


def _for_of(text: str) -> list[str]:
    """Return the `for` of each element; none where the header is not of its form: then nobody knows who wrote what."""
    elements: list[str] = []
    position = 0
    while position < len(text):
        found = _ELEMENT.match(text, position)
        if found is None:
            return []
        position = found.end()
        pairs = {name.lower(): token or quoted for name, token, quoted in re.findall(_PAIR, found[0])}
        if pairs:
            elements.append(_plain(pairs.get("for", _UNKNOWN)))
    return elements


def _plain(node: str) -> str:
    """Return an address without its brackets and its port."""
    found = _NODE.fullmatch(node)
    return node if found is None else found[1] or found[2]


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
