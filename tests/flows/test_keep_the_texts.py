"""docs/keep-the-texts-yourself.md, done as it is printed: the commands, and the server of Python that answers."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from server.commands.webhooks import show_key
from tests.harness.native import Native, listening
from tests.harness.stack import Stack, running
from tests.harness.velt import Velt

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the commands are curl's")
TEXT = (Path(__file__).parents[2] / "docs" / "keep-the-texts-yourself.md").read_text("utf-8")
SETTING, ADDING = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
ASKED, _ = re.findall(r"^```json\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
[ANSWERING] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SAID = "Shall we move the bridge?"
TOKEN = {"name": "app", "scopes": ["admin"], "tenantId": "acme"}
SECRET, OTHER = show_key(bytes(32)), show_key(bytes(range(32)))


@dataclass
class Texts:
    """The reader's own server, which answers with the function of the page."""

    url: str = ""
    secret: str = field(default="", repr=False)
    asked: list[Any] = field(default_factory=list)
    page: dict[str, Any] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.page["answer"](self.secret, headers, body)
        self.asked.append(json.loads(body))
        return web.Response(body=answer)


@pytest.fixture
async def texts() -> AsyncIterator[Texts]:
    made, app = Texts(), web.Application()
    exec(ANSWERING, made.page)  # noqa: S102 - our own page
    app.router.add_post("/texts", made.handle)
    async with listening(app) as url:
        made.url = f"{url}/texts"
        yield made


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    settings = {"HUSHPOST_OUTGOING_ALLOWED_NETWORKS": "127.0.0.1/32"}
    async with running(tmp_path, settings=settings) as stack:
        yield stack


async def ask(stack: Stack, script: str, **variables: str) -> Any:
    """Run a command in a shell and return what was answered."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-euc", script.replace("curl ", "curl -sS --fail-with-body ")],
        env={"PATH": os.environ["PATH"], "HUSHPOST_URL": stack.server.url, **variables},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)["result"]["data"]


async def test_the_page_from_its_first_command_to_the_text(stack: Stack, texts: Texts) -> None:
    token = (await stack.call("POST", "/api/v1/access-tokens", TOKEN))["token"]
    texts.secret = (await ask(stack, SETTING, ADMIN_TOKEN=token, TEXTS_URL=texts.url))["secret"]
    await ask(stack, ADDING, ADMIN_TOKEN=token)
    velt = Velt.of(Native(stack.session, stack.server.url, token))
    [found] = await velt.said("notifications/get", {"organizationId": "acme", "userId": "user-2"})
    assert found["displayHeadlineMessage"] == "user-1 has commented on the plan"
    assert found["displayBodyMessage"] == SAID
    assert texts.asked == [json.loads(ASKED)]
    stored = b"".join(file.read_bytes() for file in stack.database.parent.rglob("*") if file.is_file())
    assert b"comment-7" in stored
    assert SAID.encode() not in stored


async def test_what_is_not_known_there_is_shown_without_texts(stack: Stack, texts: Texts) -> None:
    token = (await stack.call("POST", "/api/v1/access-tokens", TOKEN))["token"]
    texts.secret = (await ask(stack, SETTING, ADMIN_TOKEN=token, TEXTS_URL=texts.url))["secret"]
    await ask(stack, ADDING.replace("comment-7", "comment-8"), ADMIN_TOKEN=token)
    velt = Velt.of(Native(stack.session, stack.server.url, token))
    [found] = await velt.said("notifications/get", {"organizationId": "acme", "userId": "user-2"})
    assert (found["displayHeadlineMessage"], found["unresolved"]) == (None, True)


def test_whoever_has_not_the_secret_is_told_nothing(texts: Texts) -> None:
    """By the function of the page: of another secret, or for another body."""
    right, now = Webhook(SECRET), datetime.now(UTC)
    signed = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": right.sign("1", now, ASKED),
    }
    answer = texts.page["answer"]
    assert SAID in json.loads(answer(SECRET, signed, ASKED.encode()))["comment-7"].values()
    for secret, body in ((OTHER, ASKED), (SECRET, ASKED.replace("comment", "secret"))):
        with pytest.raises(WebhookVerificationError):
            answer(secret, signed, body.encode())
