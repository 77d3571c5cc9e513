"""What tests of this API are given."""

import pytest

from tests.harness.velt import Velt
from tests.server.conftest import House, Person
from tests.server.dialects.velt.adding import Acme


@pytest.fixture
async def acme(house: House, admin: Person) -> Acme:
    """The servers of acme, of which nothing is known yet."""
    return Acme(Velt.of(await house.token(admin, "admin")), house)
