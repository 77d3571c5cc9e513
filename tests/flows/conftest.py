"""For journeys by way of a relay that somebody else wrote from PROTOCOL.md: it, a server that knows its address, and a person with phones."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.harness.conservation import read_books
from tests.harness.foreign_client import Http, Phone, new_link, pair, sign_up
from tests.harness.foreign_process import Running
from tests.harness.foreign_relay import Home, Relay, relaying
from tests.harness.ports import free_port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay() -> AsyncIterator[Relay]:
    async with relaying(free_port()) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = Home(tmp_path_factory.mktemp("server"), free_port(), relay)
    await home.furnish()
    async with home.running() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(server: Running) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield await sign_up(session, server.url)


@pytest_asyncio.fixture(loop_scope="module")
async def person(account: Http, relay: Relay) -> AsyncIterator[Http]:
    """The account, which has no devices before a test and none after it; conservation holds after each."""
    yield account
    assert relay.arrivals.empty()
    for device in (await account.call("GET", "/api/v1/devices")).json["devices"]:
        assert (await account.call("DELETE", f"/api/v1/devices/{device['id']}")).status == 204
    books = read_books((await account.call("GET", "/metrics")).body.decode())
    assert books.balanced, books


@pytest_asyncio.fixture(loop_scope="module")
async def phone(person: Http) -> Phone:
    return await pair(person.session, await new_link(person), suite=2)


@pytest_asyncio.fixture(loop_scope="module")
async def second_phone(person: Http, phone: Phone) -> Phone:
    """Another one, of the same person."""
    assert phone.http.token
    return await pair(person.session, await new_link(person), suite=1)


async def device(person: Http, phone: Phone) -> dict[str, Any]:
    """The phone as its owner sees it."""
    listed = (await person.call("GET", "/api/v1/devices")).json["devices"]
    [found] = [one for one in listed if one["id"] == str(phone.id)]
    return dict(found)


def is_same(push: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("id", "handle", "priority", "collapse", "type"):
        assert push[name] == other[name], name
