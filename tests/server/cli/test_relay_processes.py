"""`hushpost relay`: real processes, one or several behind one address, signals, and simulated providers."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil
import pytest

from crypto.keys import EpochKey
from tests.harness.crew import SECONDS, Crew
from tests.harness.relays import ADMITTED, Load, Site, caller, site
from tests.relay.running import EPOCH, RELAY_KEY, STRANGER_KEY, Answer, Relay, push

MANY = 40  # new connections: they are not all of one process
BOTH = [1, 2]
OTHER_EPOCH = EpochKey(8, bytes([9]) * 32)
READ = "the configuration was read anew"
STAYS = "not reloaded: the old configuration stays in force"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Makes a new connection for each request, so that any of the processes may take it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def stranger(crew: Crew, session: aiohttp.ClientSession) -> Answer:
    """The answer to a server that is not on the list."""
    return await caller(crew.url, session).status(key=STRANGER_KEY)


async def ready(crew: Crew, session: aiohttp.ClientSession) -> int:
    return (await caller(crew.url, session).send("GET", "/readyz")).status


def told(crew: Crew) -> int:
    """How often processes of a relay have said that they took something over."""
    return sum(line.get("event") == "reloaded" for line in crew.lines)


async def reloaded(crew: Crew, workers: int) -> None:
    """Wait until each process has taken over what was read."""
    before = told(crew)
    while told(crew) < before + workers:
        await crew.says("reloaded")


async def ask_for_ever(relay: Relay) -> None:
    while True:
        await relay.status()


def assert_once(load: Load) -> None:
    """Everything that was sent was accepted, and came to the provider once."""
    came = Counter(one.header("apns-id") for one in load.providers.recorded)
    assert came.keys() == load.accepted.keys()
    assert set(came.values()) == {1}
    assert load.accepted


def test_a_process_has_nothing_in_memory_that_a_relay_has_no_need_of() -> None:
    code = "import sys\nfrom server.cli.lean import without_rich\nwithout_rich()\nimport server.cli.relay_process, server.cli.relay_crew\n"
    code += "print(*sorted(name for name, module in sys.modules.items() if module is not None))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True, text=True)
    loaded = set(done.stdout.split())
    assert "relay.app" in loaded
    heavy = {
        "typer",
        "click",
        "rich",
        "sqlalchemy",
        "alembic",
        "asyncpg",
        "sqlite3",
        "redis",
        "jwt",
        "aioapns",
        "h2",
        "pyfcm",
        "google.auth",
    }
    assert loaded & heavy == set()
    assert not [name for name in loaded if name.startswith(("server.store", "server.worker", "server.api"))]


@pytest.mark.parametrize("workers", BOTH)
async def test_who_is_added_to_the_list_is_admitted_after_a_hangup_and_no_request_is_lost(
    here: Site, session: aiohttp.ClientSession, workers: int
) -> None:
    async with here.relay(workers) as crew, Load([crew.url], here.providers).running() as load:
        await load.more(50)
        assert (await stranger(crew, session)).code == "key_not_admitted"
        here.write([*ADMITTED, STRANGER_KEY.public.id])
        crew.process.send_signal(signal.SIGHUP)
        assert (await crew.says(READ))["allowlist"] == "2 (+1 -0)"
        await reloaded(crew, workers)
        for _ in range(10):
            assert (await stranger(crew, session)).status == 200
        await load.more(50)
    assert_once(load)
    assert (load.refused, load.broken) == ([], [])


@pytest.mark.parametrize("workers", BOTH)
async def test_a_bad_file_changes_nothing_and_the_log_says_why(
    here: Site, session: aiohttp.ClientSession, workers: int
) -> None:
    async with here.relay(workers) as crew:
        here.write(more='pass_keys = ["short"]')
        crew.process.send_signal(signal.SIGHUP)
        assert (await crew.says(STAYS))["reason"].startswith("relay.pass_keys: each must be")
        here.file.write_text("[relay\n")
        crew.process.send_signal(signal.SIGHUP)
        assert "is not TOML" in (await crew.says(STAYS))["reason"]
        here.file.unlink()
        crew.process.send_signal(signal.SIGHUP)
        assert "cannot be read" in (await crew.says(STAYS))["reason"]
        assert (await caller(crew.url, session).status()).status == 200
        here.write([])
        crew.process.send_signal(signal.SIGHUP)
        assert (await crew.says(READ))["allowlist"] == "0 (+0 -1)"
        await reloaded(crew, workers)
        assert (await caller(crew.url, session).status()).code == "key_not_admitted"


@pytest.mark.parametrize("workers", BOTH)
async def test_an_epoch_that_is_taken_out_revokes_its_handles_without_a_restart(
    here: Site, session: aiohttp.ClientSession, workers: int
) -> None:
    async with here.relay(workers) as crew:
        relay = caller(crew.url, session)
        handle = relay.handle(here.providers.token("apns"))
        assert [one.status for one in await relay.push(push(handle))] == ["accepted"]
        here.write_keys(RELAY_KEY.text, OTHER_EPOCH.text)
        crew.process.send_signal(signal.SIGHUP)
        said = await crew.says(READ)
        assert said["epochs"] == "1 (+1 -1)"
        await reloaded(crew, workers)
        assert [one.reason for one in await relay.push(push(handle, 2))] == ["handle_invalid"]
        for secret in (RELAY_KEY.text, EPOCH.text, OTHER_EPOCH.text):
            assert secret.rpartition(":")[2] not in str(crew.lines)


async def test_what_wants_a_restart_is_named_and_left_as_it_was(here: Site) -> None:
    async with here.relay(2) as crew:
        here.write([], more="handle_days = 7")
        crew.process.send_signal(signal.SIGHUP)
        said = await crew.says(READ)
        assert (said["allowlist"], said["restart_for"]) == ("0 (+0 -1)", ["handle_days"])


async def test_a_process_that_is_started_later_has_what_the_others_have(
    here: Site, session: aiohttp.ClientSession
) -> None:
    """Not what lies on the disk by then, which may be bad."""
    async with here.relay(2) as crew:
        here.write([*ADMITTED, STRANGER_KEY.public.id])
        crew.process.send_signal(signal.SIGHUP)
        await reloaded(crew, 2)
        here.file.unlink()
        for child in crew.children:
            child.kill()
            await crew.says("a process serves in the other's place")
        for _ in range(10):
            answer = await stranger(crew, session)
            assert answer.status == 200 or answer.code == "starting"


async def test_processes_share_connections_and_each_shows_the_figures_of_all(
    here: Site, session: aiohttp.ClientSession
) -> None:
    async with here.relay(2) as crew, Load([crew.url], here.providers, clients=16).running() as load:
        await load.more(400)
        busy = [child.cpu_times().user + child.cpu_times().system for child in crew.children]
        assert min(busy) > max(busy) / 5
    async with here.relay(2) as crew:
        relay = caller(crew.url, session)
        for number in range(20):
            await relay.push(push(relay.handle(here.providers.token("apns")), number))
        for _ in range(6):
            text = (await relay.send("GET", "/metrics")).body.decode()
            figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            accepted = [
                value
                for name, value in figures.items()
                if re.match(r"hushpost_relay_pushes_total.*accepted", name)
            ]
            assert accepted == ["20.0"]
            assert figures["hushpost_relay_pushes_in_flight"] == "0.0"
            assert not [name for name in figures if re.search(r"[{,]pid=", name)]


async def test_a_request_under_way_is_finished_and_the_next_on_its_connection_told_to_go(here: Site) -> None:
    here.providers.script("apns", kind="delay", delay=0.7)
    async with here.relay(1) as crew, aiohttp.ClientSession() as one, aiohttp.ClientSession() as two:
        slow, kept = caller(crew.url, one), caller(crew.url, two)
        assert (await kept.status()).status == 200
        handle = slow.handle(here.providers.token("apns"))
        under_way = asyncio.create_task(slow.push(push(handle)))
        await here.providers.until(lambda recorded: len(recorded) > 0)
        crew.process.terminate()
        while (refused := await kept.status()).status == 200:
            pass
        assert (refused.status, refused.code) == (503, "draining")
        assert refused.headers["Connection"] == "close"
        assert refused.headers["Retry-After"] == "1"
        assert [one.status for one in await under_way] == ["accepted"]
        assert await crew.ends() == 0


async def test_nobody_waits_for_a_relay_that_is_ending(here: Site, session: aiohttp.ClientSession) -> None:
    """Its socket is closed while a request is still under way: a proxy goes to the next one at once."""
    here.providers.script("apns", kind="delay", delay=1)
    async with here.relay(2) as crew:
        relay = caller(crew.url, session)
        under_way = asyncio.create_task(relay.push(push(relay.handle(here.providers.token("apns")))))
        await here.providers.until(lambda recorded: len(recorded) > 0)
        crew.process.terminate()
        await crew.says("stopping")
        async with asyncio.timeout(SECONDS):
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask_for_ever(relay)
        assert not under_way.done()
        assert [one.status for one in await under_way] == ["accepted"]


async def test_a_process_that_is_stopped_closes_connections_that_say_nothing(here: Site) -> None:
    async with here.relay(1) as crew:
        host, _, port = crew.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'"ok"}')
        crew.process.terminate()
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        writer.close()
        assert await crew.ends() == 0


async def test_no_push_is_lost_or_doubled_while_one_process_after_the_other_is_restarted(here: Site) -> None:
    async with here.relay(2) as crew, Load([crew.url], here.providers).running() as load:
        await load.more(100)
        for child in crew.children:
            child.terminate()
            await crew.says("a process serves in the other's place")
            await load.more(100)
    assert_once(load)


async def test_no_push_is_lost_or_doubled_while_a_whole_relay_is_replaced(here: Site) -> None:
    """Two supervisors, as two machines have, one after the other; a server that tries again does not notice."""
    async with AsyncExitStack() as stack:
        old, other = [await stack.enter_async_context(here.relay(2)) for _ in range(2)]
        async with Load([old.url, other.url], here.providers).running() as load:
            await load.more(100)
            old.process.terminate()
            assert await old.ends() == 0
            await load.more(100)
            new = await stack.enter_async_context(here.relay(2))
            load.urls = [other.url, new.url]
            other.process.terminate()
            assert await other.ends() == 0
            await load.more(100)
        assert_once(load)


async def test_every_process_is_unready_while_one_is_refused_its_credentials(
    here: Site, session: aiohttp.ClientSession
) -> None:
    async with here.relay(2) as crew:
        relay = caller(crew.url, session)
        assert await ready(crew, session) == 200
        here.providers.script("apns", reason="InvalidProviderToken", status=403, times=1)
        [refused] = await relay.push(push(relay.handle(here.providers.token("apns"))))
        assert refused.reason == "credentials_refused"
        async with asyncio.timeout(SECONDS):
            while [await ready(crew, session) for _ in range(MANY)] != [503] * MANY:
                pass
        said = (await relay.send("GET", "/readyz")).document
        assert {one["app"] for one in said["troubles"]} == {here.providers.app}
        async with asyncio.timeout(SECONDS):
            while [await ready(crew, session) for _ in range(MANY)] != [200] * MANY:
                await relay.push(push(relay.handle(here.providers.token("apns"))))


async def test_a_hangup_before_it_serves_does_not_end_it(here: Site) -> None:
    async with here.relay(2) as crew:
        for child in crew.children:
            os.kill(child.pid, signal.SIGHUP)
        crew.process.send_signal(signal.SIGHUP)
        await reloaded(crew, 2)
        assert all(psutil.pid_exists(child.pid) for child in crew.children)
        assert len(crew.children) == 2
