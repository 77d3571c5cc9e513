"""Web Push subscriptions, which strangers choose: what may stand in one (PROTOCOL.md, section 3; RFC 8030, RFC 8291).

The endpoint is an address that this relay will one day connect to, so it must be https on port 443 at a
configured service, by
name: an IP address, a user name or another port is an attempt to make the relay call something else. The
name's address is checked again at the connection, since whoever owns a name decides what it resolves to.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from crypto.encoding import unb64u
from crypto.errors import Malformed
from crypto.handle import Subscription
from relay.errors import Problem, bad_request

_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16
_LONGEST_ENDPOINT: Final = 600
_HTTPS: Final = 443


def check_subscription(document: Any, hosts: tuple[str, ...]) -> Subscription:
    """The subscription of a browser's `PushSubscription.toJSON()`. Raises `bad_request` with the faulty field."""
    if not isinstance(document, Mapping) or document.keys() - {"endpoint", "keys", "expirationTime"}:
        raise bad_request("subscription", "must be an object with endpoint and keys")
    keys = document.get("keys")
    if not isinstance(keys, Mapping) or keys.keys() != {"p256dh", "auth"}:
        raise bad_request("subscription.keys", "must be an object with p256dh and auth")
    endpoint = _check_endpoint(document.get("endpoint"), hosts)
    _check_point(keys["p256dh"])
    _decode("auth", keys["auth"], _AUTH_BYTES)
    return Subscription(endpoint, keys["p256dh"], keys["auth"])


def _check_endpoint(endpoint: Any, hosts: tuple[str, ...]) -> str:
    if not isinstance(endpoint, str) or not endpoint.isascii() or not endpoint.isprintable():
        raise _endpoint("must be a URL in ASCII")
    if len(endpoint) > _LONGEST_ENDPOINT or " " in endpoint or "\\" in endpoint:
        raise _endpoint(f"must be at most {_LONGEST_ENDPOINT} characters, without spaces and backslashes")
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise _endpoint("is not a URL") from None
    if parts.scheme != "https" or port not in {None, _HTTPS} or parts.fragment or "@" in parts.netloc:
        raise _endpoint("must be https on port 443, without user name and fragment")
    _check_host(parts, hosts)
    return endpoint


def _check_host(parts: SplitResult, hosts: tuple[str, ...]) -> None:
    host = parts.hostname or ""
    if _is_address(host) or "." not in host.strip("."):
        raise _endpoint("must name its host by a public name")
    if not any(_matches(host, pattern.lower()) for pattern in hosts):
        raise _endpoint("is not at a push service that this relay is configured for")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A last label of digits is an address in one of the old spellings (0x7f.1, 127.1).
        return host.rstrip(".").rpartition(".")[2][:1].isdigit()
    return True


def _matches(host: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _check_point(text: Any) -> None:
    data = _decode("p256dh", text, _POINT_BYTES)
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError:
        raise bad_request("subscription.keys.p256dh", "is not a point on P-256") from None


def _decode(name: str, text: Any, length: int) -> bytes:
    try:
        return unb64u(text, length)
    except (AttributeError, Malformed):
        raise bad_request(f"subscription.keys.{name}", f"must be base64url of {length} bytes") from None


def _endpoint(rule: str) -> Problem:
    return bad_request("subscription.endpoint", rule)
