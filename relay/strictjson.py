"""JSON as the protocol wants it: UTF-8, no duplicate keys, no NaN (PROTOCOL.md, section 4).

Two parsers that take different ones of two equal keys read two different requests from one signature, so
duplicates are refused. The fast parsers accept them in silence. `decode_pushes` therefore decodes once with
msgspec and then counts: in valid JSON every key is followed by a colon outside strings, and a decoder that
drops duplicates can only return fewer keys than there are such colons. When the bytes hold exactly as many
colons as keys were decoded, nothing was dropped, and none can hide in a string. Otherwise (an escape or a
colon in a string, an unexpected member, a real duplicate) the standard library's decoder, which shows every
pair, decides. For a full batch that is 2 ms against 5.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from relay.errors import Problem, bad_request
from relay.wire import MAX_PUSHES, Push, Pushes

_KEYS_OF_PUSH = len(Push.__struct_fields__)
_MOST_VALUES = 4 * MAX_PUSHES * (_KEYS_OF_PUSH + 1)
_TYPED = msgspec.json.Decoder(Pushes)

Item = Push | Any
"""A push of the right types, or whatever else stood in its place."""


def decode(body: bytes) -> Any:
    """Any JSON document. Raises the problem `bad_json`."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except _DuplicateKeyError:
        raise Problem("bad_json", "an object has the same key twice; send each key once") from None
    except (ValueError, RecursionError):
        raise _not_json() from None


def _not_json() -> Problem:
    return Problem("bad_json", "the body is not JSON in UTF-8 (RFC 8259)")


def decode_pushes(body: bytes) -> Sequence[Item]:
    """The items of `{"pushes": […]}`; one of the wrong form comes as it is, to be refused alone.

    Raises `bad_json`, `bad_request` and `too_many_pushes`, the last before it looks at a single one: four MiB hold two
    million items of the wrong form, and trying each would stop the relay for seconds.
    """
    try:
        pushes = _TYPED.decode(body).pushes
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _items(_decode_few(body))
    wakes = sum(1 for push in pushes if push.envelope is UNSET)
    if body.count(b":") != 1 + _KEYS_OF_PUSH * len(pushes) - wakes:
        return _items(_decode_few(body))
    return _not_too_many(pushes)


def _decode_few(body: bytes) -> Any:
    """As `decode`, unless it would hold far more than a full batch does.

    Four MiB of `{}` are a million objects, a hundred MiB, and half a second in which nobody else is served. Each value
    follows one of these three, or is the first.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) <= _MOST_VALUES:
        return decode(body)
    try:
        msgspec.json.decode(body, type=msgspec.Raw)  # passes over all of it
    except (msgspec.MsgspecError, RecursionError):
        raise _not_json() from None
    raise Problem("too_many_pushes", f"more values than {MAX_PUSHES} pushes have")


def _items(document: Any) -> Sequence[Item]:
    if not isinstance(document, dict):
        raise bad_request("pushes", 'the body must be an object: {"pushes": […]}')
    if document.keys() - {"pushes"}:
        raise bad_request("pushes", "the body has other members; send only this one")
    pushes = document.get("pushes")
    if not isinstance(pushes, list):
        raise bad_request("pushes", "must be a list of pushes")
    return [_typed(item) for item in _not_too_many(pushes)]


def _not_too_many(items: Sequence[Item]) -> Sequence[Item]:
    if len(items) > MAX_PUSHES:
        raise Problem("too_many_pushes", f"at most {MAX_PUSHES} in a request")
    return items


def _typed(item: Any) -> Item:
    try:
        return msgspec.convert(item, Push)
    except (
        msgspec.ValidationError,
        UnicodeEncodeError,
    ):  # the second for half of a surrogate pair, which JSON can spell
        return item


class _DuplicateKeyError(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKeyError
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
