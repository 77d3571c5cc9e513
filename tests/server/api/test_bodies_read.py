"""Bodies: what a struct says of its fields is what is read of a request, with all faults at once."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from server.api.bodies import Body, instant, items, note, own, read, text, whole
from server.api.reading import Fields
from server.domain import rules
from server.domain.errors import Invalid

NOON = 1_893_412_800_000  # 2029-12-31T12:00:00Z


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Part(Body, frozen=True, kw_only=True):
    name: Annotated[str, text("Its name.", most=5)]
    weight: Annotated[int, whole("In grams.", least=1, most=100)] = 7


def _read_even(fields: Fields, name: str) -> int:
    value = fields.value(name)
    if value is not None and value % 2:
        fields.fault(name, "is odd", "send an even number")
    return value or 0


class Parcel(Body, frozen=True, kw_only=True):
    sent_to: Annotated[str, text("Who gets it.", most=10, rule=rules.username)]
    size: Annotated[Size, note("How large it is.")]
    comment: Annotated[str, text("Something to say.", least=0, most=20, rule=rules.prose)] | None = None
    gift: Annotated[bool, note("Whether it is one.")] = False
    send_at: Annotated[int, instant("When it is to go.", future=True)] | None = None
    parts: Annotated[tuple[Part, ...], items("What is in it.", most=3)] = ()
    lid: Annotated[Part, note("What closes it.")] | None = None
    days: Annotated[tuple[Annotated[int, whole("A day.", least=1, most=7)], ...], items("Days.", most=7)] = (
        1,
    )
    even: Annotated[int, own(_read_even, "An even number.", type="integer")] = 0


class Box(Body, frozen=True, kw_only=True):
    cups: Annotated[tuple[Annotated[str, text("A cup.", most=5)], ...], items("What.", least=1, most=3)]


class Change(Body, frozen=True, kw_only=True):
    name: Annotated[str, text("Its name.", most=5)] | UnsetType = UNSET
    icon: Annotated[str, text("Its icon.", most=5)] | UnsetType | None = UNSET


def faults_of(kind: type[Body], values: dict[str, Any], now: int = 0) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        read(kind, values, now=now)
    assert all(fault.fix for fault in refused.value.faults)
    return {fault.path: fault.reason for fault in refused.value.faults}


def test_a_body_is_read_whole() -> None:
    """In JSON it is camelCase, here Python's names; lists are tuples, a time is in milliseconds."""
    body = read(
        Parcel,
        {
            "sentTo": "anna",
            "size": "large",
            "comment": "two\nlines",
            "gift": True,
            "sendAt": "2029-12-31T13:00:00+01:00",
            "parts": [{"name": "cup"}, {"name": "tea", "weight": 50.0}],
            "lid": {"name": "lid", "unknown": 1},
            "days": [1, 7],
            "even": 4,
            "unknown": "is passed over",
        },
        now=NOON - 1,
    )
    assert body == Parcel(
        sent_to="anna",
        size=Size.LARGE,
        comment="two\nlines",
        gift=True,
        send_at=NOON,
        parts=(Part(name="cup"), Part(name="tea", weight=50)),
        lid=Part(name="lid"),
        days=(1, 7),
        even=4,
    )


def test_what_is_left_out_has_its_default() -> None:
    """And a null is as good as leaving out."""
    names = ("comment", "gift", "sendAt", "parts", "lid", "days", "even")
    short = {"sentTo": "anna", "size": "small"}
    assert read(Parcel, short) == read(Parcel, short | dict.fromkeys(names))
    assert read(Parcel, short) == Parcel(sent_to="anna", size=Size.SMALL)


def test_all_faults_are_named_at_once() -> None:
    """Each at its place, in what is nested too."""
    values = {
        "sentTo": "a b",
        "comment": "x" * 21,
        "gift": "yes",
        "sendAt": "2029-12-31T12:00:00Z",
        "parts": [{}, {"name": "longer", "weight": 0}, 5],
        "lid": [],
        "days": [1, 8, "x"],
        "even": 3,
    }
    assert faults_of(Parcel, values, now=NOON) == {
        "sentTo": "has characters that a username cannot have",
        "size": "is missing",
        "comment": "has 21 characters",
        "gift": "is a text",
        "sendAt": "has passed",
        "parts[0].name": "is missing",
        "parts[1].name": "has 6 characters",
        "parts[1].weight": "is out of range",
        "parts[2]": "is a number",
        "lid": "is a list",
        "days[1]": "is out of range",
        "days[2]": "is a text",
        "even": "is odd",
    }


def test_a_list_that_is_too_long_is_one_fault() -> None:
    assert faults_of(Parcel, {"sentTo": "anna", "size": "small", "parts": [{}] * 4}) == {
        "parts": "has 4 entries"
    }


def test_a_list_that_must_hold_something_is_not_empty() -> None:
    assert read(Box, {"cups": ["tea"]}) == Box(cups=("tea",))
    assert faults_of(Box, {"cups": []}) == {"cups": "has 0 entries"}
    assert faults_of(Box, {}) == {"cups": "is missing"}


def test_a_change_tells_what_is_left_out_from_what_is_cleared() -> None:
    """Null clears what may be none, and leaves the rest as it is."""
    assert read(Change, {}) == Change()
    assert read(Change, {"icon": None}) == Change(icon=None)
    assert read(Change, {"name": None}) == Change()
    assert read(Change, {"name": "b"}).name == "b"
    assert read(Change, {"name": "b"}).icon is msgspec.UNSET


def test_a_body_does_not_show_what_it_holds() -> None:
    """It may be a password, and stands in tracebacks."""
    assert "anna" not in repr(read(Parcel, {"sentTo": "anna", "size": "small"}))


def test_what_would_be_right_is_the_form_of_a_text_and_every_word_for_a_thing() -> None:
    fields = Fields({"color": "red", "size": "huge"})
    fields.optional("color", least=7, most=7, rule=rules.color)
    fields.choice_of("size", "huge", Size, same={"big": Size.LARGE})
    assert [(fault.reason, fault.fix) for fault in fields.faults] == [
        ("has 3 characters", "write it like #1E88E5"),
        ("is none of the known words", "send one of small, large, big"),
    ]
    assert fields.choice_of("size", "big", Size, same={"big": Size.LARGE}) is Size.LARGE
