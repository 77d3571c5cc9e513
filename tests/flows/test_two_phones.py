"""Two phones and a page: what is read or deleted on one is gone on the others."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from simulator.mail import Inbox
from simulator.phone import Phone
from tests.harness.native import Native
from tests.harness.stack import Stack, running
from tests.harness.streams import Known, Socket, until, web_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def stack(shared: Stack) -> AsyncIterator[Stack]:
    """With an inbox that is empty, before each test and after it."""
    yield shared
    await shared.forget_phones()
    for item in (await shared.call("GET", "/api/v1/notifications"))["notifications"]:
        await shared.call("DELETE", f"/api/v1/notifications/{item['id']}")


@pytest_asyncio.fixture(loop_scope="module")
async def phones(stack: Stack) -> AsyncIterator[tuple[Phone, Phone]]:
    ios = await stack.pair(platform="ios", suite=2, name="ios", keep=False)
    android = await stack.pair(platform="android", suite=1, name="android", keep=False)
    yield ios, android
    for phone in (ios, android):
        await phone.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(stack: Stack) -> AsyncIterator[Socket]:
    async with web_socket(Native(stack.session, stack.server.url, stack.token)) as page:
        await until(page, "counts")
        yield page


async def test_what_is_read_on_one_phone_is_read_on_the_other_and_on_the_page(
    stack: Stack, phones: tuple[Phone, Phone], page: Socket
) -> None:
    message = await shown(stack, phones, page, "hello")
    await phones[0].read(message)
    await phones[1].until(lambda inbox: is_read(inbox, message))
    known = Known(page)
    await known.until(lambda it: all(item["readAt"] for item in it.items.values()) and len(it.items) == 1)


async def test_what_is_read_on_the_page_is_read_on_both_phones(
    stack: Stack, phones: tuple[Phone, Phone], page: Socket
) -> None:
    message = await shown(stack, phones, page, "hello")
    [item] = (await stack.call("GET", "/api/v1/notifications?unread=true"))["notifications"]
    await stack.call("PATCH", f"/api/v1/notifications/{item['id']}/read")
    for phone in phones:
        await phone.until(lambda inbox: is_read(inbox, message))


async def test_what_is_deleted_on_the_page_is_gone_from_both_phones(
    stack: Stack, phones: tuple[Phone, Phone], page: Socket
) -> None:
    message = await shown(stack, phones, page, "hello")
    [item] = (await stack.call("GET", "/api/v1/notifications"))["notifications"]
    await stack.call("DELETE", f"/api/v1/notifications/{item['id']}")
    for phone in phones:
        await phone.until(lambda inbox: message not in inbox.cards)
    assert "deletedAt" in (await until(page, "notification")).data


async def shown(stack: Stack, phones: tuple[Phone, Phone], page: Socket, text: str) -> str:
    """Send a message and wait until it is shown everywhere; its id."""
    message = await stack.send(title="hello", body=text)
    for phone in phones:
        await phone.shows(text)
    assert (await until(page, "notification")).data["messageId"] == message
    return message


def is_read(inbox: Inbox, message: str) -> bool:
    return inbox.cards[message].state == "read"
