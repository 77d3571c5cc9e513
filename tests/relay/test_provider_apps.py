"""A relay for many apps: what one more of them costs."""

import subprocess
import sys
from pathlib import Path

from simulator.providers import Providers

ROOT = Path(__file__).parents[2]
APPS = 50
LARGEST = 12
"""MiB for all of them; the system's roots alone are more than half of one."""
PROGRAM = """
import asyncio, sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from relay.config import ApnsApp, Environment
from relay.providers.apns import apns_providers
from relay.providers.signs import Signs
import structlog

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

async def opened(many):
    apps = tuple(ApnsApp(f"org.hushpost.{n}", Environment.PRODUCTION, "K", "T", Path(sys.argv[1]).read_text(), "127.0.0.1", 1,
                         None) for n in range(many))
    signs = Signs(CollectorRegistry(), structlog.get_logger())
    providers = apns_providers(apps, in_flight=1, clock=lambda: 0.0, signs=signs)
    for provider in providers:
        await provider.open()
    return providers

async def measure():
    one = await opened(1)
    before = resident()
    many = await opened(int(sys.argv[2]))
    print(resident() - before)
    for provider in (*one, *many):
        await provider.close()

asyncio.run(measure())
"""


async def test_apps_share_the_roots_that_they_trust(providers: Providers) -> None:
    done = subprocess.run(  # noqa: ASYNC221  nothing else runs here
        [sys.executable, "-c", PROGRAM, str(providers.apns_key_file), str(APPS)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert float(done.stdout) < LARGEST
