"""Messages over time, whole: real processes, providers and phones; a change, a reminder, a postponement, an end.

The waiting is left out: what is planned for later is made due in the server's database.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from simulator.mail import Inbox
from simulator.phone import Phone
from tests.harness.stack import Stack, running


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as stack:
        yield stack


@pytest.fixture
async def phones(stack: Stack) -> AsyncIterator[tuple[Phone, Phone, Phone]]:
    ios = await stack.pair(platform="ios", suite=2, name="ios", keep=False)
    android = await stack.pair(platform="android", suite=1, name="android", keep=False)
    browser = await stack.pair(platform="web", suite=1, name="browser", keep=False)
    yield ios, android, browser
    for phone in (ios, android, browser):
        await phone.close()


async def test_a_message_is_changed_comes_again_and_ends(
    stack: Stack, phones: tuple[Phone, Phone, Phone]
) -> None:
    """One story, since starting all of it takes longer than any of its parts."""
    await is_changed(stack, phones)
    done_with = await is_reminded_of(stack, phones)
    await is_postponed(stack, phones)
    await is_forgotten(stack, phones)
    assert {len(about(phone.inbox, done_with)) for phone in phones} == {2}  # one reminder, and no more


async def is_changed(stack: Stack, phones: tuple[Phone, Phone, Phone]) -> None:
    """The new text takes the old one's place, however large it is; then it is taken back."""
    message = await stack.send(title="Parcel", body="on its way")
    for phone in phones:
        await phone.shows("on its way")
    long = "delivered " + "".join(chr(0x4E00 + n * n % 20_000) for n in range(490))
    tags = ["".join(chr(0x4E00 + n * n * n % 20_000) for n in range(k, k + 100)) for k in range(10)]
    await stack.call("PATCH", f"/api/v1/messages/{message}", {"body": long, "tags": tags})
    for phone in phones:
        assert (await phone.shows(long)).replaces == message
        assert [card.text for card in phone.inbox.visible] == [long]
    await stack.call("DELETE", f"/api/v1/messages/{message}")
    for phone in phones[:2]:  # a browser has no background pushes
        await phone.until(lambda inbox: not inbox.visible)


async def is_reminded_of(stack: Stack, phones: tuple[Phone, Phone, Phone]) -> str:
    """Until it is read on one phone, by the reminder."""
    message = await stack.send(title="Pills", body="take two", remindEveryMinutes=60)
    for phone in phones:
        await phone.until(lambda inbox: message in inbox.cards)
    await let_pass(stack, "remind", message)
    for phone in phones:
        await phone.until(lambda inbox: len(about(inbox, message)) == 2)
    [reminder] = [id_ for id_ in about(phones[0].inbox, message) if id_ != message]
    await phones[0].read(reminder)
    assert not shown(phones[0].inbox, message)
    await phones[1].until(lambda inbox: not shown(inbox, message))
    await let_pass(stack, "remind", message)
    return message


async def is_postponed(stack: Stack, phones: tuple[Phone, Phone, Phone]) -> None:
    """It leaves the screens, and is back on all of them."""
    message = await stack.send(title="Taxes", body="file them")
    for phone in phones:
        await phone.until(lambda inbox: message in inbox.cards)
    await stack.call("POST", f"/api/v1/notifications/{message}/postpone", {"minutes": 60})
    for phone in phones[:2]:
        await phone.until(lambda inbox: not shown(inbox, message))
    await let_pass(stack, "postpone", message)
    for phone in phones:
        await phone.until(lambda inbox: len(about(inbox, message)) == 2)
        assert message not in shown(phone.inbox, message) or phone is phones[2]
        assert len(shown(phone.inbox, message)) >= 1


async def is_forgotten(stack: Stack, phones: tuple[Phone, Phone, Phone]) -> None:
    """Read on one phone it is gone from the others, and its content from the server."""
    message = await stack.send(title="Code", body="4711", ephemeral=True)
    for phone in phones:
        await phone.until(lambda inbox: message in inbox.cards)
    await phones[1].read(message)
    for phone in phones[:2]:
        await phone.until(lambda inbox: message not in inbox.cards)
    with closing(sqlite3.connect(stack.database)) as database:
        [(content,)] = database.execute("SELECT content FROM messages WHERE id = ?", (message,))
    assert content is None
    await phones[2].refresh()  # it learns when it is opened
    assert message not in phones[2].inbox.cards


def about(inbox: Inbox, message: str) -> list[str]:
    """Return the frames of a message that a phone has."""
    return [card.message_id for card in inbox.cards.values() if card.about == message]


def shown(inbox: Inbox, message: str) -> list[str]:
    return [card.message_id for card in inbox.visible if card.about == message]


async def let_pass(stack: Stack, kind: str, message: str) -> None:
    """Have what is planned for a message happen now."""
    with closing(sqlite3.connect(stack.database)) as database, database:
        database.execute("UPDATE tasks SET due_at = 1 WHERE kind = ? AND message_id = ?", (kind, message))
    await stack.call("PATCH", f"/api/v1/messages/{message}", {})  # changes nothing, and has the workers look
