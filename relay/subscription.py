"""Web Push subscriptions, which strangers choose: what may stand in one (PROTOCOL.md, section 3; RFC 8030, RFC 8291).

The endpoint is an address that this relay will one day connect to, so it must be https on port 443 at a configured
service, by name: an IP address, a user name or another port is an attempt to make the relay call something else. It is
held to a grammar narrower than that of a URL, so that there is one spelling of everything and no two readers could see
two hosts in it. The name's address is checked at the connection (`relay.guard`), since whoever owns a name
decides what it resolves to.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from crypto.encoding import unb64u
from crypto.errors import Malformed
from crypto.handle import Subscription
from crypto.webpush import AUTH_LENGTH, POINT_LENGTH, read_point
from relay.config import RelayConfig
from relay.errors import Problem, bad_request

LONGEST_ENDPOINT: Final = 600
_LONGEST_NAME: Final = 253
_ANY: Final = "*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# A last label that begins with a digit is an address in one of the old spellings (0x7f.1, 127.1).
_NAME: Final = rf"(?:{_LABEL}\.)+(?![0-9]){_LABEL}"
# Of a path and a query only what RFC 3986 has in them; a browser that is given anything else escapes it.
_ENDPOINT: Final = re.compile(
    rf"https://({_NAME})(?::443)?/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{{2}})*"
)


def check_subscription(document: Any, hosts: Iterable[str]) -> Subscription:
    """The subscription of a browser's `PushSubscription.toJSON()`. Raises `bad_request` with the faulty field."""
    if not isinstance(document, Mapping) or document.keys() - {"endpoint", "keys", "expirationTime"}:
        raise bad_request("subscription", "must be an object with endpoint and keys")
    keys = document.get("keys")
    if not isinstance(keys, Mapping) or keys.keys() != {"p256dh", "auth"}:
        raise bad_request("subscription.keys", "must be an object with p256dh and auth")
    endpoint = _check_endpoint(document.get("endpoint"), hosts)
    _check_point(keys["p256dh"])
    _decode("auth", keys["auth"], AUTH_LENGTH)
    return Subscription(endpoint, keys["p256dh"], keys["auth"])


def host_of(endpoint: str) -> str | None:
    """The host of an endpoint in lower case, or None where it is no address that may be subscribed to."""
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or len(endpoint) > LONGEST_ENDPOINT or len(found[1]) > _LONGEST_NAME:
        return None
    return found[1].lower()


def hosts_of(config: RelayConfig) -> tuple[str, ...]:
    """The services that may be subscribed to: those named, and those that the operator leads elsewhere."""
    return (*config.webpush_hosts, *config.webpush_connect)


def is_served(host: str, hosts: Iterable[str]) -> bool:
    return any(_matches(host, pattern.lower()) for pattern in hosts)


def is_known(host: str, hosts: Iterable[str]) -> bool:
    """Whether the operator named it, by itself or by the name above it: a service, not a stranger's own machine."""
    return is_served(host, (pattern for pattern in hosts if pattern != _ANY))


def _check_endpoint(endpoint: Any, hosts: Iterable[str]) -> str:
    host = host_of(endpoint) if isinstance(endpoint, str) else None
    if host is None:
        raise _endpoint(
            f"must be at most {LONGEST_ENDPOINT} characters of ASCII: https, a host by its public name, port 443, a path"
        )
    if not is_served(host, hosts):
        raise _endpoint("is not at a push service that this relay is configured for")
    return str(endpoint)


def _matches(host: str, pattern: str) -> bool:
    if pattern == _ANY:
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _check_point(text: Any) -> None:
    data = _decode("p256dh", text, POINT_LENGTH)
    try:
        read_point(data)
    except Malformed:
        raise bad_request("subscription.keys.p256dh", "is not a point on P-256") from None


def _decode(name: str, text: Any, length: int) -> bytes:
    try:
        return unb64u(text if isinstance(text, str) else "", length)
    except Malformed:
        raise bad_request(f"subscription.keys.{name}", f"must be base64url of {length} bytes") from None


def _endpoint(rule: str) -> Problem:
    return bad_request("subscription.endpoint", rule)
