"""What tenants' servers answer is read like anything from outside: what is wrong with one message costs that one."""

import json
from typing import Any

import orjson
import pytest

from server.domain.mention import Mention
from server.domain.texts import NoAnswer, Texts, put_in, read_answer, with_actor
from tests.harness.resolving import texts

RIGHT = texts("Hello")


def read(entry: Any) -> Texts | None:
    """Return what is read of an entry, beside one that is right."""
    answer = json.dumps({"one": entry, "right": RIGHT}).encode()
    found = read_answer(answer, ["one", "right"])
    assert found.pop("right").headline.template == "Hello"
    return found.get("one")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "Hello",
        [],
        {},
        texts(""),
        texts("  "),
        texts("x" * 1001),
        {"displayHeadlineMessageTemplate": 7},
        texts("bell \x07"),
        texts("nul \x00"),
        texts("Hello", "bell \x07"),
        texts("Hello", "x" * 4001),
        texts("Hello", displayHeadlineMessageTemplateData="x"),
        texts("{a}", displayHeadlineMessageTemplateData={"a": 7}),
        texts("{a}", displayHeadlineMessageTemplateData={"a": {"name": "Ann"}}),
        texts("{a}", displayHeadlineMessageTemplateData={"a": {"userId": "x\n"}}),
        texts("{a}", displayHeadlineMessageTemplateData={"a": "\x1b"}),
        texts("Hello", displayHeadlineMessageTemplateData=json.loads('{"a":' * 400 + "1" + "}" * 400)),
        texts("Hello", notificationSourceData=[]),
        texts("Hello", notificationSourceData={"x": "x" * 4096}),
        texts("Hello", notificationSourceData=json.loads('{"a":' * 20 + "1" + "}" * 20)),
    ],
    ids=lambda entry: json.dumps(entry)[:60],
)
def test_an_entry_that_is_wrong_is_as_if_it_were_not_there(entry: Any) -> None:
    assert read(entry) is None


def test_an_entry_may_have_a_headline_and_nothing_else() -> None:
    found = read({"displayHeadlineMessageTemplate": "Hello"})
    assert found is not None
    assert (found.headline.values, found.body, found.data) == ({}, None, None)


def test_only_what_the_headline_uses_is_kept() -> None:
    data = {"page": "Home", "nothing": None, "secret": "x" * 500, "recipientUser": "ann"}
    found = read(texts("{recipientUser} {page} {nothing}", displayHeadlineMessageTemplateData=data))
    assert found is not None
    assert found.headline.values == {"recipientUser": Mention("ann"), "page": "Home"}


def test_who_did_it_is_whom_the_message_knows_unless_the_answer_says_it() -> None:
    known = {"actionUser": {"userId": "ann", "name": "Ann"}}
    without, with_it = (
        read(texts("{actionUser}", displayHeadlineMessageTemplateData=data))
        for data in ({}, {"actionUser": {"userId": "bob"}})
    )
    assert without is not None
    assert with_it is not None
    assert with_actor(without.headline, known).values == {"actionUser": Mention("ann", "Ann")}
    assert with_actor(with_it.headline, known).values == {"actionUser": Mention("bob")}
    assert with_actor(without.headline, {}).values == {}


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b"null", b'"x"', b'{"a": "\xff"}', b"[" * 5000])
def test_what_is_no_object_is_no_answer(answer: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_answer(answer, ["one"])


def test_what_nobody_asked_for_is_passed_over() -> None:
    assert read_answer(orjson.dumps({"two": RIGHT}), ["one"]) == {}


def test_texts_take_the_place_of_what_a_message_says_without_them() -> None:
    found = read(texts("Hello", "There", notificationSourceData={"b": 2}))
    assert found is not None
    content = {"unresolved": True, "bucket": {"id": "x"}, "data": {"a": 1}}
    filled = {"bucket": {"id": "x"}, "title": "Hello", "body": "There", "data": {"b": 2}}
    assert put_in(content, found, "Hello") == filled


def test_what_holds_texts_does_not_show_them() -> None:
    found = read(texts("SECRET", "SECRET", notificationSourceData={"SECRET": 1}))
    assert "SECRET" not in repr(found)
