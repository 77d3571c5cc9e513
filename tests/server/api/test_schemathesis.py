"""Schemathesis holds the running server to its own reference: whatever is sent, it answers as it says that it does.

It makes requests of the OpenAPI document, right ones and wrong ones, one by one and in sequences that go on with what was answered: as
an admin (some 5,000), as somebody else, as a phone and as nobody. HUSHPOST_TEST_EXAMPLES asks for so many of each operation, new ones each time.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.acting import Acting
from tests.harness.aptly import TENANT, USER, Aptly
from tests.harness.fuzz import EXAMPLES
from tests.harness.velt import Velt
from tests.server.conftest import House, Person

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OPEN = {
    "GET /.well-known/http-message-signatures-directory",
    "GET /api/v1/identity",
    "GET /healthz",
    "GET /openapi.json",
    "GET /readyz",
    "GET /scalar",
    "GET /scalar/standalone.js",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/register",
    "GET /api/v1/notifications/inbox-socket",
    "POST /api/v1/devices/pair",
}
_ID = "0197c5a4-6a00-7c3e-9d1b-5f0a8e2d7b11"
_SECONDS = 600
_ALL = "examples,coverage,fuzzing,stateful"
_APART = (
    "/api/v1/auth/logout",  # these would end the credential that the rest is asked with
    "/api/v1/device",
    "/api/v1/users/me/password",
    "/api/v1/users/me/sessions/{id}",
    "/api/v1/live",  # these answer for ever
    "/api/v1/messages/stream",
    "/api/v1/notifications/inbox-socket",
)
_MANAGED = ".*/manage/.*"
# Some of what is right no schema can say: times that are still to come, codes and digests, fields that exclude each other.
_CONFIG = """
[auth]
auto-signup = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "410", "429", "5xx"]

[[operations]] # without a title it lists, and passes over what a message would need
include-name = "GET /api/v1/messages"
checks.negative_data_rejection.enabled = false

[[operations]] # whoever makes a bucket is in it; others cannot join it unless it is public
include-name = "POST /api/v1/buckets/{bucket}/join"
checks.ensure_resource_availability.enabled = false

[[operations]] # what is not found may be who is to become a member
include-name = "POST /api/v1/buckets/{bucket}/members"
checks.ensure_resource_availability.enabled = false

[[operations]] # what was made for one tenant, or user, is not there for another: a header says whose it is
include-path-regex = "^/api/v1/(messages|topics|subscribers)(/|$)"
checks.ensure_resource_availability.enabled = false
"""
# Twenty calls of one form: every fault that there can be is made in four of them, a few by chance in the others.
_FEWER = """
[[operations]]
include-path-regex = "^/v2/(organizations|documents)/"
phases.coverage.enabled = false
"""


@dataclass
class Verdict:
    cases: int
    said: str = field(repr=False)
    failures: list[str]


async def test_nothing_but_what_is_documented_answers_strangers(house: House) -> None:
    """Every other route is 401, before anything else about the request is looked at."""
    paths = (await house.api.get("/openapi.json"))["paths"]
    answered = set()
    for path, methods in paths.items():
        place = path.replace("{id}", _ID).replace("{action}", "0")
        for method in map(str.upper, methods):
            if (await house.api.call(method, place)).status != 401:
                answered.add(f"{method} {path}")
    assert answered == OPEN


async def test_an_admin_is_answered_as_documented(house: House, admin: Person, tmp_path: Path) -> None:
    """With a token that may do everything, in all phases."""
    token = (await house.token(admin, "admin")).token
    verdict = await judge(house, tmp_path, few=4, phases=_ALL, token=token)
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 3000


async def test_a_user_is_answered_as_documented(house: House, tmp_path: Path) -> None:
    """Somebody who is signed in and is no operator."""
    await house.register("admin")
    user = await house.register("user")
    verdict = await judge(house, tmp_path, few=3, phases="fuzzing,stateful", token=user.access)
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 200


async def test_a_phone_is_answered_as_documented(house: House, admin: Person, tmp_path: Path) -> None:
    """With its own token, which is good for little."""
    phone = await house.phone(admin)
    await house.send(admin.api, await house.bucket(admin))
    verdict = await judge(house, tmp_path, few=20, phases=_ALL, token=phone.token, only="device")
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 100


async def test_a_stranger_is_answered_as_documented(house: House, tmp_path: Path) -> None:
    """Without a credential, at a server that has an account."""
    await house.register("admin")
    verdict = await judge(house, tmp_path, few=3, phases="examples,fuzzing", token=None)
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 100


@pytest.mark.parametrize("scope", ["admin", "gateway"])
async def test_rpcs_for_a_user_are_answered_as_documented(
    house: House, admin: Person, tmp_path: Path, scope: str
) -> None:
    """With a token that names the user, who has something in the inbox."""
    tokens = {name: await house.token_of(admin, "acme", name) for name in ("admin", "gateway")}
    ann = Acting(tokens["admin"], None, "ann")
    for title in ("One", "Two"):
        body = {"userId": "ann", "channel": "IN_APP", "content": {"title": title}}
        assert (await ann.rpc("manage/send", body)).status == 200
    verdict = await judge(
        house,
        tmp_path,
        few=6,
        phases="examples,fuzzing",
        token=tokens[scope].token,
        only="socayo",
        but=None if scope == "admin" else _MANAGED,
        headers=ann.headers,
    )
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 40


async def test_velts_calls_are_answered_as_documented(house: House, admin: Person, tmp_path: Path) -> None:
    """With two keys, of an organization that has something."""
    velt = Velt.of(await house.token(admin, "admin"))
    for name, body in _SOMETHING:
        await velt.said(name, body)
    verdict = await judge(
        house,
        tmp_path,
        few=3,
        phases="examples,coverage,fuzzing",
        token=None,
        only="velt",
        headers={"x-velt-api-key": str(velt.key), "x-velt-auth-token": str(velt.token)},
    )
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 300


async def test_aptlys_operations_are_answered_as_documented(
    house: House, admin: Person, tmp_path: Path
) -> None:
    """By a gateway, for a user who has something in the inbox; what an admin is answered is among all that an admin is."""
    aptly = Aptly(await house.token(admin, "admin"))
    assert (await aptly.template()).status == 201
    await aptly.made()
    verdict = await judge(
        house,
        tmp_path,
        few=4,
        phases="examples,fuzzing",
        token=(await house.token(admin, "gateway")).token,
        only="aptly",
        headers={"X-Tenant-ID": TENANT, "X-User-ID": USER},
    )
    assert verdict.failures == [], verdict.said
    assert verdict.cases > 40


# As the reference has them for examples, so that what it asks for is there.
_ORGANIZATION = {"organizationId": "yourOrganizationId"}
_DOCUMENT = {**_ORGANIZATION, "documentId": "yourDocumentId"}
_USERS = [{"userId": "yourUserId"}]
_ADD = {
    "actionUser": {"userId": "ann"},
    "displayHeadlineMessageTemplate": "{actionUser} has written",
    "displayBodyMessage": "Hello",
    "notifyUsers": _USERS,
}
_SOMETHING: list[tuple[str, dict[str, Any]]] = [
    ("organizations/add", _ORGANIZATION),
    ("documents/add", _DOCUMENT),
    ("documents/access/add", {**_DOCUMENT, "users": _USERS, "access": {"page": 5}}),
    ("notifications/add", {**_DOCUMENT, **_ADD, "notificationId": "first"}),
    ("notifications/add", {**_DOCUMENT, **_ADD}),
]


async def judge(
    house: House,
    folder: Path,
    *,
    few: int,
    phases: str,
    token: str | None,
    only: str | None = None,
    but: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Verdict:
    """Have Schemathesis ask with a token; `only` names a tag, `but` paths that are left out. All checks are on where nothing else is said."""
    config, report = folder / "schemathesis.toml", folder / "report.json"
    config.write_text(_CONFIG if EXAMPLES else _CONFIG + _FEWER)
    options = ["--continue-on-failure", "--no-color", "--phases", phases]
    options += ["--max-examples", str(EXAMPLES or few), "--report", "json", "--report-json-path", str(report)]
    options += ["--generation-database", "none"] if EXAMPLES else ["--generation-deterministic"]
    options += [word for path in _APART for word in ("--exclude-path", path)]
    options += ["--exclude-tag", "velt"] if only is None else ["--include-tag", only]  # it takes other keys
    options += [] if but is None else ["--exclude-path-regex", but]
    sent = {} if token is None else {"Authorization": f"Bearer {token}"}
    for name, value in {**sent, **(headers or {})}.items():
        options += ["--header", f"{name}: {value}"]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{house.api.url}/openapi.json", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_SECONDS):
        said, _ = await running.communicate()
    assert report.exists(), said.decode()
    found = json.loads(report.read_text())
    failures = [f"{one['title']}: {', '.join(one['operations'])}" for one in found["failures"]]
    return Verdict(
        found["test_cases"]["generated"], said.decode(), failures + list(map(str, found["errors"]))
    )
