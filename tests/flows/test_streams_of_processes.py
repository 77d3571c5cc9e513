"""Several processes of a server on one PostgreSQL: a stream of one is told what another has committed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import databases
from tests.harness.acting import Acting
from tests.harness.inboxes import following
from tests.harness.native import Native
from tests.harness.stack import Stack, running
from tests.harness.streams import event_stream, until, web_socket

pytestmark = pytest.mark.skipif("postgresql" not in databases.engines(), reason="no PostgreSQL")


@pytest.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    one = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}
    async with running(
        tmp_path, database_url=postgres_url, roles=("api", "worker", "api"), settings=one
    ) as stack:
        yield stack


async def test_a_stream_of_one_process_is_told_what_another_has_done(stack: Stack) -> None:
    first, worker, second = (Native(stack.session, server.url, stack.token) for server in stack.servers)
    async with event_stream(first) as one, web_socket(second) as two:
        for stream in (one, two):
            await until(stream, "counts")

        await stack.send(title="by the first process")
        told = [await until(stream, "notification") for stream in (one, two)]
        assert {it.data["message"]["title"] for it in told} == {"by the first process"}

        await second.call("PATCH", f"/api/v1/notifications/{told[0].data['id']}/read")
        for stream in (one, two):
            assert (await until(stream, "notification")).data["readAt"] is not None

        await stack.send(title="by the worker", delaySeconds=1)
        told = [await until(stream, "notification") for stream in (one, two)]
        assert {it.data["message"]["title"] for it in told} == {"by the worker"}
    assert (await worker.get("/api/v1/live")).status == 404


async def test_an_inbox_is_followed_from_one_process_to_another(stack: Stack) -> None:
    """With one session, and each message once."""
    servers = [Acting(Native(stack.session, one.url, stack.token), "acme") for one in stack.servers]
    first, _, second = (server.for_user("ann") for server in servers)
    token = (await first.rpc("get-inbox-session"))["sessionToken"]

    async def send(server: Acting, title: str) -> None:
        body = {"userId": "ann", "channel": "IN_APP", "content": {"title": title}}
        assert (await server.rpc("manage/send", body)).status == 200

    async with following(stack.session, second.api.url, token) as client:
        await client.until_counted(0, 0)
        await send(servers[0], "a")
        await client.until_received("a")
        await first.rpc("mark-all-inbox-messages", {"status": "SEEN"})
        await client.until_counted(0, 1)
    await send(servers[2], "b")
    async with following(stack.session, first.api.url, token, client.last) as again:
        await send(servers[2], "c")
        await again.until_received("b", "c")
        await again.until_counted(2, 3)
