"""Pages of documentation that are made: each of the other APIs from its routes, as `/openapi.json` describes them, with golden examples.

`./dev docs` writes them (tests/server/dialects/test_pages.py).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.golden import Example, examples

ROOT = Path(__file__).parent.parent.parent
SERVER = "https://push.example.org"
_REF = "#/components/schemas/"
_CODE = re.compile(r"^- `(\w+)`: (.*)$", re.MULTILINE)
_HOLE = re.compile(r"(?:(?:http|ws)://)?<[a-z-]+>")
_TOKENS = {"zat_<admin-token>": "$ADMIN_TOKEN", "zat_<gateway-token>": "$GATEWAY_TOKEN"}
_LONGEST_LINE = 100
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One section of a page: its calls by their names, in the order in which they stand."""

    title: str
    said: str
    names: Sequence[str]


@dataclass(frozen=True)
class Page:
    """What a page is of: the operations of a tag, below `root`; `samples` are what holes of examples show."""

    file: str
    tag: str
    root: str
    golden: str
    intro: str
    parts: Sequence[Part]
    samples: Mapping[str, str]

    @property
    def path(self) -> Path:
        """Return where it is kept."""
        return ROOT / "docs" / "apis" / self.file


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


def written(page: Page, reference: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    schemas = reference["components"]["schemas"]
    shown = {example.request["path"]: example for example in examples(page.golden)}
    calls = {
        path.removeprefix(page.root): Call(page, path, operation, schemas, shown.get(path))
        for path, methods in reference["paths"].items()
        for operation in methods.values()
        if page.tag in operation["tags"]
    }
    named = [name for part in page.parts for name in part.names]
    if sorted(named) != sorted(calls):
        raise LookupError(f"in no part, or in two: {sorted(set(named) ^ set(calls))}")
    common = _common(list(calls.values()))
    sections = [section for part in page.parts for section in _part(part, calls, common)]
    return "\n\n".join([page.intro.strip(), _contents(page, calls), *sections, _errors(calls)]) + "\n"


@dataclass(frozen=True)
class Call:
    """One operation, and the example of it; a WebSocket has none."""

    page: Page
    path: str
    operation: Mapping[str, Any]
    schemas: Mapping[str, Schema]
    example: Example | None

    @property
    def name(self) -> str:
        return self.path.removeprefix(self.page.root)

    @property
    def anchor(self) -> str:
        return self.name.replace("/", "")

    @property
    def codes(self) -> dict[str, tuple[int, str]]:
        """Return the status and the meaning of each code that it may be refused with."""
        return {
            code: (int(status), said)
            for status, answer in self.operation["responses"].items()
            for code, said in _CODE.findall(answer["description"])
        }

    def section(self, common: frozenset[str]) -> str:
        """Return what is said of it."""
        own = [f"`{code}` ({status})" for code, (status, _) in self.codes.items() if code not in common]
        parts = [
            f"### {self.name}",
            f"**{self.operation['summary']}.** {self.operation.get('description', '')}".strip(),
            self._fields(),
            _table_of_answer(rows_of(self._schema_of_answer(), self.schemas)),
            f"Errors of its own: {', '.join(own)}." if own else "",
            self._shown(),
        ]
        return "\n\n".join(part for part in parts if part)

    def _fields(self) -> str:
        if "requestBody" not in self.operation:
            return ""
        asked = self.operation["requestBody"]["content"]["application/json"]["schema"]
        return _table_of_fields(rows_of(asked, self.schemas)) or "It takes no fields: `{}`, or no body."

    def _schema_of_answer(self) -> Schema:
        responses = self.operation["responses"]
        answer = responses["200" if "200" in responses else "101"]
        return dict(answer["content"]["application/json"]["schema"])

    def _shown(self) -> str:
        if self.example is None:
            if "requestBody" in self.operation:
                raise LookupError(f"{self.name} has no example")
            return ""
        answer = _pretty(self._filled(self.example.answer))
        return f"```sh\n{self._curl(self.example.request)}\n```\n\n```json\n{answer}\n```"

    def _curl(self, request: Mapping[str, Any]) -> str:
        lines = [f"curl {SERVER}{self.path}", f'-H "Authorization: Bearer {_TOKENS[request["token"]]}"']
        lines += [f'-H "{name}: {value}"' for name, value in request.get("headers", {}).items()]
        lines += ['-H "Content-Type: application/json"']
        body = _pretty(self._filled(request["body"] or {})).replace("'", r"'\''")
        lines += [f"-d '{body}'"]
        return " \\\n  ".join(lines)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        return _HOLE.sub(lambda hole: self.page.samples[hole[0]], value)


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
        inner = _core(core["items"], schemas) if "items" in core else core
        rows += rows_of(inner, schemas, f"{path}[]." if "items" in core else f"{path}.")
    return rows


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
    words = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
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
    return f"{lowest}-{core[high]} {unit}" if lowest > least else f"at most {core[high]} {unit}"


def _range(core: Schema) -> str:
    return f"{core['minimum']}-{core['maximum']}" if "minimum" in core and "maximum" in core else ""


def _is_nullable(field: Schema) -> bool:
    kinds = field.get("type", ())
    return {"type": "null"} in field.get("anyOf", ()) or (not isinstance(kinds, str) and "null" in kinds)


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default in (None, [], False) else f"`{default}`"


def _table_of_fields(rows: Sequence[Row]) -> str:
    cells = [
        [f"`{row.name}`", row.kind, row.needed, ", ".join(filter(None, (row.values, row.sizes))), row.said]
        for row in rows
    ]
    return _table(["Field", "Type", "Needed, or default", "Limits", "What it is"], cells)


def _table_of_answer(rows: Sequence[Row]) -> str:
    """Of what may be missing, or null, the type says so."""
    cells = [
        [
            f"`{row.name}`{'' if row.needed == 'yes' else '?'}",
            ": ".join(filter(None, (f"{row.kind}{row.null}", row.values))),
            row.said,
        ]
        for row in rows
    ]
    return _table(["Answer", "Type", "What it is"], cells)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table, nothing where it has no rows."""
    lines = [heads, ["---"] * len(heads), *rows] if rows else []
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _pretty(value: Any, indent: str = "") -> str:
    """Return JSON that is read with ease: whatever fits on one line."""
    short = json.dumps(value, ensure_ascii=False)
    if len(indent + short) <= _LONGEST_LINE or not isinstance(value, dict | list):
        return short
    deeper = f"{indent}  "
    if isinstance(value, list):
        lines, (begin, end) = [_pretty(one, deeper) for one in value], "[]"
    else:
        lines, (begin, end) = [f"{json.dumps(n)}: {_pretty(one, deeper)}" for n, one in value.items()], "{}"
    inner = f",\n{deeper}".join(lines)
    return f"{begin}\n{deeper}{inner}\n{indent}{end}"


def _common(calls: Sequence[Call]) -> frozenset[str]:
    """Return the codes that every call with a body may be refused with."""
    return frozenset.intersection(*(frozenset(call.codes) for call in calls if call.example is not None))


def _part(part: Part, calls: Mapping[str, Call], common: frozenset[str]) -> Iterator[str]:
    yield f"## {part.title}\n\n{part.said}"
    for name in part.names:
        yield calls[name].section(common)


def _contents(page: Page, calls: Mapping[str, Call]) -> str:
    rows = [
        [f"[{calls[name].name}](#{calls[name].anchor})", calls[name].operation["summary"]]
        for part in page.parts
        for name in part.names
    ]
    return _table(["Call", "What it does"], rows)


def _errors(calls: Mapping[str, Call]) -> str:
    codes = {code: said for call in calls.values() for code, said in call.codes.items()}
    rows = [
        [str(status), f"`{code}`", said.replace("`errors`", "`details`")]
        for code, (status, said) in sorted(codes.items(), key=lambda one: (one[1][0], one[0]))
    ]
    return "## Errors\n\n" + _table(["Status", "Code", "What it means"], rows)
