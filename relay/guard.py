"""Where a name that a stranger chose may lead: to the public Internet, and nowhere else.

Who owns a name decides what it resolves to, and may say something else the next time. So names are resolved here alone,
by the resolver that aiohttp asks; a name with a single address inside is refused with all of them; and what aiohttp is
given is addresses, to which it connects without asking again. Where the operator leads somewhere himself goes there: by
names (the relay's `relay.webpush_connect`) or by networks (the server's `outgoing.allowed_networks`).

Resolving blocks a thread for as long as a stranger's name server likes: names that the operator did not choose have
threads of their own.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

Network = IPv4Network | IPv6Network

ADDRESSES: Final = 4
"""How many of a name's addresses are tried: more would be connections that somebody else decides on."""

LOOKUP_SECONDS: Final = 5.0

# IANA's registry of special-purpose addresses (RFC 6890), all of it: nothing in it is anybody's public service.
_CLOSED: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but in Azure the host's own
        "169.254.0.0/16",  # link-local; clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# All that is assigned for the Internet. Loopback, v4-mapped, NAT64, unique local, link-local and multicast lie outside.
_GLOBAL_UNICAST: Final = ip_network("2000::/3")


class Inside(OSError):
    """It leads where nobody but the operator may send this process."""


def is_public(address: str) -> bool:
    """Whether an address in its textual form is one of the public Internet."""
    parsed = _parse(address)
    if parsed is None or (isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_UNICAST):
        return False
    return not any(parsed in network for network in _CLOSED)


def is_open(address: str, allowed: Iterable[Network]) -> bool:
    """Whether an address may be connected to: a public one, or one in a network that the operator allows."""
    parsed = _parse(address)
    return parsed is not None and (is_public(address) or any(parsed in network for network in allowed))


class Resolver(Protocol):
    async def lookup(self, name: str) -> Sequence[str]:
        """The addresses of a name; `OSError` where it has none, or none in time."""

    def close(self) -> None: ...


class SystemResolver:
    """The system's. Names for which `is_known` holds, and the others, have so many threads of their own."""

    def __init__(self, is_known: Callable[[str], bool], *, known: int, others: int) -> None:
        self._is_known = is_known
        self._known = ThreadPoolExecutor(known, thread_name_prefix="known-names")
        self._others = ThreadPoolExecutor(others, thread_name_prefix="names")

    async def lookup(self, name: str) -> Sequence[str]:
        threads = self._known if self._is_known(name.rstrip(".")) else self._others
        # A thread cannot be interrupted. What still waits for one when its time is over never gets it.
        found = asyncio.get_running_loop().run_in_executor(threads, _getaddrinfo, name)
        try:
            return list(dict.fromkeys(await asyncio.wait_for(found, LOOKUP_SECONDS)))
        except TimeoutError:
            raise OSError("the name servers did not answer in time") from None

    def close(self) -> None:
        for threads in (self._known, self._others):
            threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(name: str) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


class GuardedResolver(AbstractResolver):
    """What aiohttp is given in the place of a resolver.

    `connect`: names that the operator leads elsewhere. `allowed`: networks inside that names may lead to.
    """

    def __init__(
        self, resolver: Resolver, connect: Mapping[str, tuple[str, int]], allowed: Sequence[Network] = ()
    ) -> None:
        self._resolver = resolver
        self._connect = connect
        self._allowed = allowed

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  aiohttp's; the connector wants both
    ) -> list[ResolveResult]:
        """The addresses of a name; `Inside` unless all of them may be connected to."""
        name = host.lower()
        elsewhere = self._connect.get(name)
        if elsewhere is not None:
            return await self._lead(host, *elsewhere)
        # The dot says that the name is whole: no domain of this network is tried behind it.
        addresses = await self._resolver.lookup(f"{name}.")
        if not all(is_open(address, self._allowed) for address in addresses):
            raise Inside("the name leads inside")
        return [_result(host, address, port) for address in addresses[:ADDRESSES]]

    async def _lead(self, host: str, target: str, port: int) -> list[ResolveResult]:
        addresses = [target] if _parse(target) else await self._resolver.lookup(target)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        self._resolver.close()


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is; None for another text, and for one that means another machine on each interface."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(parsed, IPv6Address) and parsed.scope_id is not None else parsed


def _result(name: str, address: str, port: int) -> ResolveResult:
    is_v4 = isinstance(ip_address(address), IPv4Address)
    return ResolveResult(
        hostname=name,
        host=address,
        port=port,
        family=socket.AF_INET if is_v4 else socket.AF_INET6,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )
