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
OWN, FROM_VELT, FROM_APTLY = re.split(r"^## \d\. From an? \w+ client$", TEXT, flags=re.MULTILINE)
USER, OTHER = "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d444840-9dc0-11d1-b245-5ffdce74fad3"


def blocks(text: str) -> list[str]:
    """Return the commands of a part of the page."""
    found = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for block in found if not block.startswith("location")]


def make(up: Up, block: str) -> list[str]:
    """Make the tokens of a block, each with its line."""
    lines = [line.partition("#")[0].split()[1:] for line in block.splitlines()]
    return [up.run(*words).out.strip() for words in lines]


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
    making, subscribe, send, status, read = blocks(OWN)
    admin, gateway = make(up, making)
    tokens = {"ADMIN_TOKEN": admin, "GATEWAY_TOKEN": gateway}
    assert ask(up, subscribe, **tokens) == {"added": 2}
    sent, again = ask(up, send, **tokens), ask(up, send, **tokens)
    assert sent == again
    became = ask(up, status, TRANSACTION=sent["transactionId"], **tokens)
    assert became["result"] == "DELIVERED"
    assert [one["userId"] for one in became["deliveries"]] == ["user-1"]
    assert [one["title"] for one in ask(up, read, **tokens)["messages"]] == ["Weekly Update"]
    assert ask(up, read.replace("user-1", "user-2"), **tokens)["messages"] == []


def test_from_a_velt_client(up: Up) -> None:
    """With the tokens of the first section: who has acted gets nothing."""
    admin, gateway = make(up, blocks(OWN)[0])
    tokens = {"ADMIN_TOKEN": admin, "GATEWAY_TOKEN": gateway}
    add, get = blocks(FROM_VELT)
    assert ask(up, add, **tokens)["result"]["data"]["success"]
    [newest, *_] = ask(up, get, **tokens)["result"]["data"]
    assert newest["displayHeadlineMessage"] == "Ann has commented on the plan"
    texts = [
        one["displayBodyMessage"]
        for one in ask(up, get.replace("user-2", "user-1"), **tokens)["result"]["data"]
    ]
    assert "Shall we move the bridge?" not in texts


def test_from_an_aptly_client(up: Up) -> None:
    """The token that is bound to a tenant says which one it is."""
    making, template, create, read = blocks(FROM_APTLY)
    [token] = make(up, making)
    ask(up, template, APTLY_TOKEN=token)
    assert ask(up, create, APTLY_TOKEN=token)["data"]["status"] == "UNREAD"
    [found] = ask(up, read, APTLY_TOKEN=token)["data"]["data"]
    assert found["message"] == "Delegation ABC123 was issued to you. Click to review."
    assert ask(up, read.replace(USER, OTHER), APTLY_TOKEN=token)["data"]["data"] == []


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
