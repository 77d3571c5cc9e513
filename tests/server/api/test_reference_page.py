"""The reference for people: Scalar's page in a real browser, sandboxed, and a plain one where Scalar's script is not installed."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from server.api.gate import TABLE
from server.api.outer import Handler
from server.api.reference import BUNDLE
from server.app import build_server
from server.config import Settings
from tests.harness.native import Native, listening
from tests.harness.others import missing
from tests.server.conftest import House

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

FETCH = Path(__file__).parents[3] / "deploy" / "scalar.sh"
_SECONDS = 90
_LINK = "tag/Auth/POST/api/v1/auth/login"  # as the documentation's links have it


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scalar's script: what is installed, or else fetched for this test."""
    if BUNDLE.exists():
        return BUNDLE
    file = tmp_path_factory.mktemp("scalar") / "scalar.js"
    try:
        subprocess.run((FETCH, file), check=True, capture_output=True, timeout=_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        missing(f"Scalar's script cannot be fetched: {error}")
    return file


@pytest.fixture(scope="module")
def chromium() -> str:
    return shutil.which("chromium") or missing("chromium is not installed")


@asynccontextmanager
async def serving(house: House, settings: Settings, bundle: Path) -> AsyncIterator[tuple[Native, list[str]]]:
    """Serve with this script; yield who asks, and what was asked for."""
    asked: list[str] = []

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.append(request.path)
        return await handler(request)

    app = build_server(settings, house.pieces_again())
    [reference] = [route.handler.__self__ for route in app[TABLE] if route.path == "/scalar"]  # type: ignore[union-attr] # a method
    reference.bundle = bundle
    app.middlewares.append(note)
    async with listening(app) as url:
        yield Native(house.api.session, url), asked


async def test_scalar_shows_the_reference_and_asks_for_nothing_else(
    house: House, settings: Settings, bundle: Path, chromium: str, tmp_path: Path
) -> None:
    """In a real browser: every operation is in its list, and a link of the documentation leads to its place."""
    async with serving(house, settings, bundle) as (api, asked):
        shown, said = await _browse(chromium, f"{api.url}/scalar#{_LINK}", tmp_path)
    assert {"auth", "buckets", "messages"} <= set(re.findall(r'href="#tag/([a-z-]+)"', shown))
    assert re.search(r'id="[^"]*tag/auth/POST/api/v1/auth/login"', shown)
    assert sorted(asked) == ["/scalar", "/scalar/standalone.js"]
    assert "Uncaught" not in said
    assert "Content Security Policy" not in said


async def test_the_page_with_scalars_script_is_sandboxed(
    house: House, settings: Settings, bundle: Path
) -> None:
    """It has no origin and no connection, so that the script can do nothing to a server that holds keys."""
    async with serving(house, settings, bundle) as (api, _):
        page, script = await api.get("/scalar"), await api.get("/scalar/standalone.js")
    policy = dict(
        word.strip().partition(" ")[::2] for word in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["sandbox"] == "allow-scripts"
    assert policy["default-src"] == "'none'"
    assert "connect-src" not in policy
    assert policy["script-src"].startswith("'self' 'sha256-")
    assert page.headers["X-Frame-Options"] == "DENY"
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_without_scalars_script_the_page_needs_none(
    house: House, settings: Settings, tmp_path: Path
) -> None:
    """The same reference, with the same places in it."""
    async with serving(house, settings, tmp_path / "none.js") as (api, _):
        page, script = await api.get("/scalar"), await api.get("/scalar/standalone.js")
    assert (script.status, script.code) == (404, "not_found")
    assert page.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    text = page.body.decode()
    assert "<script" not in text
    assert 'id="tag/auth/POST/api/v1/auth/login"' in text
    assert "<td><code>scopes</code>" in text


async def _browse(chromium: str, url: str, home: Path) -> tuple[str, str]:
    """Return what a page holds after its scripts have run, and what the browser logged."""
    running = await asyncio.create_subprocess_exec(
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *(
            f"--user-data-dir={home}",
            "--enable-logging=stderr",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_SECONDS):
        shown, said = await running.communicate()
    return shown.decode(), said.decode(errors="replace")
