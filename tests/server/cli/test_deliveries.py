"""`hushpost deliveries`: against a server whose relay knows no provider, so that every push comes to nothing."""

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
import pytest

from tests.harness.foreign_client import Http, new_link, pair
from tests.harness.hushpost import get
from tests.server.cli.conftest import Up

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def phone(up: Up) -> Iterator[str]:
    """A paired device, unpaired at the end: other tests want none."""

    async def paired() -> str:
        async with aiohttp.ClientSession() as session:
            link = await new_link(Http(session, up.url, up.token))
            return str((await pair(session, link, suite=1)).id)

    id_ = asyncio.run(paired())
    yield id_
    assert up.run("devices", "delete", id_).code == 0


@pytest.fixture
def failed(up: Up, phone: str) -> str:
    """A message that failed on its way to the phone."""
    assert phone
    id_ = up.run("send", "hello").out.strip()
    wait_until_failed(up, id_)
    return id_


def wait_until_failed(up: Up, message_id: str) -> None:
    end = time.monotonic() + 30
    while "failed" not in get(f"{up.url}/api/v1/messages/{message_id}/deliveries", up.token)["counts"]:
        assert time.monotonic() < end


def test_a_message_is_shown_hop_by_hop(up: Up, failed: str) -> None:
    """The inbox has it; the provider has not."""
    shown = up.run("deliveries", "show", failed)
    assert shown.code == 0, shown.err
    heads, *rows = shown.out.splitlines()
    assert " ".join(heads.split()) == "to state reason attempts server seal relay provider device"
    inbox, device = sorted(rows, key=lambda row: not row.startswith("inbox"))
    assert inbox.split()[:2] == ["inbox", "accepted"]
    assert "stored " in inbox
    for word in ("failed", "not_configured", "sealed +", "answered +", "rejected +"):
        assert word in device
    assert "1 failed" in shown.err
    assert up.run("deliveries", "show", failed, "--state", "gone").err.startswith("no delivery is in that")


def test_what_came_to_nothing_is_listed_and_tried_again(up: Up, failed: str) -> None:
    """By its id, or with all of its state."""
    [dead] = [
        row for row in json.loads(up.run("deliveries", "list", "--json").out) if row["messageId"] == failed
    ]
    listed = up.run("deliveries", "list", "--state", "failed", "--reason", "not_configured")
    assert dead["id"] in listed.out
    assert failed in listed.out
    tried = up.run("deliveries", "retry", dead["id"], NOBODY)
    assert (tried.code, tried.err) == (0, "1 queued, 1 not: 1 not_found\n")
    wait_until_failed(up, failed)
    again = up.run("deliveries", "retry", "--state", "failed", "--json")
    assert (again.code, json.loads(again.out)) == (0, {"queued": 1, "notQueued": []})
    wait_until_failed(up, failed)
    nobody = up.run("deliveries", "retry", NOBODY)
    assert (nobody.code, nobody.err) == (1, "0 queued, 1 not: 1 not_found\n")


def test_a_retry_says_which_it_means(up: Up) -> None:
    for arguments in ((), (NOBODY, "--state", "failed")):
        done = up.run("deliveries", "retry", *arguments)
        assert done.code == 2
        assert done.err.startswith("hushpost: say which: ids")
    wrong = up.run("deliveries", "retry", "--state", "expired")
    assert wrong.err == "hushpost: state: is none of the known words; give one of failed, gone\n"


def test_what_is_scheduled_says_when(up: Up) -> None:
    async def scheduled() -> str:
        body = {"title": "x", "bucketId": "default", "deliveryType": "NO_PUSH", "delaySeconds": 3600}
        async with aiohttp.ClientSession() as session:
            made = await Http(session, up.url, up.token).call("POST", "/api/v1/messages", body)
            return str(made.json["id"])

    assert up.run("deliveries", "show", asyncio.run(scheduled())).err.startswith("it is sent at 20")


def test_what_is_not_there_is_said(up: Up) -> None:
    missing = up.run("deliveries", "show", NOBODY)
    assert (missing.code, missing.err) == (1, "hushpost: no such message\n")
    assert up.run("deliveries", "list", "--state", "expired").err == "nothing came to nothing\n"
