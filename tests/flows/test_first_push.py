"""The first push, whole: processes, sockets, providers, two phones and a browser; and what each party must not have seen."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from simulator.phone import Phone
from tests.harness.stack import Stack, running

CANARY = "canary 7f3a · the ledger is under the third floorboard ✓"
TITLE = "canary-title-51c9"
BUCKET = "canary-bucket-e02b"
COLLAPSE = "canary-collapse-99d1"
SECRETS = ("the ledger is under the third floorboard", TITLE, BUCKET, COLLAPSE)  # ASCII: nothing escapes them


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as stack:
        yield stack


@pytest.fixture
async def phones(stack: Stack) -> AsyncIterator[tuple[Phone, Phone, Phone]]:
    ios = await stack.pair(platform="ios", suite=2, name="ios")
    android = await stack.pair(platform="android", suite=1, name="android")
    browser = await stack.pair(platform="web", suite=1, name="browser")
    yield ios, android, browser
    for phone in (ios, android, browser):
        await phone.close()


async def test_a_canary_is_read_by_the_phones_and_by_nobody_on_the_way(
    stack: Stack, phones: tuple[Phone, Phone, Phone]
) -> None:
    bucket = await stack.call("POST", "/api/v1/buckets", {"name": BUCKET})
    await stack.send(bucketId=bucket["id"], title=TITLE, body=CANARY, collapseId=COLLAPSE)
    for phone in phones:
        shown = await phone.shows(CANARY)
        assert shown.title == TITLE

    recorded = b"".join(repr(one.headers).encode() + one.payload for one in stack.providers.recorded)
    logs = stack.relay.log.read_text() + stack.server.log.read_text()
    pushes = [one.provider for one in stack.providers.recorded if one.provider != "google"]
    assert sorted(pushes) == ["apns", "fcm", "webpush"]
    for secret in SECRETS:
        assert secret.encode() not in recorded
        assert secret not in logs
        assert not is_in_memory(stack.relay.pid, secret)
    assert is_in_memory(stack.relay.pid, "hushpost-outcome"), (
        "the search itself must be able to find something"
    )


async def test_the_servers_database_holds_no_push_token(
    stack: Stack, phones: tuple[Phone, Phone, Phone]
) -> None:
    await stack.send(title="hello", body="hello")
    for phone in phones:
        await phone.shows("hello")
    await stack.server.stop()

    content = b"".join(path.read_bytes() for path in stack.database.parent.glob(f"{stack.database.name}*"))
    for phone in phones:
        token = phone.pairing.push_token
        assert token.encode() not in content
        assert bytes.fromhex(token) not in content if re.fullmatch(r"[0-9a-f]+", token) else True
    with closing(sqlite3.connect(stack.database)) as database:
        [(handles,)] = database.execute("SELECT COUNT(handle) FROM devices")
    assert handles == 3


def is_in_memory(pid: int, text: str) -> bool:
    """Whether a process has this text in any part of its memory that can be written to."""
    wanted = text.encode()
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            bounds, mode, *_ = line.split()
            if not mode.startswith("rw") or "[v" in line:
                continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            memory.seek(start)
            if wanted in memory.read(end - start):
                return True
    return False
