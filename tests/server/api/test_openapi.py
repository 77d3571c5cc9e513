"""The reference: valid OpenAPI 3.1 in which every route, field and error is described, served with a name for its state."""

import ast
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

import server
from server.api.answers import STATUS
from server.api.codes import CODES, STATUS_OF
from server.api.describe import description_of
from server.api.gate import TABLE
from server.api.outer import KNOWN
from server.app import build_server
from server.config import Settings
from tests.server.conftest import House

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SERVER = Path(next(iter(server.__path__)))


@pytest.fixture
async def reference(house: House) -> dict[str, Any]:
    answer = await house.api.get("/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


async def test_it_is_valid(reference: dict[str, Any]) -> None:
    """By another's validator."""
    validate(reference)


async def test_it_is_asked_for_again_only_when_it_has_changed(house: House) -> None:
    """An entity tag, and 304 for who has it."""
    first = await house.api.get("/openapi.json")
    again = await house.api.call("GET", "/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    other = await house.api.call("GET", "/openapi.json", headers={"If-None-Match": '"other"'})
    assert other.body == first.body


async def test_every_route_is_described(house: House, settings: Settings) -> None:
    """By its handler, beside the code."""
    table = build_server(settings, house.pieces_again())[TABLE]
    silent = [f"{route.method} {route.path}" for route in table if description_of(route.handler) is None]
    assert silent == []


async def test_every_field_and_parameter_is_described(reference: dict[str, Any]) -> None:
    """Of requests and of answers."""
    silent = [
        f"{name}.{field}"
        for name, schema in reference["components"]["schemas"].items()
        for field, said in schema.get("properties", {}).items()
        if not said.get("description")
    ]
    silent += [
        f"{operation['operationId']}?{parameter['name']}"
        for operation in _operations(reference)
        for parameter in operation.get("parameters", ())
        if not parameter["description"]
    ]
    assert silent == []


async def test_a_parameter_that_is_left_out_has_its_default(reference: dict[str, Any]) -> None:
    """As a field of a body has; a text of a query is never null."""
    parameters = reference["paths"]["/v1/notifications"]["get"]["parameters"]
    defaults = {one["name"]: one["schema"].get("default") for one in parameters if one["in"] == "query"}
    assert {name: defaults[name] for name in ("page", "limit", "timePeriod", "status")} == {
        "page": 1,
        "limit": 20,
        "timePeriod": "all",
        "status": None,
    }
    [limit] = [one["schema"] for one in parameters if one["name"] == "limit"]
    assert limit["type"] == "integer"


async def test_every_type_and_tag_is_described(reference: dict[str, Any]) -> None:
    """And no two operations have one name, for generated clients."""
    schemas = reference["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []
    names = [operation["operationId"] for operation in _operations(reference)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in reference["tags"] if tag["description"]}
    assert {tag for operation in _operations(reference) for tag in operation["tags"]} == tags


async def test_a_time_is_a_text_in_the_reference(reference: dict[str, Any]) -> None:
    """And null is as good as leaving an optional field out."""
    ends = reference["components"]["schemas"]["TokenBody"]["properties"]["expiresAt"]
    assert ends == {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When it ends; left out: never.",
    }


async def test_an_operation_says_what_it_needs(reference: dict[str, Any]) -> None:
    """A session or a token with the scope; a device's token; nothing."""
    paths = reference["paths"]
    assert paths["/api/v1/messages"]["post"]["security"] == [
        {"session": []},
        {"accessToken": ["messages:create"]},
    ]
    assert paths["/api/v1/deliveries"]["get"]["security"] == [
        {"session": ["admin"]},
        {"accessToken": ["admin"]},
    ]
    assert paths["/api/v1/device"]["delete"]["security"] == [{"deviceToken": []}]
    assert paths["/healthz"]["get"]["security"] == []


async def test_a_route_with_two_meanings_is_one_operation(reference: dict[str, Any]) -> None:
    """GET messages lists, and with a title sends: the parameters and answers of both."""
    both = reference["paths"]["/api/v1/messages"]["get"]
    assert {"200", "201"} <= both["responses"].keys()
    assert {"cursor", "title", "bucketId"} <= {one["name"] for one in both["parameters"]}
    assert both["security"][1:] == [{"accessToken": ["messages:read"]}, {"accessToken": ["messages:create"]}]


async def test_a_generated_client_can_name_its_requests(reference: dict[str, Any]) -> None:
    """Where an idempotency key is read it is a parameter, and a bad one a known refusal."""
    paths = reference["paths"]
    press = paths["/api/v1/notifications/{id}/actions/{action}"]["post"]
    for operation in (*paths["/api/v1/messages"].values(), press):
        assert "Idempotency-Key" in {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert "400" in operation["responses"]
    assert paths["/api/v1/messages/{id}"]["patch"]["operationId"] == "messageChangesChange"


async def test_a_form_says_which_of_its_parts_are_files(reference: dict[str, Any]) -> None:
    """A generated client can send them; in JSON, and in a form without files, attachments are described as ever."""
    schemas = reference["components"]["schemas"]
    content = reference["paths"]["/api/v1/messages"]["post"]["requestBody"]["content"]
    named = {media: schemas[said["schema"]["$ref"].rpartition("/")[2]] for media, said in content.items()}
    shown = {media: schema["properties"]["attachments"]["items"] for media, schema in named.items()}
    described = {"$ref": "#/components/schemas/AttachmentBody"}
    assert shown == {
        "application/json": described,
        "application/x-www-form-urlencoded": described,
        "multipart/form-data": {"type": "string", "format": "binary"},
    }
    one = reference["paths"]["/api/v1/attachments"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert schemas[one["schema"]["$ref"].rpartition("/")[2]]["properties"]["file"]["format"] == "binary"


async def test_what_watches_the_server_is_never_told_to_come_later(reference: dict[str, Any]) -> None:
    """It is not counted; whatever else anybody may ask is."""
    uncounted = {
        path
        for path, methods in reference["paths"].items()
        for one in methods.values()
        if "429" not in one["responses"]
    }
    assert uncounted == {"/healthz", "/readyz"}


async def test_every_code_that_is_raised_is_explained(database_url: str) -> None:
    """With the status that it is answered with: `raise Conflict(…, code="…")` is in the table under 409."""
    assert database_url
    raised = dict(_raised())
    assert raised.keys() - STATUS_OF.keys() == set(), "raised, and not in server/api/codes.py"
    assert STATUS_OF.keys() - _words() == set(), "in server/api/codes.py, and nowhere else"
    assert {code: STATUS_OF[code] for code in raised} == raised
    assert all(said.endswith(".") for codes in CODES.values() for said in codes.values())


def _operations(reference: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in reference["paths"].values():
        yield from methods.values()


def _raised() -> Iterator[tuple[str, HTTPStatus]]:
    """Every code in the server's source, with the status of the error that it is raised with."""
    yield from ((kind.code, status) for kind, status in STATUS.items())
    yield from ((code, status) for status, (code, _) in KNOWN.items())
    kinds = {kind.__name__: status for kind, status in STATUS.items()}
    for file in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from _coded(node, node.func.id, kinds)


def _words() -> set[str]:
    """Every text in the server's source but the table of codes."""
    files = [file for file in SERVER.rglob("*.py") if file.name != "codes.py"]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _coded(call: ast.Call, name: str, kinds: dict[str, HTTPStatus]) -> Iterator[tuple[str, HTTPStatus]]:
    named = {word.arg: word.value for word in call.keywords}
    if name in kinds and isinstance(code := named.get("code"), ast.Constant):
        yield str(code.value), kinds[name]
    if (
        name == "problem"
        and isinstance(call.args[0], ast.Attribute)
        and isinstance(call.args[1], ast.Constant)
    ):
        yield str(call.args[1].value), HTTPStatus[call.args[0].attr]
