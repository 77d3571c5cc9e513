"""Processes that share a socket: each gets its part of the connections, and none is lost when one of them stops.

How evenly two processes take depends on what else the machine does. So the rule itself is tested with two takers in one
loop, where their order is certain; and two real processes by the middle of several rounds.
"""

import asyncio
import os
import resource
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any

import pytest
import uvloop
from aiohttp import web

from server.cli.accepting import SharedSite
from server.cli.listening import BACKLOG, Listener
from server.cli.running import run_until_stopped, runner_of

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CONNECTIONS = 32
AT_MOST = 24  # of those, at one of two
TURNS = 10
ROUNDS = 9
SECONDS = 30
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing says so at once, and drops what waits

Loop = Callable[[], asyncio.AbstractEventLoop]
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Runs in the one kind of loop and in the other; at the end nothing must have gone wrong in the background."""
    wrong: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: wrong.append(context))
        yield runner
    assert wrong == []


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)) as listening:
        yield listening


@asynccontextmanager
async def taker(shared: socket.socket, handler: Any) -> AsyncIterator[SharedSite]:
    """What a process does with its copy of the socket."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = runner_of(app, idle_seconds=SECONDS)
    await runner.setup()
    try:
        yield SharedSite(runner, shared)
    finally:
        await runner.cleanup()


def answering(text: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text)

    return answer


@contextmanager
def connected(shared: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    """Connections that the kernel has made and nobody has taken yet."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(shared.getsockname(), timeout=SECONDS))
            for _ in range(count)
        ]


async def asked(connection: socket.socket) -> str:
    """Ask once over it, and leave it open; "" where the other side has closed it."""
    try:
        return await _asked(connection)
    except (BrokenPipeError, ConnectionResetError):
        return ""


async def _asked(connection: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    connection.settimeout(0)
    await loop.sock_sendall(connection, REQUEST)
    async with asyncio.timeout(SECONDS):
        answer = b""
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            got = await loop.sock_recv(connection, 4096)
            if not got:
                break
            answer += got
    return answer.rpartition(b"\r\n\r\n")[2].decode()


async def answers_to(connections: list[socket.socket]) -> list[str]:
    return await asyncio.gather(*map(asked, connections))


def test_connections_that_wait_together_are_shared(runner: asyncio.Runner, shared: socket.socket) -> None:
    async def share() -> None:
        with connected(shared, CONNECTIONS) as connections:
            async with (
                taker(shared.dup(), answering("a")) as first,
                taker(shared.dup(), answering("b")) as second,
            ):
                await first.start()
                await second.start()
                answers = await answers_to(connections)
        assert len(answers) == CONNECTIONS
        assert max(answers.count("a"), answers.count("b")) <= AT_MOST

    runner.run(share())


def test_one_that_is_slow_to_wake_gets_its_part(runner: asyncio.Runner, shared: socket.socket) -> None:
    async def wake_slowly() -> None:
        shared.settimeout(0)
        with connected(shared, CONNECTIONS) as connections:
            async with taker(shared.dup(), answering("quick")) as site:
                await site.start()
                slow = asyncio.create_task(take_slowly(shared))
                answers = await answers_to(connections)
                slow.cancel()
        assert 1 <= answers.count("quick") <= AT_MOST

    runner.run(wake_slowly())


async def take_slowly(shared: socket.socket) -> None:
    """Take one in so many turns of the loop, and close it unanswered."""
    while True:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        connection, _ = await asyncio.get_running_loop().sock_accept(shared)
        connection.close()


def test_one_that_stops_leaves_the_rest_to_the_others(runner: asyncio.Runner, shared: socket.socket) -> None:
    async def stop_one() -> None:
        async with taker(shared.dup(), answering("b")) as staying:
            async with taker(shared.dup(), answering("a")) as stopping:
                await stopping.start()
                with connected(shared, 1) as connections:
                    assert await answers_to(connections) == ["a"]
                    await stopping.stop()
                    assert await answers_to(connections) == ["a"]  # what it has taken it serves
            await staying.start()
            with connected(shared, CONNECTIONS) as connections:
                assert set(await answers_to(connections)) == {"b"}

    runner.run(stop_one())


def test_one_that_has_stopped_watches_no_more(runner: asyncio.Runner, shared: socket.socket) -> None:
    """The kernel goes on telling of a socket that others have open, though it is closed here."""

    async def stop_at_once() -> None:
        own = shared.dup()
        descriptor = own.fileno()
        async with taker(own, answering("a")) as site:
            await site.start()
            await site.stop()
            assert not asyncio.get_running_loop().remove_reader(descriptor)

    runner.run(stop_at_once())


def test_a_request_under_way_is_answered_before_the_end(
    runner: asyncio.Runner, shared: socket.socket
) -> None:
    async def stop_while_it_answers() -> None:
        asking, going_on = asyncio.Event(), asyncio.Event()

        async def answer(_: web.Request) -> web.Response:
            asking.set()
            await going_on.wait()
            return web.Response(text="late")

        with connected(shared, 1) as connections:
            async with taker(shared.dup(), answer) as site:
                await site.start()
                asked_for = asyncio.create_task(asked(connections[0]))
                await asking.wait()
                await site.stop()
                asyncio.get_running_loop().call_soon(going_on.set)
            assert await asked_for == "late"

    runner.run(stop_while_it_answers())


def test_a_client_that_left_before_it_was_taken_is_in_nobodys_way(
    runner: asyncio.Runner, shared: socket.socket
) -> None:
    async def leave() -> None:
        with connected(shared, 4) as leaving:
            for connection in leaving:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with connected(shared, 1) as connections:
            async with taker(shared.dup(), answering("a")) as site:
                await site.start()
                assert await answers_to(connections) == ["a"]

    runner.run(leave())


def test_without_a_free_descriptor_it_says_so_and_tries_again(
    runner: asyncio.Runner, shared: socket.socket
) -> None:
    async def run_out() -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.set_result(context["message"])
        )
        with connected(shared, 1) as connections:
            async with taker(shared.dup(), answering("a")) as site:
                await site.start()
                with no_descriptor_left():
                    assert await told == "no connection can be taken; the next attempt is in a second"
                assert await answers_to(connections) == ["a"]

    runner.run(run_out())


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_was_never_started_cannot_be_stopped(runner: asyncio.Runner, shared: socket.socket) -> None:
    async def stop_first() -> None:
        async with taker(shared.dup(), answering("a")) as site:
            with pytest.raises(RuntimeError, match="is not registered"):
                await site.stop()
            await site.start()
            with connected(shared, 1) as connections:
                assert await answers_to(connections) == ["a"]

    runner.run(stop_first())


def serve(shared: socket.socket, ready: Any) -> None:
    """A process of the two."""

    async def make(_: AsyncExitStack) -> web.Application:
        app = web.Application()
        app.router.add_get("/", answering(str(os.getpid())))
        return app

    host, port = shared.getsockname()
    run_until_stopped(Listener(shared, host, port), make, ready.set, supervised=True)


@contextmanager
def two_processes(shared: socket.socket) -> Iterator[list[BaseProcess]]:
    spawn = get_context("spawn")
    ready = [spawn.Event(), spawn.Event()]
    processes: list[BaseProcess] = [spawn.Process(target=serve, args=(shared, event)) for event in ready]
    try:
        for process in processes:
            process.start()
        assert all(event.wait(SECONDS) for event in ready)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


async def test_two_processes_share_connections_that_stay(shared: socket.socket) -> None:
    most = []
    with two_processes(shared) as processes:
        for _ in range(ROUNDS):
            with connected(shared, CONNECTIONS) as connections:
                answers = await answers_to(connections)
            assert set(answers) <= {str(process.pid) for process in processes}
            most.append(max(answers.count(answer) for answer in set(answers)))
    assert median(most) <= AT_MOST, most


async def test_a_process_that_stops_closes_its_connections_and_the_other_goes_on(
    shared: socket.socket,
) -> None:
    with two_processes(shared) as (stopping, staying), connected(shared, CONNECTIONS) as connections:
        answers = await answers_to(connections)
        os.kill(int(str(stopping.pid)), signal.SIGTERM)
        await asyncio.to_thread(stopping.join, SECONDS)
        assert stopping.exitcode == 0
        for connection, answer in zip(connections, answers, strict=True):
            assert await asked(connection) == ("" if answer == str(stopping.pid) else answer)
        with connected(shared, CONNECTIONS) as more:
            assert set(await answers_to(more)) == {str(staying.pid)}
