"""Requests and answers as types: what a body or a query may hold is written once, for reading it and for describing it.

A request is a `Body`: a struct whose fields carry their limits, rule and description (`text`, `whole`, …). `read` makes one of
decoded JSON with all faults at once, `read_query` of a query; `server/api/openapi.py` describes the same fields. An answer is a
`TypedDict`, which the function that shows it returns, so that a type checker holds it to its description.

    class BucketBody(Body):
        name: Annotated[str, text("What it is called.", most=100, rule=rules.bucket_name)]
        color: Annotated[str, text("Its colour.", least=7, most=7, rule=rules.color)] | None = None
        public: Annotated[bool, note("Whether any user may join.")] = False

Field names are Python's here and camelCase in JSON. A field without a default must be there. A null counts as left out, so the
default of an optional one is None. In what changes something the default is UNSET: what is left out stays as it is, and a null
clears what may be None. What no annotation can say has a reader of its own: `own(read, …)`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, inspect

from server.api.reading import Fields, Query
from server.domain.rules import Rule, label

B = TypeVar("B", bound="Body")
Reader = Callable[[Fields, str], Any]

Id = Annotated[str, Meta(description="An id.", extra_json_schema={"format": "uuid"})]
Time = Annotated[
    str,
    Meta(description="An instant: RFC 3339, UTC, milliseconds.", extra_json_schema={"format": "date-time"}),
]


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client sends. It does not show what it holds, which may be a password."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def note(description: str, **schema: Any) -> Meta:
    """Describe a field that needs no limits; `schema` is what JSON Schema says beside its type."""
    return Meta(description=description, extra_json_schema=schema or None)


def text(description: str, *, most: int, least: int = 1, rule: Rule = label, **schema: Any) -> Meta:
    """Describe a text of so many characters that a rule lets pass."""
    return Meta(
        description=description,
        min_length=least,
        max_length=most,
        extra={"rule": rule},
        extra_json_schema=schema or None,
    )


def whole(description: str, *, least: int, most: int, **schema: Any) -> Meta:
    """Describe a whole number."""
    return Meta(description=description, ge=least, le=most, extra_json_schema=schema or None)


def items(description: str, *, most: int, least: int = 0, **schema: Any) -> Meta:
    """Describe a list of so many entries."""
    return Meta(
        description=description, min_length=least or None, max_length=most, extra_json_schema=schema or None
    )


def instant(description: str, *, future: bool = False) -> Meta:
    """Describe a time, sent as RFC 3339 and read as milliseconds; a `future` one must be after the reading's `now`."""
    return Meta(
        description=description,
        extra={"instant": future},
        extra_json_schema={"type": "string", "format": "date-time"},
    )


def own(read: Reader, description: str, **schema: Any) -> Meta:
    """Describe a field with a reader of its own, which is also asked where the field is left out."""
    return Meta(description=description, extra={"read": read}, extra_json_schema=schema or None)


def read(kind: type[B], values: dict[str, Any], *, now: int = 0) -> B:
    """Return a body from decoded JSON; Invalid names every fault."""
    fields = Fields(values, now=now)
    body = take(kind, fields)
    fields.check()
    return body


def read_query(kind: type[B], request: web.Request, *, now: int = 0) -> B:
    """Return a body from a URL's query, where numbers and flags are texts; Invalid names every fault."""
    query = Query(request, now=now)
    body = take(kind, query)
    query.check()
    return body


def take(kind: type[B], fields: Fields) -> B:
    """Return a body from fields; what is wrong is noted in them, and has a stand-in here.

    What is left out and may be has its default, and costs no reading: of the many fields of a message most are.
    """
    there = fields.names()
    return kind(
        **{
            attribute: reader(fields, name)
            for attribute, name, reader, always in _readers(kind)
            if always or name in there
        }
    )


@lru_cache(maxsize=256)
def _readers(kind: type[Body]) -> list[tuple[str, str, Reader, bool]]:
    """Return a body's fields: as an attribute, as they are sent, what reads them, and whether that is asked where they are left out."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - the bound of B, which inspect does not know
    return [(field.name, field.encode_name, *_reader(field)) for field in info.fields]


def _reader(field: inspect.Field) -> tuple[Reader, bool]:
    """Return what reads one field of a body, and whether it is asked where the field is left out."""
    kind, extra = _core(field.type)
    if "read" in extra:
        return extra["read"], True
    reader = _value_reader(kind, extra, required=field.required, default=field.default)
    is_unset = field.default is field.default_factory is msgspec.NODEFAULT and not field.required
    return _clearing(reader, _cleared(field.type)) if is_unset else reader, field.required


def _clearing(reader: Reader, cleared: msgspec.UnsetType | None) -> Reader:
    """Read a field that a null clears, or leaves as it is."""
    return lambda fields, name: cleared if fields.value(name) is None else reader(fields, name)


def _cleared(kind: inspect.Type) -> msgspec.UnsetType | None:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return None if isinstance(kind, inspect.UnionType) and kind.includes_none else msgspec.UNSET


def _value_reader(kind: Any, extra: dict[str, Any], *, required: bool, default: Any) -> Reader:
    if "instant" in extra:
        return _instant(required=required, future=extra["instant"])
    return _plain(kind, extra.get("rule", label), required=required, default=default)


def _plain(kind: Any, rule: Rule, *, required: bool, default: Any) -> Reader:
    reader: Reader
    match kind:
        case inspect.StrType(min_length=least, max_length=most):
            reader = _text(required=required, least=least or 0, most=most or 0, rule=rule)
        case inspect.IntType(ge=least, le=most):
            reader = _whole(required=required, least=least or 0, most=most or 0, default=default)
        case inspect.BoolType():
            reader = lambda fields, name: fields.flag(name)  # noqa: E731 - of whatever kind of fields
        case inspect.EnumType(cls=choices):
            reader = _choice(choices, required=required, default=default)
        case inspect.StructType(cls=struct):
            reader = _struct(struct, required=required)
        case inspect.ListType() | inspect.VarTupleType():
            bounds = (kind.min_length or 0, kind.max_length or 0)
            reader = _list(kind.item_type, required=required, bounds=bounds, default=default)
        case _:
            raise TypeError(f"no reader for {kind}")
    return reader


def _core(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without its metadata and without `| None`, and the metadata's extra."""
    extra: dict[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            if len(others) != 1:
                return kind, extra
            kind = others[0]
        else:
            return kind, extra


def _text(*, required: bool, least: int, most: int, rule: Rule) -> Reader:
    if required:
        return lambda fields, name: fields.required(name, least=least, most=most, rule=rule)
    return lambda fields, name: fields.optional(name, least=least, most=most, rule=rule)


def _instant(*, required: bool, future: bool) -> Reader:
    def one(fields: Fields, name: str) -> int | None:
        if required and fields.value(name) is None:
            fields.fault(name, "is missing", "send a time like 2030-01-31T12:00:00Z")
        return fields.instant(name, after=fields.now if future else None)

    return one


def _whole(*, required: bool, least: int, most: int, default: Any) -> Reader:
    def one(fields: Fields, name: str) -> Any:
        if not required and fields.value(name) is None:
            return default
        return fields.whole(name, least=least, most=most)

    return one


def _choice(choices: Any, *, required: bool, default: Any) -> Reader:
    def one(fields: Fields, name: str) -> Any:
        if not required and fields.value(name) is None:
            return default
        return fields.choice(name, choices)

    return one


def _struct(struct: Any, *, required: bool) -> Reader:
    def one(fields: Fields, name: str) -> Any:
        value = fields.value(name)
        if value is None:
            if required:
                fields.fault(name, "is missing", "send an object")
            return None
        return _one(fields, name, value, struct)

    return one


def _one(fields: Fields, name: str, value: Any, struct: Any) -> Any:
    inner = fields.inner(name, value)
    if inner is None:
        return None
    found = take(struct, inner)
    fields.faults += inner.faults
    return found


def _list(item: inspect.Type, *, required: bool, bounds: tuple[int, int], default: Any) -> Reader:
    kind, extra = _core(item)
    one, (least, most) = _item(kind, extra), bounds

    def read_all(fields: Fields, name: str) -> Any:
        values = fields.items(name, most=most)
        if values is None:
            if required and fields.value(name) is None:
                fields.fault(name, "is missing", f"send a list of at most {most}")
            return () if default is msgspec.NODEFAULT else default
        if len(values) < least:
            fields.fault(name, f"has {len(values)} entries", f"send a list of {least} to {most}")
        return tuple(one(fields, f"{name}[{index}]", value) for index, value in enumerate(values))

    return read_all


def _item(kind: Any, extra: dict[str, Any]) -> Callable[[Fields, str, Any], Any]:
    """Return what reads one entry of a list."""
    match kind:
        case inspect.StrType(min_length=least, max_length=most):
            rule = extra.get("rule", label)
            return lambda fields, name, value: fields.text(
                name, value, least=least or 0, most=most or 0, rule=rule
            )
        case inspect.IntType(ge=least, le=most):
            return lambda fields, name, value: fields.number_in(name, value, least=least or 0, most=most or 0)
        case inspect.EnumType():
            choices: Any = kind.cls
            return lambda fields, name, value: fields.choice_of(name, value, choices)
        case inspect.StructType(cls=struct):
            return lambda fields, name, value: _one(fields, name, value, struct)
    raise TypeError(f"no reader for a list of {kind}")
