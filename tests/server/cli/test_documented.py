"""The commands of docs/publish-to-it.md, run as they are printed."""

import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.server.cli.conftest import Up

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="they are curl's")
TEXT = (Path(__file__).parents[3] / "docs" / "publish-to-it.md").read_text("utf-8")
UUIDGEN = "uuidgen() { printf %s 4cf7a8ed-9a0b-4f0e-8bb4-6a3f2d4f4c0e; }\n"  # not everywhere, and the same each time


def commands(section: str) -> str:
    """The shell commands of a section."""
    part = re.split(r"^## ", TEXT.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    assert blocks
    return "\n".join(blocks)


def run(up: Up, script: str, folder: Path | None = None, **variables: str) -> list[dict[str, Any]]:
    """Run commands in a shell, in a folder, and return what was answered, one JSON document after the other."""
    token = json.loads(
        up.run(
            "tokens", "new", "docs", "--scope", "messages:create", "--scope", "messages:read", "--json"
        ).out
    )["token"]
    done = subprocess.run(
        [
            "/bin/sh",
            "-euc",
            UUIDGEN + script.replace("zat_…", token).replace("curl ", "curl -sS --fail-with-body -w '\\n' "),
        ],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HUSHPOST_URL": up.url, **variables},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.decode().splitlines() if line]


def test_a_message(up: Up) -> None:
    [message] = run(up, commands("3. A message"))
    assert (message["title"], message["body"]) == ("Backup", "finished ✓")


def test_pictures_files_and_buttons(up: Up) -> None:
    [message] = run(up, commands("4. Pictures, files and buttons"))
    assert [one["mediaType"] for one in message["attachments"]] == ["FILE", "IMAGE"]
    kinds = ["NAVIGATE", "WEBHOOK", "SNOOZE", "MARK_AS_READ", "DELETE"]
    assert [one["type"] for one in message["actions"]] == kinds
    assert message["tapAction"] == {"type": "NAVIGATE", "value": "/orders/123"}


def test_from_a_form_a_file_or_an_address(up: Up, tmp_path: Path) -> None:
    (tmp_path / "backup.log").write_text("all is well")
    with_file, form, address = run(up, commands("5. From a form, a file or an address"), tmp_path)
    [attached] = with_file["attachments"]
    assert (attached["mediaType"], attached["name"]) == ("FILE", "backup.log")
    assert (with_file["tags"], with_file["actions"]) == (["backup", "nightly"], [{"type": "DISMISS"}])
    assert (form["title"], form["deliveryType"]) == ("Front door", "NORMAL")
    assert (address["title"], address["sound"]) == ("Doorbell", "bell.aiff")


def test_again_and_again_or_for_a_day_only(up: Up) -> None:
    reminding, ephemeral = run(up, commands("6. Again and again, or for a day only"))
    assert (reminding["remindEveryMinutes"], reminding["maxReminders"]) == (15, 4)
    assert ephemeral["ephemeral"] is True


def test_later(up: Up) -> None:
    standup, tea = run(up, commands("7. Later"))
    at = datetime.fromisoformat(standup["scheduledSendAt"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (at.hour, at.minute) == (9, 25)
    assert tea["scheduledSendAt"] > tea["createdAt"]


def test_once_and_afterwards(up: Up) -> None:
    """However often it is asked, one message; and its timeline."""
    once = commands("8. Once")
    [first], [second] = run(up, once), run(up, once)
    assert first == second
    [timeline] = run(up, commands("9. Afterwards"), ID=first["id"])
    assert timeline["messageId"] == first["id"]
    assert timeline["counts"]["accepted"] >= 1
