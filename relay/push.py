"""One item of a batch, read: what may go on to a provider, or the outcome that it already has (PROTOCOL.md, section 4).

Pure. A faulty item is `rejected` alone, with a reason that says which rule it broke; it never costs its
neighbours anything.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from crypto.encoding import b64u_length
from relay.strictjson import Item
from relay.wire import COLLAPSE_BYTES, MAX_TTL, SIZES, Outcome, Push

UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_LENGTHS: Final = frozenset(SIZES)


def read_item(item: Item, seen: set[str]) -> Push | Outcome:
    """The push, or its outcome; `seen` collects the ids of a batch."""
    if not isinstance(item, Push):
        return _rejected(_usable_id(item), "malformed")
    if UUID4.fullmatch(item.id) is None:
        return _rejected(None, "malformed")
    if item.id in seen:
        return _rejected(item.id, "duplicate_id")
    seen.add(item.id)
    fault = _fault(item)
    return item if fault is None else _rejected(item.id, fault)


def _fault(push: Push) -> str | None:
    if not 0 <= push.ttl <= MAX_TTL:
        return "ttl_out_of_range"
    if b64u_length(push.collapse) != COLLAPSE_BYTES:
        return "bad_collapse"
    if push.envelope is not UNSET and b64u_length(push.envelope) not in _LENGTHS:
        return "bad_envelope"
    return None


def _usable_id(item: Any) -> str | None:
    value = item.get("id") if isinstance(item, Mapping) else None
    return value if isinstance(value, str) and UUID4.fullmatch(value) else None


def _rejected(push_id: str | None, reason: str) -> Outcome:
    return Outcome(id=push_id, status="rejected", reason=reason)
