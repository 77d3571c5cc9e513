"""Reading requests: from bytes to values that are typed and valid, with every fault named at once.

A `Fields` hands out one field after another and notes what is wrong with each; where something is, it hands out a
stand-in so that the reading goes on, and `check()` at the end refuses with all that was noted. Unknown fields are
passed over. A field that is null counts as left out. Lengths are counted in characters.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from aiohttp import web

from server.domain.errors import Fault, Invalid, Refusal, TooLarge
from server.domain.rules import Rule, Wrong, is_deeper, is_id, label
from server.domain.times import read_time

MAX_BODY = 256 * 1024
DEEPEST_BODY = 100  # levels: what is read may be deeper than what the same library writes again
BODY_SECONDS = 30.0  # for all of a body: who sends a byte now and then must not hold a connection for ever

Choice = TypeVar("Choice", bound=StrEnum)
_NO_OTHERS: Mapping[str, Any] = {}


class UnsupportedMedia(Refusal):
    """A body of a type, or an encoding, that is not read here."""

    code = "media_type_unsupported"


class TooSlow(Refusal):
    """A body that does not come."""

    code = "body_timeout"


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in a request's body; an empty body is an empty object."""
    return decode_object(await read_body(request), media_type(request))


def media_type(request: web.Request) -> str:
    """Return the type without its parameters, at some of which the library's own parser fails."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_body(request: web.Request, *, seconds: float = BODY_SECONDS) -> bytes:
    """Return a request's body as it was sent; TooLarge, TooSlow, UnsupportedMedia."""
    refuse_encoding(request)
    try:
        if request.content.is_eof():  # all of it came with the head: nothing to wait for
            return await request.read()
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise too_slow(seconds) from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is larger than {MAX_BODY} bytes") from None


def refuse_encoding(request: web.Request) -> None:
    """Refuse a body that would have to be unpacked; UnsupportedMedia."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("send the body without a Content-Encoding", code="encoding_unsupported")


def too_slow(seconds: float) -> TooSlow:
    return TooSlow(f"the body was not complete after {seconds:g} seconds")


def decode_object(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the object that a body holds; Invalid names the place where it is not JSON."""
    if not body:
        return {}
    if content_type != "application/json":
        raise UnsupportedMedia("send JSON, with the header Content-Type: application/json")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place, what = _place(error)
        fault = Fault("", f"is not JSON ({place}: {what})", "send one JSON object in UTF-8")
        raise Invalid(f"the body is not JSON ({place}: {what})", code="bad_json", faults=[fault]) from None
    if not isinstance(value, dict):
        fault = Fault("", f"is {_kind(value)}", "send one JSON object")
        raise Invalid("the body is not a JSON object", faults=[fault])
    if body.count(b"[") + body.count(b"{") > DEEPEST_BODY and is_deeper(value, DEEPEST_BODY):
        reason = f"is nested more than {DEEPEST_BODY} levels deep"
        raise Invalid(f"the body {reason}", faults=[Fault("", reason, "send it flatter")])
    return value


class Fields:
    """The fields of one object of a request; `where` is its path in front of theirs, `now` when it is read."""

    def __init__(self, values: Mapping[str, Any], where: str = "", *, now: int = 0) -> None:
        self._values = values
        self._where = where
        self.now = now
        self.faults: list[Fault] = []

    def check(self) -> None:
        """Refuse with all faults that were noted; Invalid."""
        if self.faults:
            first, more = self.faults[0], len(self.faults) - 1
            detail = f"{first.path}: {first.reason}" + (f", and {more} more" if more else "")
            raise Invalid(detail, faults=self.faults)

    def fault(self, name: str, reason: str, fix: str) -> None:
        self.faults.append(Fault(self._where + name, reason, fix))

    def names(self) -> Collection[str]:
        """Return which fields are there, whatever they hold."""
        return self._values.keys()

    def among(self, names: Sequence[str]) -> list[str]:
        """Return those of some names that are there, whatever they hold."""
        return [name for name in names if name in self._values]

    def value(self, name: str) -> Any:
        """Return a field as it came, None where it is left out."""
        return self._values.get(name)

    def required(self, name: str, *, most: int, least: int = 1, rule: Rule = label) -> str:
        """Return a text that must be there."""
        if self.value(name) is None:
            self.fault(name, "is missing", _right_text(least, most, rule))
        return self.optional(name, most=most, least=least, rule=rule) or ""

    def optional(self, name: str, *, most: int, least: int = 1, rule: Rule = label) -> str | None:
        """Return a text, or None where it is left out or wrong."""
        value = self.value(name)
        return None if value is None else self.text(name, value, most=most, least=least, rule=rule)

    def text(self, name: str, value: Any, *, most: int, least: int = 1, rule: Rule = label) -> str | None:
        """Check one text that stands at `name`."""
        wrong = _wrong_text(value, least, most, rule)
        if wrong is not None:
            self.fault(name, *wrong)
            return None
        return str(value)

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        """Return one of a few words that must be there."""
        return self.choice_of(name, self.value(name), choices)

    def choice_of(
        self, name: str, value: Any, choices: type[Choice], *, same: Mapping[str, Choice] = _NO_OTHERS
    ) -> Choice:
        """Return one of a few words, which stands at `name`; `same` are other words for some of them."""
        if isinstance(value, str):
            try:
                return same.get(value) or choices(value)
            except ValueError:
                reason = "is none of the known words"
        else:
            reason = "is missing" if value is None else f"is {_kind(value)}"
        self.fault(name, reason, f"send one of {', '.join([*(choice.value for choice in choices), *same])}")
        return next(iter(choices))

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is left out."""
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            self.fault(name, f"is {_kind(value)}", "send true or false")
        return value is True

    def whole(self, name: str, *, least: int, most: int) -> int:
        """Return a whole number that must be there; 5.0 is one (JSON knows one kind of number)."""
        return self.number_in(name, self.value(name), least=least, most=most)

    def number_in(self, name: str, value: Any, *, least: int, most: int) -> int:
        """Check one whole number that stands at `name`."""
        fix = f"send a whole number from {least} to {most}"
        if value is None:
            self.fault(name, "is missing", fix)
        elif isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            self.fault(name, f"is {_kind(value)}", fix)
        elif not least <= value <= most:
            self.fault(name, "is out of range", fix)
        else:
            return int(value)
        return least

    def instant(self, name: str, *, after: int | None) -> int | None:
        """Return a time, None where it is left out; later than `after` where that is given."""
        value = self.value(name)
        if value is None:
            return None
        fix = "send a time like 2030-01-31T12:00:00Z" + ("" if after is None else ", in the future")
        try:
            at = read_time(value)
        except (TypeError, ValueError, OverflowError):
            self.fault(name, "is not a time (RFC 3339)", fix)
            return None
        if after is not None and at <= after:
            self.fault(name, "has passed", fix)
        return at

    def inner(self, name: str, value: Any) -> "Fields | None":
        """Return the fields of an object that stands at `name`; add its faults to these when it is read."""
        if not isinstance(value, dict):
            self.fault(name, f"is {_kind(value)}", "send an object")
            return None
        return Fields(value, f"{self._where}{name}.", now=self.now)

    def object_of(self, name: str, *, most: int, deepest: int) -> dict[str, Any] | None:
        """Return an object of whatever shape: at most so many bytes of JSON, and so many levels."""
        value = self._values.get(name)
        if value is None:
            return None
        inner = self.inner(name, value)
        if inner is None:
            return None
        found = inner.given
        if is_deeper(found, deepest):  # first: what is too deep cannot even be written
            self.fault(name, f"is nested more than {deepest} levels deep", "send it flatter")
        elif len(orjson.dumps(found)) > most:
            self.fault(name, f"has more than {most} bytes as JSON", "send less, or where to find it")
        return found

    @property
    def given(self) -> dict[str, Any]:
        """Return all that was given, as it came."""
        return dict(self._values)

    def items(self, name: str, *, most: int, split: bool = False) -> Sequence[Any] | None:
        """Return a list of at most `most` entries, None where it is left out or wrong.

        With `split` a text is one too: JSON, or the entries with commas between them.
        """
        value = self._values.get(name)
        if split and isinstance(value, str):
            value = self._split(name, value)
        if value is None:
            return None
        fix = f"send a list of at most {most}"
        if not isinstance(value, list):
            self.fault(name, f"is {_kind(value)}", fix)
            return None
        if len(value) > most:
            self.fault(name, f"has {len(value)} entries", fix)
            return None
        return value

    def _split(self, name: str, text: str) -> list[Any] | None:
        if not text.lstrip().startswith(("[", "{")):
            return [entry.strip() for entry in text.split(",") if entry.strip()]
        value = self.decoded(name, text)
        return value if value is None or isinstance(value, list) else [value]

    def decoded(self, name: str, text: str) -> Any:
        """Return the value of a JSON text that stands at `name`, None where it is none."""
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            place, what = _place(error)
            self.fault(name, f"is not JSON ({place}: {what})", "send JSON, or correct it there")
            return None


class Texts(Fields):
    """Fields that came as texts, as a form's and a query's do, each as often as it likes.

    Numbers are written in digits, flags `true` or `false`, an object as JSON. A list is JSON, or its entries with commas between
    them, or one entry for each time that it is given; what is no list is given once.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], where: str = "", *, now: int = 0) -> None:
        given: dict[str, list[str]] = {}
        for name, text in pairs:
            given.setdefault(name, []).append(text)
        values = {name: texts if len(texts) > 1 else texts[0] for name, texts in given.items()}
        super().__init__(values, where, now=now)
        self._values: dict[str, Any] = values

    def value(self, name: str) -> Any:
        """Return a field as it came; of one that came more often the first, as that is a fault."""
        value = self._values.get(name)
        if isinstance(value, list):
            self.fault(name, "is given more than once", "give it once")
            self._values[name] = value = value[0]
        return value

    def items(self, name: str, *, most: int, split: bool = True) -> Sequence[Any] | None:
        return super().items(name, most=most, split=split)

    def inner(self, name: str, value: Any) -> "Fields | None":
        if isinstance(value, str):
            value = self.decoded(name, value)
            if value is None:
                return None
        return super().inner(name, value)

    def flag(self, name: str) -> bool:
        """Return true or false, which are written so; false where it is left out."""
        text = self.value(name)
        if text not in (None, "true", "false"):
            self.fault(name, "is neither true nor false", "give true or false")
        return bool(text == "true")

    def number_in(self, name: str, value: Any, *, least: int, most: int) -> int:
        """Check one whole number that stands at `name`, written in digits; in JSON within a text it is one already."""
        if not isinstance(value, str):
            return super().number_in(name, value, least=least, most=most)
        return self._number(name, value, least=least, most=most, otherwise=least)

    def _number(self, name: str, text: str, *, least: int, most: int, otherwise: int) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):  # noqa: PLR2004 - int() of a long text is slow
            self.fault(name, "is no such number", f"give a whole number from {least} to {most}")
            return otherwise
        return int(text)


class Query(Texts):
    """The query of a URL; its fields have a question mark in front where they are named."""

    def __init__(self, request: web.Request, *, now: int = 0) -> None:
        super().__init__(request.query.items(), "?", now=now)

    def number(self, name: str, *, least: int, most: int, otherwise: int) -> int:
        """Return a whole number, `otherwise` where it is left out."""
        text = self.value(name)
        return (
            otherwise
            if text is None
            else self._number(name, text, least=least, most=most, otherwise=otherwise)
        )

    def id(self, name: str) -> str | None:
        """Return an id, None where it is left out or wrong."""
        text = self.value(name)
        if text is not None and not is_id(text):
            self.fault(name, "is not an id", "give a UUID as this server gave it")
            return None
        return None if text is None else str(text).lower()


def _place(error: orjson.JSONDecodeError) -> tuple[str, str]:
    """Return where a text is no JSON, and why."""
    return f"line {error.lineno}, column {error.colno}", error.msg.partition(": line ")[0]


def _wrong_text(value: Any, least: int, most: int, rule: Rule) -> Wrong | None:
    if not isinstance(value, str):
        reason = f"is {_kind(value)}"
    elif least and not value.strip():
        reason = "is empty"
    elif not least <= len(value) <= most:
        reason = f"has {len(value)} characters"
    else:
        return rule(value)
    return reason, _right_text(least, most, rule)


def _right_text(least: int, most: int, rule: Rule) -> str:
    """Return what would be right; of a text of one length its rule says more."""
    wrong = rule("") if least == most else None
    return f"send a text of {least} to {most} characters" if wrong is None else wrong[1]


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value), "a list" if isinstance(value, list) else "an object")
