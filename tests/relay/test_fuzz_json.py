"""`decode_pushes` against the standard library: what a body says, and whether it says it at all, is the same to both.

For a long search with new examples each time:

    HUSHPOST_TEST_EXAMPLES=200000 .venv/bin/python -m pytest tests/relay/test_fuzz_json.py
"""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from relay.errors import Problem
from relay.strictjson import decode_pushes
from relay.wire import MAX_PUSHES, Push
from tests.harness.fuzz import almost, examples

TEXTS = ("id", "handle", "collapse", "envelope")
WORDS = {"priority": {"high", "normal"}, "type": {"alert", "background"}}
REQUIRED = {"id", "handle", "collapse", "priority", "type", "ttl"}

SPACE = st.sampled_from([b"", b"", b"", b" ", b"\n\t", b"\r"])
FRAGMENT = st.sampled_from(
    [
        b'"id"', b'"\\u0069d"', b'"a:b"', b'"\\":\\""', b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\xc3\xa9"', b'"\xff"',
        b'"\x01"', b'"\\x"', b"60", b"-0", b"0", b"01", b"1.0", b"6e1", b"1E400", b"-1", b"1e-1", b"NaN", b"Infinity",
        b"-", b"9" * 30, b"9" * 5000, b"true", b"null", b"nul", b"[]", b"{}", b'{"a":1,"a":2}', b'[{"a":{"b":1,"b":1}}]',
        b'"high"', b'"alert"', b'""', b"'a'", b"[" * 20 + b"]" * 20, b'{"a":' * 5 + b"1" + b"}" * 5, b"/**/1", b"\xef\xbb\xbf1",
    ]
)  # fmt: skip
TEXT = st.text(max_size=6).map(
    lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0).encode("utf-8", "surrogatepass")
)
RIGHT = {
    b"id": b'"0e4c5af6-3b0a-4b6e-9d5c-2a1f00c0ffee"',
    b"handle": b'"AAAA"',
    b"envelope": b'"AAAA"',
    b"priority": b'"high"',
    b"ttl": b"60",
    b"collapse": b'"AAAA"',
    b"type": b'"alert"',
}


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """A push, some of its members changed, gone, there twice, or spelt with an escape."""
    written = []
    for name, value in RIGHT.items():
        times = draw(st.sampled_from([1] * 12 + [0, 2]))
        other = draw(st.sampled_from([None] * 6 + [FRAGMENT, TEXT]))
        key = b"\\u%04x%s" % (name[0], name[1:]) if draw(st.sampled_from([False] * 12 + [True])) else name
        said = value if other is None else draw(other)
        written += [b'"%s"%s:%s%s' % (key, draw(SPACE), draw(SPACE), said)] * times
    if draw(st.sampled_from([False] * 8 + [True])):
        written.append(b'"more":' + draw(FRAGMENT))
    return b"{" + b",".join(written) + b"}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    items = b",".join(draw(st.lists(members() | members() | FRAGMENT, max_size=4)))
    more = draw(
        st.sampled_from([b""] * 8 + [b',"more":1', b',"pushes":[]', b',"pu\\u0073hes":[]', b" x", b","])
    )
    return b'{"pushes":%s[%s]%s%s}' % (draw(SPACE), items, draw(SPACE), more)


class _Twice(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _expected(body: bytes) -> Any:
    """The code of the refusal, or the items."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError, _Twice):
        return "bad_json"
    if (
        not isinstance(document, dict)
        or document.keys() != {"pushes"}
        or not isinstance(document["pushes"], list)
    ):
        return "bad_request"
    return document["pushes"] if len(document["pushes"]) <= MAX_PUSHES else "too_many_pushes"


def _is_push(item: Any) -> bool:
    """Written from the protocol's table: each member there, of its type, and no other."""
    if not isinstance(item, dict) or not item.keys() >= REQUIRED or item.keys() - REQUIRED - {"envelope"}:
        return False
    texts = all(isinstance(item[name], str) for name in TEXTS if name in item)
    words = all(item[name] in allowed for name, allowed in WORDS.items() if isinstance(item[name], str))
    # A number with a fraction or an exponent is none of the protocol's integers, though it may be whole.
    whole = type(item["ttl"]) is int
    return texts and words and all(isinstance(item[name], str) for name in WORDS) and whole


def _fields(push: Push) -> dict[str, Any]:
    values = {name: getattr(push, name) for name in push.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


@examples(300)
@given(bodies() | almost(bodies(), st.binary(max_size=3) | FRAGMENT))
@example(b'{"pushes":[' + b",".join([b"{}"] * (MAX_PUSHES + 1)) + b"]}")
@example(b'{"pushes":' + b"[" * 100_000)
@example(b'{"pushes":["\\ud800",{"id":"\\ud800"}]}')
@example(b"")
def test_a_body_says_to_both_parsers_the_same(body: bytes) -> None:
    expected = _expected(body)
    try:
        found = decode_pushes(body)
    except Problem as problem:
        assert_code(problem, expected)
        return
    assert isinstance(expected, list), expected
    assert len(found) == len(expected)
    for item, said in zip(found, expected, strict=True):
        assert isinstance(item, Push) == _is_push(said), said
        assert (_fields(item) if isinstance(item, Push) else item) == said


def assert_code(problem: Problem, expected: Any) -> None:
    assert problem.code == expected
