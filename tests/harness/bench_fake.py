"""A provider that is not the bottleneck: what a relay is measured against.

At once it is nghttpd (Debian's nghttp2-server), which answers some 300,000 pushes a second on one core: files of its own stand
where APNs has device tokens and FCM its send method. nginx was tried and is not used: it takes pushes, which are all
body and no answer, for a flood and closes the connection every 13,000. Where nghttpd is missing, or where each answer shall
take a while, it is the frame reader of `bench_fake_late`, a process of its own as well.

No provider token is looked at, and nothing is recorded: for that there is the simulator.
"""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from simulator.authority import make_authority
from tests.harness.ports import free_port
from tests.harness.process import LOOK_SECONDS, START_SECONDS, confined

HOST = "127.0.0.1"
STREAMS = 1_000
WINDOW_BITS = 24
FCM_ANSWER = '{"name":"projects/hushpost-app/messages/0"}'


@dataclass(frozen=True)
class Fake:
    """Answers 200 to every push. `name` says what it is; the addresses are for `[[relay.apns]]` and `[[relay.fcm]]`."""

    name: str
    pid: int
    host: str
    apns_port: int
    fcm_port: int
    ca_file: Path

    @property
    def fcm_url(self) -> str:
        """The end point only; Google's token end point is the simulator's."""
        return f"https://{self.host}:{self.fcm_port}"


@asynccontextmanager
async def fake_provider(
    directory: Path,
    *,
    tokens: Iterable[str],
    project: str,
    delay: float = 0.0,
    cpus: Collection[int] = (),
) -> AsyncIterator[Fake]:
    """Serve these APNs tokens and this FCM project; each answer after `delay` seconds.

    `directory` may be that of the simulated providers, whose certificate is taken then, so that one `ca_file` does for both.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca_file, leaf = directory / "ca.pem", directory / "leaf.pem"
    if not leaf.exists():
        ca_file.write_text(make_authority(leaf, now=datetime.now(UTC)).certificate, encoding="ascii")
    starting = (
        _late(leaf, delay) if delay or not has_nghttpd() else _nghttpd(directory, leaf, tokens, project)
    )
    with confined(cpus):
        name, process, ports = await starting
    try:
        await asyncio.gather(*(_listens(process, port) for port in ports))
        yield Fake(name, process.pid, HOST, ports[0], ports[-1], ca_file)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def has_nghttpd() -> bool:
    return shutil.which("nghttpd") is not None


Started = tuple[str, asyncio.subprocess.Process, list[int]]


async def _nghttpd(directory: Path, leaf: Path, tokens: Iterable[str], project: str) -> Started:
    root = directory / "answers"
    _write_answers(root, tokens, project)
    port = free_port()
    command = (
        *("nghttpd", f"--htdocs={root}", f"--address={HOST}", f"--max-concurrent-streams={STREAMS}"),
        *(f"--window-bits={WINDOW_BITS}", f"--connection-window-bits={WINDOW_BITS}"),
        *(str(port), str(leaf), str(leaf)),
    )
    return "nghttpd", await asyncio.create_subprocess_exec(*command, stdout=DEVNULL), [port]


def _write_answers(root: Path, tokens: Iterable[str], project: str) -> None:
    devices = root / "3" / "device"
    devices.mkdir(parents=True, exist_ok=True)
    for token in tokens:
        (devices / token).touch()
    send = root / "v1" / "projects" / project / "messages:send"
    send.parent.mkdir(parents=True, exist_ok=True)
    send.write_text(FCM_ANSWER)


async def _late(leaf: Path, delay: float) -> Started:
    command = (sys.executable, "-m", "tests.harness.bench_fake_late", str(leaf), str(delay), FCM_ANSWER)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    ports: list[int] = json.loads(await process.stdout.readline())
    return f"frame reader, {delay * 1000:.0f} ms", process, ports


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"the fake provider ended at its start with {process.returncode}")
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                writer.close()
                return
