"""JSON Schema of the API's types, as OpenAPI 3.1 takes it: of `Body` structs and of the `TypedDict`s that answers are.

What a field says of itself (`extra_json_schema`) goes before what its Python type would say: a time is a number here and a text
there. msgspec's own generator has it the other way round, and does not know that a null counts as left out.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from msgspec import inspect

from server.domain import rules
from server.domain.rules import Rule

Schema = dict[str, Any]

_SPEAKS_FOR_ITSELF = ("type", "anyOf", "oneOf", "$ref")
_NULL: Schema = {"type": "null"}

# What of a rule a schema can say; the rest is in the fault that names it.
_LINE = r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$"
_OF_RULES: Mapping[Rule, Schema] = {
    rules.label: {"pattern": _LINE},
    rules.bucket_name: {"pattern": _LINE},
    rules.prose: {"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"},
    rules.username: {"pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"},
    rules.email: {"format": "email"},
    rules.phone: {"pattern": "^\\+[1-9][0-9]{1,14}$"},
    rules.color: {"pattern": "^#[0-9A-Fa-f]{6}$"},
    rules.web_url: {"format": "iri", "pattern": "^https?://"},
}


class Schemas:
    """Schemas of types; what has a name is in `components` once, and referred to."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._classes: dict[str, type] = {}

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type; one with a name is a reference. msgspec does not know a union of `TypedDict`s."""
        origin, inner = get_origin(kind), get_args(kind)
        if is_typeddict(kind):
            return self._refer(kind, lambda: self._view(kind))
        if origin is NotRequired:
            return self.of(inner[0])
        if origin in (list, dict):
            one = self.of(inner[-1])
            return (
                {"type": "array", "items": one}
                if origin is list
                else {"type": "object", "additionalProperties": one}
            )
        if origin in (Union, UnionType):
            return _either([self.of(one) for one in inner if one is not NoneType], null=NoneType in inner)
        if origin is Annotated and (get_origin(inner[0]) or is_typeddict(inner[0])):
            return {**self.of(inner[0]), **_said_by(inner[1:])}
        return self._of(inspect.type_info(kind))

    def fields(self, kind: type[msgspec.Struct]) -> list[tuple[str, bool, Schema]]:
        """Return the name, whether it must be there, and the schema of each field of a struct."""
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)  # noqa: S101 - what its bound says
        return [
            (field.encode_name, field.required, {**self._of(field.type), **_default(field)})
            for field in info.fields
        ]

    def _of(self, kind: inspect.Type) -> Schema:
        if isinstance(kind, inspect.Metadata):
            said = kind.extra_json_schema or {}
            if any(word in said for word in _SPEAKS_FOR_ITSELF):
                return dict(said)
            rule = (kind.extra or {}).get("rule")
            return {**self._of(kind.type), **(_OF_RULES.get(rule, {}) if rule else {}), **said}
        if isinstance(kind, inspect.StructType):
            return self._refer(kind.cls, lambda: self._body(kind))
        if isinstance(kind, inspect.EnumType):
            return self._refer(kind.cls, lambda: _enum(kind.cls))
        if isinstance(kind, inspect.UnionType):
            others = [self._of(one) for one in kind.types if not isinstance(one, inspect.NoneType)]
            return _either(others, null=kind.includes_none)
        return self._plain(kind)

    def _plain(self, kind: inspect.Type) -> Schema:
        found: Schema
        match kind:
            case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
                found = {"type": "string", "minLength": least, "maxLength": most, "pattern": pattern}
            case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
                word = "integer" if isinstance(kind, inspect.IntType) else "number"
                found = {"type": word, "minimum": least, "maximum": most}
            case inspect.BoolType():
                found = {"type": "boolean"}
            case inspect.BytesType():
                found = {"type": "string", "format": "binary"}
            case inspect.ListType() | inspect.VarTupleType():
                found = {"type": "array", "items": self._of(kind.item_type)}
                found |= {"minItems": kind.min_length, "maxItems": kind.max_length}
            case inspect.DictType(value_type=value):
                found = {"type": "object", "additionalProperties": self._of(value)}
            case inspect.LiteralType(values=values):
                found = {"enum": [*values]}
            case inspect.NoneType():
                found = {"type": "null"}
            case inspect.AnyType():
                found = {}
            case _:
                raise TypeError(f"no schema for {kind}")
        return {name: said for name, said in found.items() if said is not None}

    def _refer(self, kind: type, make: Callable[[], Schema]) -> Schema:
        name = kind.__name__
        if self._classes.setdefault(name, kind) is not kind:
            raise TypeError(f"{self._classes[name]} and {kind} have one name")
        if name not in self.components:
            self.components[name] = {}  # it may refer to itself
            self.components[name] = make()
        return {"$ref": f"#/components/schemas/{name}"}

    def _view(self, kind: Any) -> Schema:
        hints = get_type_hints(kind, include_extras=True)
        required = [name for name in hints if name in kind.__required_keys__]
        return _object(kind, {name: self.of(hint) for name, hint in hints.items()}, required)

    def _body(self, kind: inspect.StructType) -> Schema:
        properties = {field.encode_name: self._property(field) for field in kind.fields}
        return _object(kind.cls, properties, [field.encode_name for field in kind.fields if field.required])

    def _property(self, field: inspect.Field) -> Schema:
        found = self._of(field.type)
        return found if field.required else {**nullable(found), **_default(field)}


def _default(field: inspect.Field) -> Schema:
    """Return what a schema says of a field that is left out, as far as it can be said."""
    default = [*field.default] if isinstance(field.default, tuple) else field.default
    known = isinstance(default, str | int | list)  # otherwise it is left out, or of our own making
    return {"default": default} if known else {}


def _object(kind: type, properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        **_described(kind),
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _enum(kind: type[Enum]) -> Schema:
    return {"type": "string", "enum": [one.value for one in kind], **_described(kind)}


def _described(kind: type) -> Schema:
    doc = " ".join((kind.__doc__ or "").split())
    return {"description": doc} if doc else {}


def _said_by(notes: Iterable[Any]) -> Schema:
    said: Schema = {}
    for one in notes:
        said |= {"description": one.description} if one.description else {}
        said |= one.extra_json_schema or {}
    return said


def _either(options: list[Schema], *, null: bool) -> Schema:
    found = options[0] if len(options) == 1 else {"anyOf": options}
    return nullable(found) if null else found


def nullable(schema: Schema) -> Schema:
    """Return a schema that lets null pass as well."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    if isinstance(kind, str):
        enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return schema if kind == "null" else {**schema, "type": [kind, "null"], **enum}
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, dict(_NULL)], **rest}
    if "anyOf" in schema:
        options = schema["anyOf"]
        return schema if _NULL in options else {**schema, "anyOf": [*options, dict(_NULL)]}
    return schema


def without_null(schema: Schema) -> Schema:
    """Return a schema of what cannot be null, as a text in a query cannot."""
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind:
        kinds = [one for one in kind if one != "null"]
        return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}
    if schema.get("anyOf", [])[1:] == [_NULL]:
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        return {**schema["anyOf"][0], **rest}
    return dict(schema)
