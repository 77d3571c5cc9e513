"""Pages of documentation that are made: each of the other APIs from its routes, as `/openapi.json` describes them, with golden examples.

`./dev docs` writes them (tests/server/dialects/test_pages.py).
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.api_fields import Schema, rows_of, table, table_of_answer, table_of_fields
from tests.harness.golden import Example, examples

ROOT = Path(__file__).parent.parent.parent
SERVER = "https://push.example.org"
_CODE = re.compile(r"^- `(\w+)`: (.*)$", re.MULTILINE)
_HOLE = re.compile(r"(?:(?:http|ws)://)?<[a-z-]+>")
_PLACE = re.compile(r"\{\w+\}")
_TOKENS = {"zat_<admin-token>": "$ADMIN_TOKEN", "zat_<gateway-token>": "$GATEWAY_TOKEN"}
_LONGEST_LINE = 100
Key = tuple[str, str]
"""A method and a path: what an operation is found by."""
Common = Mapping[bool, frozenset[tuple[int, str]]]
"""Statuses and words of refusals that stand in no section: of calls with a body, and of those without."""


@dataclass(frozen=True)
class Part:
    """One section of a page: its calls by their names, in the order in which they stand."""

    title: str
    said: str
    names: Sequence[str]


def as_it_is(status: int, code: str) -> tuple[int, str]:
    """Show a refusal with the status and the code that it has everywhere."""
    return status, code


@dataclass(frozen=True)
class Page:
    """What a page is of: the operations of a tag, below `root`; `samples` are what holes of examples show.

    `methods`: calls are named by their methods too, as their paths alone do not tell them apart. `refused` gives the status and the word
    that a refusal has in this API, `faults` where it says what is wrong with a body. `envelope` are the fields of every answer, of which
    the intro says what there is to say.
    """

    file: str
    tag: str
    root: str
    golden: str
    intro: str
    parts: Sequence[Part]
    samples: Mapping[str, str]
    methods: bool = False
    refused: Callable[[int, str], tuple[int, str]] = as_it_is
    faults: str = "details"
    envelope: Collection[str] = ()

    @property
    def path(self) -> Path:
        """Return where it is kept."""
        return ROOT / "docs" / "apis" / self.file

    def name_of(self, key: Key) -> str:
        """Return what a call is called."""
        return f"{key[0]} {key[1]}" if self.methods else key[1].removeprefix(self.root)


def written(page: Page, reference: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    schemas = reference["components"]["schemas"]
    operations = {
        (method.upper(), path): operation
        for path, methods in reference["paths"].items()
        for method, operation in methods.items()
        if page.tag in operation["tags"] and path.startswith(page.root)
    }
    shown = _examples_of(page, operations)
    calls = {
        page.name_of(key): Call(page, key, operation, schemas, shown[key])
        for key, operation in operations.items()
    }
    named = [name for part in page.parts for name in part.names]
    if sorted(named) != sorted(calls):
        raise LookupError(f"in no part, or in two: {sorted(set(named) ^ set(calls))}")
    sections = [section for part in page.parts for section in _part(part, calls, _common(calls.values()))]
    return "\n\n".join([page.intro.strip(), _contents(page, calls), *sections, _errors(page, calls)]) + "\n"


def _examples_of(page: Page, operations: Mapping[Key, Any]) -> Mapping[Key, Sequence[Example]]:
    """Return the examples of each operation: of those whose paths fit, it is the one with the fewest places."""
    found = defaultdict(list)
    for example in examples(page.golden):
        method, path = example.request["method"], example.request["path"].partition("?")[0]
        fitting = [
            key for key in operations if key[0] == method and re.fullmatch(_PLACE.sub("[^/]+", key[1]), path)
        ]
        found[min(fitting, key=lambda key: key[1].count("{"))].append(example)
    return found


@dataclass(frozen=True)
class Call:
    """One operation, and the examples of it; a WebSocket has none."""

    page: Page
    key: Key
    operation: Mapping[str, Any]
    schemas: Mapping[str, Schema]
    examples: Sequence[Example]

    @property
    def name(self) -> str:
        return self.page.name_of(self.key)

    @property
    def anchor(self) -> str:
        """Return what its title is linked by."""
        return re.sub(r"[^\w\- ]", "", self.name.lower()).replace(" ", "-")

    @property
    def codes(self) -> list[tuple[int, str, str]]:
        """Return what it may be refused with: status, word and what is meant, the same word perhaps for several things."""
        return [
            (*self.page.refused(int(status), code), said)
            for status, answer in self.operation["responses"].items()
            for code, said in _CODE.findall(answer["description"])
        ]

    @property
    def words(self) -> list[tuple[int, str]]:
        """Return statuses and words alone, none twice."""
        return list(dict.fromkeys((status, word) for status, word, _ in self.codes))

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.operation

    def section(self, common: Common) -> str:
        """Return what is said of it."""
        own = [
            f"`{word}` ({status})"
            for status, word in self.words
            if (status, word) not in common[self.has_body]
        ]
        parts = [
            f"### {self.name}",
            f"**{self.operation['summary']}.** {self.operation.get('description', '')}".strip(),
            self._parameters(),
            self._fields(),
            self._answer(),
            f"Errors of its own: {', '.join(own)}." if own else "",
            *self._shown(),
        ]
        return "\n\n".join(part for part in parts if part)

    def _parameters(self) -> str:
        asked = [one for one in self.operation.get("parameters", ()) if one["in"] == "query"]
        schema = {
            "properties": {
                f"?{one['name']}": {**one["schema"], "description": one["description"]} for one in asked
            },
            "required": [f"?{one['name']}" for one in asked if one.get("required")],
        }
        return table_of_fields(rows_of(schema, self.schemas))

    def _fields(self) -> str:
        if not self.has_body:
            return ""
        asked = self.operation["requestBody"]["content"]["application/json"]["schema"]
        return table_of_fields(rows_of(asked, self.schemas)) or "It takes no fields: `{}`, or no body."

    def _answer(self) -> str:
        responses = self.operation["responses"]
        [answer] = [responses[status] for status in ("101", "200", "201") if status in responses]
        rows = rows_of(answer["content"]["application/json"]["schema"], self.schemas)
        return table_of_answer([row for row in rows if row.name not in self.page.envelope])

    def _shown(self) -> Iterator[str]:
        """Yield its examples; of more than one, each with what it is called."""
        if not self.examples and "101" not in self.operation["responses"]:
            raise LookupError(f"{self.name} has no example")
        for example in self.examples:
            if len(self.examples) > 1:
                yield f"**{example.origin}**"
            answer = _pretty(self._filled(example.answer))
            yield f"```sh\n{self._curl(example.request)}\n```\n\n```json\n{answer}\n```"

    def _curl(self, request: Mapping[str, Any]) -> str:
        method = "" if request["method"] in {"GET", "POST"} else f"-X {request['method']} "
        url = f"{SERVER}{self._filled(request['path'])}"
        lines = [f"curl {method}{_quoted(url)}"]
        lines += [f'-H "{name}: {value}"' for name, value in self._headers(request).items()]
        if request["body"] is not None or request["method"] == "POST":
            lines += ['-H "Content-Type: application/json"']
            body = _pretty(self._filled(request["body"] or {})).replace("'", r"'\''")
            lines += [f"-d '{body}'"]
        return " \\\n  ".join(lines)

    def _headers(self, request: Mapping[str, Any]) -> Mapping[str, str]:
        token = request["token"]
        bearer = {} if token is None else {"Authorization": f"Bearer {_TOKENS[token]}"}
        more = request.get("headers", {})
        return {**bearer, **{name: _TOKENS.get(value, value) for name, value in more.items()}}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(name): self._filled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        return _HOLE.sub(lambda hole: self.page.samples[hole[0]], value)


def _quoted(url: str) -> str:
    """Return an address as a shell takes it."""
    return f"'{url}'" if "?" in url else url


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


def _common(calls: Iterable[Call]) -> Common:
    """Return what every call of which there is an example may be refused with, of those with a body and of those without."""
    shown = [call for call in calls if call.examples]
    alike = {kind: [call for call in shown if call.has_body is kind] or shown for kind in (True, False)}
    return {
        kind: frozenset.intersection(*(frozenset(call.words) for call in of)) for kind, of in alike.items()
    }


def _part(part: Part, calls: Mapping[str, Call], common: Common) -> Iterator[str]:
    yield f"## {part.title}\n\n{part.said}"
    for name in part.names:
        yield calls[name].section(common)


def _contents(page: Page, calls: Mapping[str, Call]) -> str:
    rows = [
        [f"[{calls[name].name}](#{calls[name].anchor})", calls[name].operation["summary"]]
        for part in page.parts
        for name in part.names
    ]
    return table(["Call", "What it does"], rows)


def _errors(page: Page, calls: Mapping[str, Call]) -> str:
    said = {code for call in calls.values() for code in call.codes}
    rows = [
        [str(status), f"`{word}`", what.replace("`errors`", f"`{page.faults}`")]
        for status, word, what in sorted(said)
    ]
    return "## Errors\n\n" + table(["Status", "Code", "What it means"], rows)
