"""The commands of docs/publish-to-it.md about when, once and afterwards, run as they are printed."""

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


def run(up: Up, script: str, **variables: str) -> list[dict[str, Any]]:
    """Run commands in a shell and return what was answered, one JSON document after the other."""
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
        env={"PATH": os.environ["PATH"], "HUSHPOST_URL": up.url, **variables},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.decode().splitlines() if line]


def test_later(up: Up) -> None:
    standup, tea = run(up, commands("4. Later"))
    at = datetime.fromisoformat(standup["scheduledSendAt"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (at.hour, at.minute) == (9, 25)
    assert tea["scheduledSendAt"] > tea["createdAt"]


def test_once_and_afterwards(up: Up) -> None:
    """However often it is asked, one message; and its timeline."""
    once = commands("5. Once")
    [first], [second] = run(up, once), run(up, once)
    assert first == second
    [timeline] = run(up, commands("6. Afterwards"), ID=first["id"])
    assert timeline["messageId"] == first["id"]
    assert timeline["counts"]["accepted"] >= 1
