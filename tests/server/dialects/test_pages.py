"""The pages of the other APIs: each is what its routes say, and shows every call with an example that works."""

import os

import pytest

from tests.harness.api_pages import Page, written
from tests.harness.aptly_page import APTLY
from tests.harness.socayo_page import SOCAYO
from tests.harness.velt_page import VELT
from tests.server.conftest import House

WRITE = "HUSHPOST_WRITE_DOCS"  # as ./dev docs has it
PAGES = [APTLY, SOCAYO, VELT]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.file))
async def test_a_page_is_current(house: House, page: Page) -> None:
    """`./dev docs` writes it anew."""
    text = written(page, (await house.api.get("/openapi.json")).json)
    if WRITE in os.environ:
        page.path.write_text(text)
    assert page.path.read_text() == text, "run ./dev docs"
