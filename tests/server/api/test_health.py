"""Whether it runs, whether it can work, and its figures."""

import asyncio
import secrets
import time

from server.api.health import Pulse
from server.commands.accounts import prepare
from server.domain.ports import Database
from tests.harness.announced import Announced
from tests.server.conftest import House, Person


async def test_a_running_server_is_alive_and_ready(house: House) -> None:
    """For anyone to ask."""
    assert (await house.api.get("/healthz")).json == {"status": "ok"}
    assert (await house.api.get("/readyz")).json == {"status": "ready"}


async def test_without_a_worker_it_is_alive_but_not_ready(house: House) -> None:
    """And says which part does not work; the log says why."""
    house.wakes.fail.set()
    async with asyncio.timeout(5):
        while (answer := await house.api.get("/readyz")).status == 200:
            pass  # each request gives the worker its turn
    assert (answer.status, answer.code, answer["detail"]) == (503, "not_ready", "not working: outbox")
    assert answer.headers["Retry-After"] == "2"
    assert (await house.api.get("/healthz")).status == 200
    [line] = [line for line in house.log.entries if line["event"] == "a worker has stopped"]
    assert line["worker"] == "outbox"


async def test_without_a_database_it_answers_that_and_no_trace(house: House, admin: Person) -> None:
    """What a client may try again says so."""
    await house.pieces.db.close()
    ready = await house.api.get("/readyz")
    assert (ready.status, ready["detail"]) == (503, "not working: database")
    answer = await admin.api.get("/api/v1/users/me")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "2"


async def test_however_many_ask_at_once_the_database_is_asked_once(database: Database) -> None:
    """It is open to anybody, and each question is a write."""
    announced = Announced(database)
    await prepare(announced, now=1, random=secrets.token_bytes)
    before = announced.asked
    pulse = Pulse(announced, time.monotonic)
    assert await asyncio.gather(*(pulse.works() for _ in range(100))) == [True] * 100
    assert announced.asked == before + 1


async def test_metrics_show_that_no_delivery_is_lost(house: House, admin: Person) -> None:
    """Created = what is in one of the states; requests are counted by route and not by path."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    await house.phone(admin)
    await house.send(admin.api, bucket)
    await admin.api.get(f"/api/v1/buckets/{bucket}")
    house.clock.advance(90_000)
    text = (await admin.api.get("/metrics")).body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures['hushpost_deliveries{state="waiting"}'] == "2.0"
    assert figures['hushpost_deliveries{state="accepted"}'] == "1.0"
    assert figures["hushpost_deliveries_created"] == "3.0"
    assert figures["hushpost_deliveries_lost"] == "0.0"
    assert figures["hushpost_outbox_due"] == "2.0"
    assert figures["hushpost_outbox_oldest_seconds"] == "90.0"
    asked = 'hushpost_http_requests_total{method="GET",route="/api/v1/buckets/{bucket}",status="200"}'
    assert figures[asked] == "1.0"
    assert bucket not in text
