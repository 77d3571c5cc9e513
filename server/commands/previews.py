"""What is left of a body that does not fit into one push: the most useful first, and texts as far as there is room for them. Pure.

A preview names a claim on all of it. Of what is kept nowhere there is no claim: it is cut, and says so by its "…".
"""

import json
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from crypto.envelope import fits
from crypto.keys import Suite
from server.commands.enclosing import show_claim
from server.domain.claim import Claim

# What is kept of a content, the most useful first; each only where it fits whole. What is said comes before
# what can be done about it, which a device also has as soon as it has fetched the whole.
_KEPT = (
    "title",
    "deliveryType",
    "createdAt",
    "expiresAt",
    "of",
    "bucket",
    "collapseId",
    "groupId",
    "sound",
    "locale",
    "tapAction",
    "subtitle",
    "body",
    "actions",
    "snoozes",
    "postpones",
    "tags",
    "attachments",
)
_CUT = frozenset({"title", "body"})
_ELLIPSIS = "…"
_ZWJ = "\u200d"
_VARIATIONS = ("\ufe00", "\ufe0f")


def preview(body: bytes, claim: Claim, suite: Suite, largest: int) -> bytes:
    """Return the most of a body that fits, with the claim on all of it (PROTOCOL.md, section 2)."""
    start = {"truncated": True, "claim": show_claim(claim)}
    return _most(json.loads(body), start, _KEPT, "", suite, largest)


def shorten(body: bytes, suite: Suite, largest: int) -> bytes:
    """Return the most of a body that fits; what is cut off ends in "…"."""
    content = json.loads(body)
    return _most(
        content, {}, [*_KEPT, *(name for name in content if name not in _KEPT)], _ELLIPSIS, suite, largest
    )


def write_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _most(
    content: dict[str, Any],
    kept: dict[str, Any],
    names: Sequence[str],
    mark: str,
    suite: Suite,
    largest: int,
) -> bytes:
    """Return what fits of a content, in the order of `names`, beside what is kept at any rate; a text that is cut ends in `mark`."""

    def room_for(name: str, value: Any) -> bool:
        return fits(write_json(kept | {name: value}), suite, largest)

    for name in names:
        value = content.get(name)
        if isinstance(value, str) and name in _CUT:
            value = _longest(value, mark, partial(room_for, name))
        if value and room_for(name, value):
            kept[name] = value
    return write_json(kept)


def _longest(text: str, mark: str, fitting: Callable[[str], bool]) -> str:
    """Return the longest beginning that fits; nearly, because what compression saves does not grow evenly."""
    if fitting(text):
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fitting(text[:middle] + mark):
            low = middle
        else:
            high = middle - 1
    return text[: _boundary(text, low)] + mark


def _boundary(text: str, cut: int) -> int:
    """Move a cut back so that no accent, emoji sequence or line end is torn apart."""
    while 0 < cut < len(text) and _belongs(text[cut - 1], text[cut]):
        cut -= 1
    return cut


def _belongs(before: str, character: str) -> bool:
    return (
        unicodedata.combining(character) != 0
        or _ZWJ in (before, character)
        or _VARIATIONS[0] <= character <= _VARIATIONS[1]
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or before + character == "\r\n"
    )
