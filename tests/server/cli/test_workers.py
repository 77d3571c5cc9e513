"""`hushpost server --workers N`: real processes behind one socket, on PostgreSQL."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from tests.harness import databases
from tests.harness.crew import SECONDS, Crew
from tests.harness.crew import crew as started
from tests.harness.hushpost import LIGHT, hushpost
from tests.harness.keyfiles import make_server_keys

WORKERS = 2
ACCOUNT = {"email": "ada@example.org", "username": "ada", "password": "correct horse battery"}
needs_postgres = pytest.mark.skipif("postgresql" not in databases.engines(), reason="no PostgreSQL")


Start = Callable[..., Awaitable[Crew]]


@pytest.fixture
async def start(tmp_path: Path, postgres_url: str) -> AsyncIterator[Start]:
    """Start servers that listen on a port of their own."""
    make_server_keys(tmp_path / "data")
    async with AsyncExitStack() as stack:

        async def begin(*, listen: str = "127.0.0.1:0", url: str = postgres_url) -> Crew:
            settings = (
                LIGHT
                | {"HUSHPOST_DATABASE_URL": url, "HUSHPOST_SERVER_LISTEN": listen}
                | {"HUSHPOST_WORKER_SEAL_PROCESSES": "1", "TMPDIR": str(tmp_path)}
            )
            command = ("server", "--workers", str(WORKERS))
            return await stack.enter_async_context(started(tmp_path, *command, settings=settings))

        yield begin


@pytest.fixture
async def crew(start: Start) -> Crew:
    crew = await start()
    crew.url = f"http://{(await crew.says('listening'))['address']}"
    return crew


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Makes a new connection for each request, so that any of the processes may take it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def register(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.post(f"{url}/api/v1/auth/register", json=ACCOUNT) as answer:
        assert answer.status == 201
        body: dict[str, Any] = await answer.json()
        return body


async def answers(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(f"{url}/readyz") as answer:
        return answer.status


def metrics_folders(folder: Path) -> list[Path]:
    return list(folder.glob("hushpost-metrics-*"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--workers", "3"), "--workers 3"),
        (("--role", "api"), "--role api"),
        (("--role", "worker", "--workers", "2"), "--role worker --workers 2"),
    ],
)
def test_a_sqlite_file_belongs_to_one_process(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    done = hushpost("server", *options, folder=tmp_path)
    assert done.code == 2
    assert done.err.startswith(
        f"hushpost: {named}: a SQLite file belongs to one process that does everything; set database.url ="
    )
    assert not list(tmp_path.iterdir())


@needs_postgres
async def test_a_process_that_is_killed_is_replaced_while_the_others_answer(
    crew: Crew, session: aiohttp.ClientSession
) -> None:
    before = crew.children
    assert len(before) == WORKERS
    before[0].kill()
    back = asyncio.create_task(crew.says("a process serves in the other's place"))
    while not back.done():
        assert await answers(session, crew.url) == 200
    assert len(crew.children) == WORKERS
    assert before[0] not in crew.children
    assert before[1] in crew.children


@needs_postgres
async def test_a_process_that_cannot_be_replaced_yet_leaves_the_others_at_work(
    crew: Crew, session: aiohttp.ClientSession
) -> None:
    """Files or memory have run out for a moment: that is tried again, and no reason to stop."""
    supervisor, [first, other] = psutil.Process(crew.process.pid), crew.children
    before = supervisor.rlimit(psutil.RLIMIT_NOFILE)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
    first.kill()
    await crew.says("a process has ended, another takes its place")
    failed = await crew.says("a process has ended, another takes its place")
    assert failed["end"] == "not started (Too many open files)"
    assert await answers(session, crew.url) == 200
    supervisor.rlimit(psutil.RLIMIT_NOFILE, before)
    await crew.says("a process serves in the other's place")
    assert other in crew.children
    assert len(crew.children) == WORKERS


@needs_postgres
async def test_a_stop_lets_a_request_under_way_finish_and_leaves_nothing_behind(
    crew: Crew, session: aiohttp.ClientSession, postgres_url: str, tmp_path: Path
) -> None:
    everyone = psutil.Process(crew.process.pid).children(recursive=True)
    other = await asyncpg.connect(postgres_url)
    async with asyncio.timeout(SECONDS), other.transaction():
        await other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        request = asyncio.create_task(register(session, crew.url))
        while not await other.fetchval("SELECT COUNT(*) FROM pg_locks WHERE NOT granted"):
            pass
        crew.process.terminate()
        await crew.says("stopping")
        for child in crew.children:
            child.terminate()  # as systemd does: the signal comes twice
    assert (await request)["user"]["username"] == ACCOUNT["username"]
    assert await crew.ends() == 0
    assert psutil.wait_procs(everyone, timeout=SECONDS)[1] == []
    assert metrics_folders(tmp_path) == []
    await other.close()


@needs_postgres
async def test_a_supervisor_that_is_killed_takes_its_processes_with_it(
    crew: Crew, start: Start, tmp_path: Path
) -> None:
    everyone = psutil.Process(crew.process.pid).children(recursive=True)
    crew.process.kill()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, everyone, timeout=SECONDS)
    assert (len(gone), alive) == (len(everyone), [])
    assert metrics_folders(tmp_path) == []
    again = await start(listen=crew.url.removeprefix("http://"))
    await again.says("listening")


@needs_postgres
async def test_a_stopped_process_that_does_not_end_is_killed_by_a_second_signal(crew: Crew) -> None:
    crew.children[0].suspend()
    crew.process.send_signal(signal.SIGINT)
    await crew.says("stopping")
    crew.process.send_signal(signal.SIGINT)
    await crew.says("a process has not ended in time and is killed")
    assert await crew.ends() == 0


@needs_postgres
async def test_figures_are_the_same_whichever_process_is_asked_and_outlive_it(
    crew: Crew, session: aiohttp.ClientSession
) -> None:
    bearer = {"Authorization": f"Bearer {(await register(session, crew.url))['accessToken']}"}
    for _ in range(30):
        await answers(session, crew.url)

    async def figures() -> dict[str, str]:
        async with session.get(f"{crew.url}/metrics", headers=bearer) as answer:
            lines = (await answer.text()).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    asked = 'hushpost_http_requests_total{method="GET",route="/readyz",status="200"}'
    for _ in range(10):
        seen = await figures()
        assert float(seen[asked]) == 30
        assert seen["hushpost_deliveries_created"] == "0.0"
        assert float(seen['process_resident_memory_bytes{process="1"}']) > 0
        assert float(seen['process_resident_memory_bytes{process="2"}']) > 0
        assert not [name for name in seen if re.search(r"[{,]pid=", name)]
    crew.children[0].kill()
    await crew.says("a process serves in the other's place")
    assert float((await figures())[asked]) == 30


@needs_postgres
async def test_processes_that_cannot_start_end_the_supervisor_with_what_they_said(start: Start) -> None:
    with databases.postgres_database() as url:
        connection = await asyncpg.connect(url)
        await connection.execute("DROP TABLE tenants CASCADE")
        await connection.close()
        crew = await start(url=url)
        said = []
        async with asyncio.timeout(SECONDS):
            while line := await crew.said():
                said.append(line.get("sentence", ""))
        assert await crew.ends() == 1
    assert said[-1] == "hushpost: no process of the server could be started; the lines above say why\n"


@needs_postgres
async def test_a_port_that_is_taken_is_said_once(start: Start) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        crew = await start(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        line = await crew.said()
        assert "cannot listen on 127.0.0.1" in line["sentence"]
        assert await crew.ends() == 1


@needs_postgres
async def test_neither_arguments_nor_environment_of_the_processes_show_the_database(
    crew: Crew, postgres_url: str
) -> None:
    for child in crew.children:
        assert postgres_url not in " ".join(child.cmdline())
        assert postgres_url not in child.environ().values()
