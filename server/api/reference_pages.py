"""The pages that show the API's reference to people: Scalar's, and a plain one where Scalar's script is not installed."""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

SCRIPT_PATH = "/scalar/standalone.js"

# A sandboxed page has no storage, and Scalar stops where it finds none. The links of the documentation differ in case from Scalar's.
_BEFORE = """
for (const name of ["localStorage", "sessionStorage"]) {
  const kept = new Map();
  Object.defineProperty(window, name, { value: {
    get length() { return kept.size; },
    key: (index) => [...kept.keys()][index] ?? null,
    getItem: (key) => kept.get(String(key)) ?? null,
    setItem: (key, value) => { kept.set(String(key), String(value)); },
    removeItem: (key) => { kept.delete(String(key)); },
    clear: () => { kept.clear(); },
  } });
}
const place = /^#tag\\/([^/]+)\\/([a-z]+)\\//i.exec(location.hash);
if (place !== null) {
  location.hash = `#tag/${place[1].toLowerCase()}/${place[2].toUpperCase()}/${location.hash.slice(place[0].length)}`;
}
"""
_SETTINGS = {
    "agent": {"disabled": True},
    "hideClientButton": True,
    "hideTestRequestButton": True,  # it could send none: the page may connect to nothing
    "mcp": {"disabled": True},
    "showDeveloperTools": "never",
    "telemetry": False,
    "withDefaultFonts": False,
}

_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:"
)
_HASH = base64.b64encode(hashlib.sha256(_BEFORE.encode()).digest()).decode()
SCALAR_POLICY = f"sandbox allow-scripts; {_POLICY}; script-src 'self' 'sha256-{_HASH}'"
PLAIN_POLICY = f"sandbox; {_POLICY}"

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { margin: 2rem 0; border-top: 1px solid #8884; }
code, pre { font: 0.9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; background: #8881; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.3rem 0.6rem; border: 1px solid #8884; text-align: left; vertical-align: top; }
"""

Document = Mapping[str, Any]


def scalar_page(document: Document) -> str:
    """Return Scalar's page with the document in it."""
    settings = html.escape(orjson.dumps(_SETTINGS).decode())
    shown = orjson.dumps(document).decode().replace("<", "\\u003c")  # nothing in it ends the element
    body = (
        f'<script id="api-reference" type="application/json" data-configuration="{settings}">{shown}</script>'
        f'<script>{_BEFORE}</script><script src="{SCRIPT_PATH}"></script>'
    )
    return _page(document, body)


def plain_page(document: Document) -> str:
    """Return a page without a script, which has the same links within it as Scalar's."""
    info = document["info"]
    body = [f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>", _prose(info["description"])]
    for tag in document["tags"]:
        body += [f'<h2 id="tag/{_text(tag["name"])}">{_text(tag["name"])}</h2>', _prose(tag["description"])]
        body += _operations(document, tag["name"])
    body.append("<h2>Types</h2>")
    for name, schema in document["components"]["schemas"].items():
        body += [f'<article id="{_text(name)}"><h3>{_text(name)}</h3>', *_type(schema), "</article>"]
    return _page(document, f"<style>{_STYLE}</style>{''.join(body)}")


def _page(document: Document, body: str) -> str:
    title = _text(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API reference</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>{body}</body></html>'
    )


def _operations(document: Document, tag: str) -> Iterable[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield from _operation(tag, method.upper(), path, operation)


def _operation(tag: str, method: str, path: str, operation: Document) -> Iterable[str]:
    yield f'<article id="{_text(f"tag/{tag}/{method}{path}")}"><h3>{_text(operation["summary"])}</h3>'
    yield f"<p><code>{method} {_text(path)}</code></p>{_prose(operation.get('description', ''))}"
    yield f"<p>Credential: {_text(_credentials(operation['security']))}</p>"
    yield from _parameters(operation.get("parameters", ()))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{_text(media)}</code> {_kind(content['schema'])}</p>{_example(content)}"
    yield "<table><tr><th>Status<th>Answer"
    for status, answer in operation["responses"].items():
        yield f"<tr><td>{_text(status)}<td>{_prose(answer['description'])}"
        for media, content in answer.get("content", {}).items():
            yield f"<code>{_text(media)}</code> {_kind(content.get('schema', {}))}{_example(content)}"
    yield "</table></article>"


def _credentials(security: Iterable[Document]) -> str:
    named = [
        f"{name} ({', '.join(needs)})" if needs else name for one in security for name, needs in one.items()
    ]
    return " or ".join(named) or "none"


def _parameters(parameters: Iterable[Document]) -> Iterable[str]:
    rows = [
        f"<tr><td><code>{_text(one['name'])}</code><td>{_text(one['in'])}<td>{_kind(one['schema'])}<td>{_text(one['description'])}"
        for one in parameters
    ]
    if rows:
        yield f"<table><tr><th>Parameter<th>In<th>Type<th>Meaning{''.join(rows)}</table>"


def _type(schema: Document) -> Iterable[str]:
    yield _prose(schema.get("description", ""))
    if "enum" in schema:
        yield f"<p>{_kind(schema)}</p>"
    required = schema.get("required", ())
    rows = [
        f"<tr><td><code>{_text(name)}</code>{'' if name in required else ' (optional)'}"
        f"<td>{_kind(one)}<td>{_text(one.get('description', ''))}"
        for name, one in schema.get("properties", {}).items()
    ]
    if rows:
        yield f"<table><tr><th>Field<th>Type<th>Meaning{''.join(rows)}</table>"


def _kind(schema: Document) -> str:
    """Return a type in few words; one with a name is a link to it."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if options := schema.get("anyOf") or schema.get("allOf"):
        return " or ".join(map(_kind, options))
    if "enum" in schema:
        return ", ".join(f"<code>{_text(str(one))}</code>" for one in schema["enum"] if one is not None)
    kinds = schema.get("type", "")
    words = _text(kinds if isinstance(kinds, str) else " or ".join(kinds))
    return f"{words} of {_kind(schema['items'])}" if schema.get("items") else words


def _example(content: Document) -> str:
    if "example" not in content:
        return ""
    return f"<pre>{_text(orjson.dumps(content['example'], option=orjson.OPT_INDENT_2).decode())}</pre>"


def _prose(text: str) -> str:
    return "".join(f"<p>{_text(line)}</p>" for line in text.splitlines() if line)


def _text(text: str) -> str:
    return html.escape(text)
