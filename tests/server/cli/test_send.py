"""`hushpost send`: later, and once however often it is said."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.server.cli.conftest import Up


def sent(up: Up, *options: str) -> Any:
    done = up.run("send", "tea is ready", "--json", *options)
    assert done.code == 0, done.err
    return json.loads(done.out)


def subscribe(up: Up, topic: str, user: str) -> None:
    async def ask() -> None:
        url, headers = f"{up.url}/api/v1/topics/{topic}/subscribers", {"Authorization": f"Bearer {up.token}"}
        async with (
            ClientSession(raise_for_status=True) as session,
            session.post(url, json={"userIds": [user]}, headers=headers),
        ):
            pass

    asyncio.run(ask())


def test_the_same_key_makes_one_message(up: Up) -> None:
    first, second, other = (
        sent(up, "--key", "tea-1"),
        sent(up, "--key", "tea-1"),
        sent(up, "--key", "tea-2"),
    )
    assert first["id"] == second["id"] != other["id"]


def test_a_message_can_wait_for_its_time(up: Up) -> None:
    at = json.loads(up.run("send", "tea", "--delay", "3600", "--json").out)["scheduledSendAt"]
    again = sent(up, "--at", at.removesuffix("Z"), "--timezone", "UTC")
    assert again["scheduledSendAt"] == at


def test_a_time_without_a_place_is_named_with_what_is_missing(up: Up) -> None:
    done = up.run("send", "tea", "--at", "2030-01-31T12:00:00")
    assert done.code != 0
    assert "scheduledSendAt: has no offset; add Z or an offset like +01:00, or send a timezone" in done.err


def test_what_comes_with_a_message_is_said_in_options(up: Up) -> None:
    url = "https://example.com/tea.png"
    message = sent(
        up, "--image", url, "--sound", "ping.aiff", "--tag", "tea", "--tag", "green", "--tap", "/tea"
    )
    assert message["attachments"] == [{"mediaType": "IMAGE", "url": url}]
    assert message["tapAction"] == {"type": "NAVIGATE", "value": "/tea"}
    assert (message["sound"], message["tags"]) == ("ping.aiff", ["tea", "green"])


def test_a_topic_gets_what_its_subscribers_want_to_know(up: Up) -> None:
    """By its key, as the words of channels and categories are written."""
    none = up.run("send", "tea is ready", "--topic", "tea")
    assert (none.code, "no such topic" in none.err) == (1, True)
    subscribe(up, "tea", "ada")
    message = sent(up, "--topic", "tea", "--channel", "in_app", "--category", "product")
    assert (message["title"], message["channels"], message["category"]) == ("tea", ["IN_APP"], "PRODUCT")
    both = up.run("send", "tea is ready", "--topic", "tea", "--bucket", "default")
    assert (both.code, "topicKey: is given beside bucketId" in both.err) == (1, True)


def test_files_are_sent_along(up: Up, tmp_path: Path) -> None:
    """With all else that a message says, as what their names say they are."""
    picture, log = tmp_path / "tea pöt.png", tmp_path / "tea"
    picture.write_bytes(b"\x89PNG")
    log.write_bytes(b"")
    message = sent(up, "--attach", str(picture), "--attach", str(log), "--tag", "tea, green", "--delay", "60")
    assert [(one["mediaType"], one["name"]) for one in message["attachments"]] == [
        ("IMAGE", "tea pöt.png"),
        ("FILE", "tea"),
    ]
    assert (message["body"], message["tags"]) == ("tea is ready", ["tea, green"])
    missing = up.run("send", "tea", "--attach", str(tmp_path / "nothing"))
    assert (missing.code, "--attach" in missing.err) == (2, True)
