"""Tables of documentation: the fields of a body as its schema describes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_REF = "#/components/schemas/"
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One field of a body: its path, what it may be, and what it is for. `needed` says whether, or what holds where it is left out."""

    name: str
    kind: str
    null: str
    values: str
    sizes: str
    needed: str
    said: str


def rows_of(schema: Schema, schemas: Mapping[str, Schema], before: str = "") -> list[Row]:
    """Return the fields of an object, those of objects in it after it."""
    found = _core(schema, schemas)
    required = set(found.get("required", ()))
    rows = []
    for name, field in found.get("properties", {}).items():
        core, path = _core(field, schemas), f"{before}{name}"
        said = field.get("description") or core.get("description", "")
        kind = _kind(core, schemas)
        needed = "yes" if name in required else _default(field)
        null = " or null" if _is_nullable(field) else ""
        rows.append(Row(path, kind, null, _values(core, schemas), _sizes(core, schemas), needed, said))
        inner, deeper = _inner(core)
        rows += rows_of(_core(inner, schemas), schemas, f"{path}{deeper}.")
    return rows


def _inner(core: Schema) -> tuple[Schema, str]:
    """Return what is in a field, and how its place is written: each of a list, each by its name, or the object itself."""
    named = core.get("additionalProperties")
    if "items" in core:
        return core["items"], "[]"
    return (named, ".*") if isinstance(named, dict) else (core, "")


def _core(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """Return a schema without its reference and without null."""
    if "$ref" in schema:
        return _core(schemas[schema["$ref"].removeprefix(_REF)], schemas)
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(options) == 1:
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        return {**_core(options[0], schemas), **rest}
    return schema


def _kind(core: Schema, schemas: Mapping[str, Schema]) -> str:
    kinds = core.get("type", "object")
    words = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"] or ["null"]
    if "items" in core:
        return f"list of {_kind(_core(core['items'], schemas), schemas)}s".replace("ss", "s")
    forms = {"date-time": "time", "uuid": "id", "iri": "URL"}
    return forms.get(core.get("format", ""), " or ".join(words))


def _sizes(core: Schema, schemas: Mapping[str, Schema]) -> str:
    sizes = [_size(core, "minLength", "maxLength", "characters", least=1)]
    sizes += [_size(core, "minItems", "maxItems", "entries", least=0), _range(core)]
    if "items" in core:
        each = _sizes(_core(core["items"], schemas), schemas)
        sizes.append(f"each {each}" if each else "")
    return ", ".join(filter(None, sizes))


def _values(core: Schema, schemas: Mapping[str, Schema]) -> str:
    if "items" in core:
        return _values(_core(core["items"], schemas), schemas)
    return ", ".join(f"`{value}`" for value in core.get("enum", ()) if value is not None)


def _size(core: Schema, low: str, high: str, unit: str, *, least: int) -> str:
    if high not in core:
        return ""
    lowest = core.get(low, 0)
    if lowest == core[high]:
        return f"{lowest} {unit}"
    return f"{lowest}-{core[high]} {unit}" if lowest > least else f"at most {core[high]} {unit}"


def _range(core: Schema) -> str:
    return f"{core['minimum']}-{core['maximum']}" if "minimum" in core and "maximum" in core else ""


def _is_nullable(field: Schema) -> bool:
    kinds = field.get("type", ())
    return {"type": "null"} in field.get("anyOf", ()) or (not isinstance(kinds, str) and "null" in kinds)


def _default(field: Schema) -> str:
    default = field.get("default")
    if default in (None, [], {}, False):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def table_of_fields(rows: Sequence[Row]) -> str:
    cells = [
        [f"`{row.name}`", row.kind, row.needed, ", ".join(filter(None, (row.values, row.sizes))), row.said]
        for row in rows
    ]
    return table(["Field", "Type", "Needed, or default", "Limits", "What it is"], cells)


def table_of_answer(rows: Sequence[Row]) -> str:
    """Of what may be missing, or null, the type says so."""
    cells = [
        [
            f"`{row.name}`{'' if row.needed == 'yes' else '?'}",
            ": ".join(filter(None, (f"{row.kind}{row.null}", row.values))),
            row.said,
        ]
        for row in rows
    ]
    return table(["Answer", "Type", "What it is"], cells)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table, nothing where it has no rows."""
    lines = [heads, ["---"] * len(heads), *rows] if rows else []
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
