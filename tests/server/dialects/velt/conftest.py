"""What tests of this API are given."""

import pytest

from tests.harness.acting import give_phones
from tests.harness.velt import Velt
from tests.server.conftest import House, Person
from tests.server.dialects.velt import there as with_phones
from tests.server.dialects.velt.adding import Acme


@pytest.fixture
async def acme(house: House, admin: Person) -> Acme:
    """The servers of acme, of which nothing is known yet."""
    return Acme(Velt.of(await house.token(admin, "admin")), house)


@pytest.fixture
async def there(house: House, admin: Person) -> with_phones.Acme:
    """The servers of acme, where ben and cleo have a phone each."""
    for name in ("ben", "cleo"):
        await give_phones(
            house.pieces.db, with_phones.ORGANIZATION, name, 1, now=house.clock(), random=house.random
        )
    return with_phones.Acme(house, Velt.of(await house.token(admin, "admin")))
