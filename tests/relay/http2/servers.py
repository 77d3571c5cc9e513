"""HTTP/2 servers that others wrote, as processes of their own: nghttpd and Node. Where one is missing its tests are skipped, and fail if CI is set."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from simulator.authority import Authority
from tests.harness.ports import free_port

_NODE_SERVER = Path(__file__).with_name("server.mjs")


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


@asynccontextmanager
async def nghttpd(authority: Authority, folder: Path, *options: str, port: int = 0) -> AsyncIterator[int]:
    """Serve the files of a folder; give the port."""
    port = port or free_port()
    leaf = str(authority.leaf)
    fixed = ("--address=127.0.0.1", f"--htdocs={folder}")
    process = await asyncio.create_subprocess_exec(
        program("nghttpd"), *fixed, *options, str(port), leaf, leaf, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(process, port)
        yield port
    finally:
        await _stop(process)


@asynccontextmanager
async def node(authority: Authority) -> AsyncIterator[int]:
    """Serve what `server.mjs` says; give the port."""
    process = await asyncio.create_subprocess_exec(
        program("node"), str(_NODE_SERVER), str(authority.leaf), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield int(await process.stdout.readline())
    finally:
        await _stop(process)


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(30):
        while process.returncode is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
    pytest.fail(f"nghttpd ended with {process.returncode}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    # asyncio leaves the pipes of a process to be collected; here they are closed when it is over.
    process._transport.close()  # type: ignore[attr-defined]
