"""Texts that stay on an app's own server: the phone and the app show them, and none is anywhere in what this server leaves behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.native import Native
from tests.harness.resolving import SECRET, TextServer, text_server, texts
from tests.harness.stack import Stack, running
from tests.harness.velt import Velt

TITLE = "canary-title-6b1f"
BODY = "canary body 2e90: the ledger is under the fourth floorboard"
DATA = "canary-data-77c3"
SECRETS = (TITLE, "the ledger is under the fourth floorboard", DATA)


@pytest.fixture
async def server() -> AsyncIterator[TextServer]:
    async with text_server() as made:
        yield made


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    settings = {"HUSHPOST_OUTGOING_ALLOWED_NETWORKS": "127.0.0.1/32"}
    async with running(tmp_path, settings=settings) as stack:
        yield stack


async def add(stack: Stack, name: str) -> None:
    velt = Velt.of(Native(stack.session, stack.server.url, stack.token))
    given = {
        "organizationId": "default",
        "documentId": "plan",
        "createDocument": True,
        "actionUser": {"userId": "ann"},
        "notificationId": name,
        "notifyUsers": [{"userId": "ada"}],
        "notifyAll": False,
        "isNotificationResolverUsed": True,
        "notificationSource": "custom",
    }
    await velt.said("notifications/add", given)


def left_in(folder: Path) -> dict[str, bytes]:
    """Return what lies in every file: databases with their logs, attachments, what the processes logged."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def titles(stack: Stack) -> list[str | None]:
    page = await stack.call("GET", "/api/v1/notifications")
    return [one["message"]["title"] for one in page["notifications"]]


async def test_a_text_is_pushed_and_read_and_left_nowhere(
    stack: Stack, server: TextServer, tmp_path: Path
) -> None:
    velt = Velt.of(Native(stack.session, stack.server.url, stack.token))
    where = {"organizationId": "default", "url": server.url, "secret": SECRET}
    await velt.said("organizations/resolver/set", where)
    phone = await stack.pair(platform="android", suite=1, name="android")
    long = BODY + "".join(chr(0x4E00 + index * index % 20_000) for index in range(3900))
    server.texts = {
        "n-1": texts(TITLE, BODY, notificationSourceData={"a": DATA}),
        "n-2": texts(TITLE, long[:4000], notificationSourceData={"a": DATA}),
    }
    await add(stack, "n-1")
    shown = await phone.shows(BODY)
    assert shown.title == TITLE
    assert await titles(stack) == [TITLE]
    await add(stack, "n-2")
    await phone.until(lambda inbox: any(one.text.endswith("…") for one in inbox.log))
    assert await titles(stack) == [TITLE, TITLE]
    await stack.server.stop()
    await stack.server.start(stack.session)
    assert await titles(stack) == [TITLE, TITLE]
    await phone.close()
    await stack.server.stop()
    left = left_in(tmp_path)
    assert any(b"n-1" in content for content in left.values())
    having = {name for name, content in left.items() if any(secret.encode() in content for secret in SECRETS)}
    assert having == {"android.phone"}, "nobody has it but the phone, which may"
    assert server.refused == []
