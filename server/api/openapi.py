"""The API's reference as an OpenAPI 3.1 document, made of the table of routes and what each handler says of itself.

A route that says nothing is not in it. Nothing in the document is of one server: it is the same wherever this code runs.
"""

import inspect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from server.api import examples
from server.api.answers import JSON, PROBLEM, Problem
from server.api.codes import CODES, STATUS_OF
from server.api.describe import Description, description_of
from server.api.forms import FORM, MULTIPART
from server.api.gate import ACTING_HEADERS, ForDevice, ForEither, ForUser, Open, Route, TwoKeys
from server.api.schema import Schema, Schemas, without_null
from server.domain.scopes import Need

TAGS: Mapping[str, str] = {
    "auth": "Accounts: register, sign in, stay signed in, sign out.",
    "users": "The account that one is signed in with.",
    "access-tokens": "Tokens for programs, each with the scopes that it needs and no more.",
    "buckets": "Named audiences of messages.",
    "invitations": "Codes with which others register.",
    "topics": "A tenant's named audiences, and who is subscribed; for who manages the users.",
    "subscribers": "A tenant's users, as its own servers know them; for who manages them.",
    "messages": "Send, list, change and retract messages.",
    "notifications": "What a user got: the inbox, and the actions of messages.",
    "preferences": "What a user wants to get, by channel and category.",
    "attachments": "Files that messages show.",
    "live": "What changes, as it changes.",
    "activity": "What was sent to whom, and what came of it; for who manages the users.",
    "deliveries": "What became of each push; for the operator.",
    "devices": "A user's phones and browsers, and how they pair.",
    "device": "What a paired device asks for itself, with its own token.",
    "relay": "The relay as it shows itself to this server; for the operator.",
    "server": "The server itself: its identity and keys, health, metrics and this reference.",
}
"""The first segment of a path below /api/v1; what is not there is the server's."""

_PROBLEM: Schema = {"$ref": "#/components/schemas/Problem"}
_UUID_SCHEMA: Schema = {"type": "string", "format": "uuid"}
_FILE: Schema = {"type": "string", "format": "binary"}
_PLACE = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")
_SCOPE = {Need.ACCOUNT: "admin", Need.OPERATE: "admin"}
_OPERATORS = (Need.OPERATE, Need.METRICS)
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_OF_BODIES = (
    "bad_json",
    "invalid",
    "body_timeout",
    "body_too_large",
    "media_type_unsupported",
    "encoding_unsupported",
)
_OF_USERS = (
    "unauthenticated",
    "token_invalid",
    "token_expired",
    "session_ended",
    "scope_missing",
    "acting_forbidden",
)
_OF_DEVICES = ("unauthenticated", "device_token_invalid")

_SECURITY: Mapping[str, Any] = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of a person who is signed in: `POST /api/v1/auth/login`. `admin` beside it: of an admin's account.",
    },
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "zat_…",
        "description": "A program's token with the scope that stands beside it, or with `admin`: `POST /api/v1/access-tokens`.",
    },
    "deviceToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "hpd_…",
        "description": "A paired device's own token: `POST /api/v1/devices/pair`.",
    },
}


def document(table: list[Route]) -> dict[str, Any]:
    """Return the reference of these routes."""
    schemas = Schemas()
    schemas.of(Problem)
    paths: dict[str, dict[str, Any]] = {}
    tags = dict(TAGS)
    for route in table:
        description = description_of(route.handler)
        if description is None or not description.listed:
            continue
        if description.tag is not None:
            tags[description.tag.name] = description.tag.said
        operation = _operation(route, description, schemas)
        methods = paths.setdefault(path_of(route), {})
        method = route.method.lower()
        methods[method] = _together(methods[method], operation) if method in methods else operation
    keys = {route.keys for route in table if isinstance(route, ForUser) and route.keys is not None}
    used = {tag for methods in paths.values() for operation in methods.values() for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "tags": [{"name": tag, "description": said} for tag, said in tags.items() if tag in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {**_SECURITY, **_schemes(keys)},
        },
    }


def path_of(route: Route) -> str:
    """Return a route's path as OpenAPI writes it, without the patterns of its parameters."""
    return _PLACE.sub(r"{\1}", route.path)


def _info() -> Schema:
    return {
        "title": "Hushpost",
        "summary": "Self-hosted, end-to-end encrypted push notifications.",
        "description": (
            "Times are RFC 3339 in UTC with milliseconds. Fields that are not known are passed over; a field that is null counts as left out."
            " What is wrong with a request is answered with a problem document that names every fault at once."
        ),
        "version": version("hushpost"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }


def _operation(route: Route, description: Description, schemas: Schemas) -> dict[str, Any]:
    key = f"{route.method} {path_of(route)}"
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "tags": [tag_of(route) if description.tag is None else description.tag.name],
        "summary": description.summary,
    }
    if said := " ".join(filter(None, (description.detail, _needs(route)))):
        operation["description"] = said
    if parameters := [*_places(route), *_query(description, schemas), *_headers(route, description)]:
        operation["parameters"] = parameters
    if description.takes is not None:
        operation["requestBody"] = _body(description, schemas, examples.REQUESTS.get(key))
    operation["responses"] = {
        **_success(description, schemas, examples.ANSWERS.get(key)),
        **_refusals(_codes(route, description), schemas.of(description.refuses), description.refuses_as),
    }
    operation["security"] = _security(route)
    return operation


def _name(route: Route) -> str:
    """Return a name for generated clients: `Buckets.create` is `bucketsCreate`."""
    resource, _, action = inspect.unwrap(route.handler).__qualname__.rpartition(".")
    words = "".join(word.capitalize() for word in action.split("_"))
    return f"{resource[0].lower()}{resource[1:]}{words}"


def tag_of(route: Route) -> str:
    """Return the resource that a route belongs to."""
    tag = route.path.removeprefix("/api/v1/").partition("/")[0]
    return tag if route.path.startswith("/api/v1/") and tag in TAGS else "server"


def _needs(route: Route) -> str:
    if isinstance(route, ForUser | ForEither) and route.need in _OPERATORS:
        return "For an admin."
    return ""


def _places(route: Route) -> Iterable[Schema]:
    for name, pattern in _PLACE.findall(route.path):
        is_id = pattern.startswith("[0-9a-fA-F]{8}")
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": _OF_PLACES.get(name, "Which one."),
            "schema": _UUID_SCHEMA if is_id else _other_place(pattern),
        }


_OF_PLACES: Mapping[str, str] = {
    "id": "The id.",
    "bucket": "The bucket's id or name.",
    "action": "The index in the message's `actions`, or `tap`.",
    "user": "The user's id or name.",
}


def _other_place(pattern: str) -> Schema:
    return {"type": "string", "minLength": 1, "pattern": f"^(?:{pattern or '[^/]+'})$"}


def _query(description: Description, schemas: Schemas) -> Iterable[Schema]:
    for name, required, found in schemas.fields(description.query) if description.query else ():
        schema = without_null(found)
        said = schema.pop("description", "")
        yield {"name": name, "in": "query", "required": required, "description": said, "schema": schema}


def _headers(route: Route, description: Description) -> Iterable[Schema]:
    acting = ACTING_HEADERS if isinstance(route, ForUser) and route.acts else {}
    for name, said in {**description.headers, **acting}.items():
        yield {"name": name, "in": "header", "description": said, "schema": {"type": "string"}}


def _body(description: Description, schemas: Schemas, example: Any) -> Schema:
    """What is sent as neither JSON nor a form is a file as it is."""
    assert description.takes is not None  # noqa: S101 - the caller looked
    form = description.form or description.takes
    kinds = {JSON: description.takes, FORM: form, MULTIPART: description.parts or form}
    content = {
        media: {"schema": schemas.of(kinds[media]) if media in kinds else _FILE}
        for media in description.media
    }
    if example is not None:
        content[JSON]["example"] = example
    required = "required" in schemas.components[description.takes.__name__]
    return {"required": required and kinds.keys() >= content.keys(), "content": content}


def _success(description: Description, schemas: Schemas, example: Any) -> Schema:
    status = HTTPStatus(description.status)
    answer: Schema = {"description": status.phrase}
    if description.gives is not None:
        shown = {} if example is None else {"example": example}
        answer["content"] = {description.produces: {"schema": schemas.of(description.gives), **shown}}
    elif description.produces != JSON:
        answer["content"] = {description.produces: {}}
    return {str(status.value): answer}


def _codes(route: Route, description: Description) -> Collection[str]:
    """Return the codes of everything that a route may be refused with."""
    counted = not isinstance(route, Open) or route.counted
    codes = [*(["limited"] if counted else ()), "unavailable", *description.errors]
    if not isinstance(route, Open):
        codes += _OF_DEVICES if isinstance(route, ForDevice) else _OF_USERS
    if isinstance(route, ForEither):
        codes += _OF_DEVICES
    if description.takes is not None:
        codes += _OF_BODIES
    if description.query is not None or description.headers or (isinstance(route, ForUser) and route.acts):
        codes.append("invalid")
    if _PLACE.search(route.path):
        codes.append("not_found")
    if route.method in _WRITES and not isinstance(route, Open):
        codes.append("conflict")
    return dict.fromkeys(codes)


def _refusals(codes: Collection[str], schema: Schema, media: str) -> Schema:
    statuses = sorted({STATUS_OF[code] for code in codes})
    return {
        str(status.value): _refusal(status, [c for c in codes if STATUS_OF[c] is status], schema, media)
        for status in statuses
    }


def _refusal(status: HTTPStatus, codes: Sequence[str], schema: Schema, media: str) -> Schema:
    if media == PROBLEM:
        schema = {"allOf": [schema], "properties": {"code": {"enum": [*codes]}}}
    said = "\n".join(f"- `{code}`: {CODES[status][code]}" for code in codes)
    return {"description": said, "content": {media: {"schema": schema}}}


def _security(route: Route) -> list[dict[str, list[str]]]:
    if isinstance(route, Open):
        return []
    if isinstance(route, ForDevice):
        return [{"deviceToken": []}]
    if isinstance(route, ForUser) and route.keys is not None:
        return [{route.keys.key: [], route.keys.token: []}]
    role = ["admin"] if route.need in _OPERATORS else []
    users = [{"session": role}, {"accessToken": [_SCOPE.get(route.need, route.need.value)]}]
    return [*users, {"deviceToken": []}] if isinstance(route, ForEither) else users


def _schemes(all_keys: Iterable[TwoKeys]) -> Schema:
    """Return what OpenAPI is told of headers that an API authenticates with."""
    said = "An access token, which may be bound to a tenant.", "Who calls: an access token, or a session's."
    return {
        name: {"type": "apiKey", "in": "header", "name": name, "description": what}
        for keys in all_keys
        for name, what in zip((keys.key, keys.token), said, strict=True)
    }


def _together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return two operations of one method and path, of which the query decides, as the one that OpenAPI knows."""
    names = {parameter["name"] for parameter in one["parameters"]}
    more = [parameter for parameter in other["parameters"] if parameter["name"] not in names]
    told = [f"**{each['summary']}.** {each.get('description', '')}".strip() for each in (one, other)]
    return {
        **one,
        "summary": f"{one['summary']}, or {other['summary'][0].lower()}{other['summary'][1:]}",
        "description": "\n\n".join(told),
        "parameters": [{**each, "required": False} for each in (*one["parameters"], *more)],
        "responses": dict(sorted(_all_responses(one["responses"], other["responses"]).items())),
        "security": one["security"] + [each for each in other["security"] if each not in one["security"]],
    }


def _all_responses(one: Schema, other: Schema) -> Schema:
    """A refusal of both has the codes of both."""
    both = {}
    for status in one.keys() & other.keys() & {str(known.value) for known in CODES}:
        codes = [*_codes_in(one[status]), *_codes_in(other[status])]
        both[status] = _refusal(HTTPStatus(int(status)), [*dict.fromkeys(codes)], _PROBLEM, PROBLEM)
    return {**other, **one, **both}


def _codes_in(refusal: Schema) -> list[str]:
    codes: list[str] = refusal["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]
    return codes
