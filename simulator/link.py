"""The pairing link (PROTOCOL §6), checked before anything is sent to anybody."""

from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from crypto.encoding import unb64u
from crypto.errors import Malformed

KEY_ID_BYTES = 32
CODE_BYTES = 16


class BadLink(ValueError):
    """A link that must not be followed; the text names the part, the reason and the fix, never the code."""


@dataclass(frozen=True)
class PairingLink:
    server: str
    key_id: str
    code: str = field(repr=False)
    relay: str


def read_link(text: str, *, known_relays: Collection[str]) -> PairingLink:
    """Read `hushpost://pair?s=…&k=…&c=…&r=…`. With no `known_relays`, those on loopback are known."""
    parts = urlsplit(text.strip())
    if (parts.scheme, parts.netloc, parts.path) != ("hushpost", "pair", ""):
        raise BadLink("link: not a pairing link; it starts with hushpost://pair?")
    fields = _fields(parts.query)
    link = PairingLink(
        server=_url("s", fields["s"]),
        key_id=_binary("k", fields["k"], KEY_ID_BYTES),
        code=_binary("c", fields["c"], CODE_BYTES),
        relay=_url("r", fields["r"]),
    )
    known = {relay.rstrip("/") for relay in known_relays}
    if link.relay not in known and (known or not _on_loopback(link.relay)):
        raise BadLink("r: a relay that this app does not know; name it with --relay if it is yours")
    return link


def _fields(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    fields = dict(pairs)
    for name in "skcr":
        if sum(1 for key, _ in pairs if key == name) != 1:
            raise BadLink(f"{name}: exactly one is expected; make a new pairing code")
    return fields


def _binary(name: str, text: str, length: int) -> str:
    try:
        unb64u(text, length)
    except Malformed as error:
        raise BadLink(f"{name}: {length} bytes as base64url expected; copy the whole link") from error
    return text


def _url(name: str, text: str) -> str:
    """Accept https anywhere, http on loopback only: the code and the token travel there."""
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
        raise BadLink(f"{name}: a plain URL expected, without user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _on_loopback(text)):
        raise BadLink(f"{name}: https expected (http on loopback only)")
    return text.rstrip("/")


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
