"""A page in a browser follows an inbox with nothing but a session, and what its own script can do."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec import structs

from server.config import Settings
from tests.harness.acting import Acting
from tests.harness.native import listening
from tests.harness.others import missing
from tests.server.conftest import PUBLIC_URL, House

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

_SECONDS = 60
_PAGE = """<!doctype html>
<script>
const say = what => fetch("/said", {method: "POST", body: JSON.stringify(what)})
const call = (session, rpc, body) => fetch(session.apiUrl + "/api/v1/notifications/" + rpc, {
  method: "POST", body: JSON.stringify(body),
  headers: {"Authorization": "Bearer " + session.sessionToken, "Content-Type": "application/json"}})
async function follow() {
  const session = await (await fetch("/session")).json()
  const socket = new WebSocket(session.wsUrl)
  socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: session.sessionToken}))
  socket.onclose = ({code}) => say({type: "closed", code})
  socket.onmessage = async ({data}) => {
    const told = JSON.parse(data)
    await say(told)
    if (told.type !== "notification_received") return
    const marked = await call(session, "mark-inbox-message", {messageId: told.data.messageId, status: "READ"})
    say({type: "marked", data: await marked.json()})
  }
}
follow()
</script>"""


class App:
    """An app's own server: it gives its page a session, and hears what the page has seen."""

    def __init__(self) -> None:
        self.servers: Acting | None = None
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.add_routes(
            [web.get("/", self._page), web.get("/session", self._session), web.post("/said", self._hear)]
        )
        async with listening(app) as url:
            yield url

    async def use(self, house: House) -> Acting:
        admin = await house.register("admin")
        self.servers = Acting(await house.token(admin, "admin"), "acme")
        return self.servers

    async def until(self, type_: str) -> Any:
        async with asyncio.timeout(_SECONDS):
            while True:
                said = await self.said.get()
                assert said["type"] != "closed", said
                if said["type"] == type_:
                    return said["data"]

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def _session(self, _request: web.Request) -> web.Response:
        """Return a session where the server is found: it listens on whichever port was free."""
        assert self.servers is not None
        session = (await self.servers.for_user("ann").rpc("get-inbox-session")).body.decode()
        return web.Response(text=session.replace(PUBLIC_URL[4:], self.servers.api.url[4:]))

    async def _hear(self, request: web.Request) -> web.Response:
        self.said.put_nowait(await request.json())
        return web.Response()


@asynccontextmanager
async def browsing(url: str, home: Path) -> AsyncIterator[None]:
    chromium = shutil.which("chromium") or missing("chromium is not installed")
    browser = await asyncio.create_subprocess_exec(
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={home}", "--remote-debugging-port=0", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        browser.terminate()
        await browser.wait()


async def test_a_page_of_an_app_is_told_what_comes_and_reads_it(
    open_house: Callable[[Settings], Awaitable[House]], settings: Settings, tmp_path: Path
) -> None:
    """From another origin than the server's, which the operator has listed."""
    app = App()
    async with app.serving() as url:
        listed = structs.replace(settings.server, cors_origins=(url,))
        servers = await app.use(await open_house(structs.replace(settings, server=listed)))
        async with browsing(url, tmp_path / "browser"):
            assert await app.until("unseen_count_changed") == {"unseenCount": 0}
            content = {"title": "Hello", "data": {"screen": "home"}}
            sent = {"userId": "ann", "channel": "IN_APP", "content": content}
            assert (await servers.rpc("manage/send", sent)).status == 200
            shown = await app.until("notification_received")
            assert (shown["title"], shown["data"], shown["status"]) == ("Hello", {"screen": "home"}, "UNSEEN")
            assert await app.until("marked") == {"messageId": shown["messageId"], "status": "READ"}
            counted = await servers.for_user("ann").rpc("get-inbox-unseen-count")
            assert counted.json == {"unseenCount": 0, "unreadCount": 0}


async def test_a_page_of_another_origin_is_not_connected(house: House, tmp_path: Path) -> None:
    app = App()
    await app.use(house)
    async with app.serving() as url, browsing(url, tmp_path / "browser"), asyncio.timeout(_SECONDS):
        assert await app.said.get() == {"type": "closed", "code": aiohttp.WSCloseCode.ABNORMAL_CLOSURE}
