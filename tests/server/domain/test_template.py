"""What templates make of values: every placeholder filled once, what is missing named, what is too long refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import Invalid
from server.domain.template import CHANNELS, Filled, Template, Value, fill

MAKES: list[tuple[str, dict[str, Value], str]] = [
    ("Delegation {{id}} was issued", {"id": "ABC123"}, "Delegation ABC123 was issued"),
    ("{{ id }}{{  id}}{{\tid\n}}", {"id": "x"}, "xxx"),
    ("{{a}} and {{b}}", {"a": "{{b}}", "b": "{{a}}"}, "{{b}} and {{a}}"),
    ("{{a}}{{b}}{{c}}{{d}}{{e}}", {"a": 5, "b": 1.5, "c": True, "d": False, "e": "5"}, "51.5truefalse5"),
    ("{{first name}} {{user.name}} {{größe}}", {"first name": "A", "user.name": "B", "größe": "C"}, "A B C"),
    ("{{}} {{ }} {a} {{a} }} {{{a}}} {{{{a}}}}", {"a": "x"}, "{{}} {{ }} {a} {{a} }} {x} {{x}}"),
    ("nothing at all", {"more": "than needed"}, "nothing at all"),
    (r"{{a}}", {"a": r"\1 \g<0> $1 %s"}, r"\1 \g<0> $1 %s"),
]


def template(title: str = "Title", body: str = "Body") -> Template:
    return Template("id", "tenant", "KEY", None, title, body, CHANNELS, False, 0, None)  # noqa: FBT003 - a record


def wrong(made_of: Template, values: dict[str, Value]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        fill(made_of, values)
    return {fault.path: fault.reason for fault in refused.value.faults}


@pytest.mark.parametrize(("text", "values", "made"), MAKES)
def test_placeholders_are_filled_once_in_title_and_message(
    text: str, values: dict[str, Value], made: str
) -> None:
    assert fill(template(text, text), values) == Filled(made, made)


def test_every_placeholder_that_is_missing_is_named_once() -> None:
    asked = template("{{a}} {{ b }}", "{{b}} {{c}} {{a}} {{d}}")
    assert asked.placeholders == ["a", "b", "c", "d"]
    assert wrong(asked, {"c": "x", "A": "x"}) == {
        "placeholders.a": "is missing",
        "placeholders.b": "is missing",
        "placeholders.d": "is missing",
    }


def test_what_they_make_is_neither_too_long_nor_without_a_title() -> None:
    assert fill(template("{{a}}", "{{b}}"), {"a": "x" * 2_000, "b": "y" * 4_000}).title == "x" * 2_000
    assert wrong(template("{{a}}"), {"a": "x" * 2_001}) == {
        "placeholders": "the title that they make has 2001 characters"
    }
    assert wrong(template("T", "{{b}}"), {"b": "y" * 4_001}) == {
        "placeholders": "the message that they make has 4001 characters"
    }
    assert wrong(template(" {{a}}"), {"a": " "}) == {"placeholders": "the title that they make is empty"}
    assert fill(template("T", "{{b}}"), {"b": ""}).body == ""


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text())
def test_whatever_is_sent_for_a_text_without_placeholders_it_stays_as_it_is(
    values: dict[str, Value], before: str, after: str
) -> None:
    text = f"T{before}{after}".replace("{", "").replace("}", "")
    assert fill(template(text, text), values) == Filled(text, text)


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_value_is_put_in_as_it_is(value: str, other: str) -> None:
    made = fill(template("T", "a {{one}} b {{two}} c"), {"one": value, "two": other})
    assert made.body == f"a {value} b {other} c"


def test_a_record_of_a_template_does_not_show_its_texts() -> None:
    shown = repr(template("secret title", "secret body")) + repr(Filled("secret title", "secret body"))
    assert "secret" not in shown
