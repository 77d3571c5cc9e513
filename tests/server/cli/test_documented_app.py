"""The commands of docs/publish-from-your-app.md, run as they are printed, and what its tokens are good for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server.cli.conftest import Up

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="they are curl's")
TEXT = (Path(__file__).parents[3] / "docs" / "publish-from-your-app.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
MAKING, *ASKING = (block for block in BLOCKS if not block.startswith("location"))


def ask(up: Up, script: str, **variables: str) -> dict[str, Any]:
    """Run a command in a shell and return what was answered."""
    done = subprocess.run(
        ["/bin/sh", "-euc", script.replace("curl ", "curl -sS --fail-with-body ")],
        env={"PATH": os.environ["PATH"], "HUSHPOST_URL": up.url, **variables},
        capture_output=True,
        timeout=60,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_from_the_tokens_to_the_inbox(up: Up) -> None:
    """Whoever is left out of it has nothing; the page's order is that of the work."""
    made = [line.partition("#")[0].split()[1:] for line in MAKING.splitlines()]
    admin, gateway = (up.run(*words).out.strip() for words in made)
    tokens = {"ADMIN_TOKEN": admin, "GATEWAY_TOKEN": gateway}
    subscribe, send, status, read = ASKING
    assert ask(up, subscribe, **tokens) == {"added": 2}
    sent, again = ask(up, send, **tokens), ask(up, send, **tokens)
    assert sent == again
    became = ask(up, status, TRANSACTION=sent["transactionId"], **tokens)
    assert became["result"] == "DELIVERED"
    assert [one["userId"] for one in became["deliveries"]] == ["user-1"]
    assert [one["title"] for one in ask(up, read, **tokens)["messages"]] == ["Weekly Update"]
    assert ask(up, read.replace("user-1", "user-2"), **tokens)["messages"] == []


def test_a_list_of_tokens_says_which_tenant_they_are_for(up: Up) -> None:
    made = json.loads(
        up.run("tokens", "new", "listed", "--scope", "gateway", "--tenant", "acme", "--json").out
    )
    assert made["tenantId"] == "acme"
    [line] = [line for line in up.run("tokens", "list").out.splitlines() if made["id"] in line]
    assert line.split("  ") == [made["id"], "listed", "gateway", "tenant acme", "never used"]


def test_a_tenant_is_for_tokens_that_act(up: Up) -> None:
    refused = up.run("tokens", "new", "x", "--scope", "messages:read", "--tenant", "acme")
    assert refused.code == 1
    assert "tenantId" in refused.err
