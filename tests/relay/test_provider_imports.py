"""What a relay loads: the clients that are kept for comparison, and Google's library, only where they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator.providers import Providers

ROOT = Path(__file__).parents[2]
RARE = ("aioapns", "h2", "pyfcm", "requests", "google.auth", "urllib3")
PROGRAM = """
import asyncio, sys
import relay.app
from pathlib import Path
from prometheus_client import CollectorRegistry
from relay.config import ApnsApp, ApnsClient, Environment, FcmClient, FcmProject
from relay.providers.apns import apns_providers
from relay.providers.fcm import fcm_providers
from relay.providers.signs import Signs
import structlog

apns, fcm, key, account = sys.argv[1:5]
apps = (ApnsApp("org.hushpost.app", Environment.PRODUCTION, "K", "T", Path(key).read_text(), "127.0.0.1", 1, None,
                ApnsClient(apns)),) if apns else ()
projects = (FcmProject("hushpost-app", Path(account).read_text(), "https://127.0.0.1:1", None, FcmClient(fcm)),) if fcm else ()

async def open_and_close():
    kinds = dict(in_flight=1, clock=lambda: 0.0, signs=Signs(CollectorRegistry(), structlog.get_logger()))
    for provider in (*apns_providers(apps, **kinds), *fcm_providers(projects, **kinds)):
        await provider.open()
        assert provider.trouble is None
        await provider.close()

asyncio.run(open_and_close())
print(*(name for name in sys.argv[5:] if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("apns", "fcm", "loaded"),
    [
        ("http2", "", set()),
        ("http2", "http2", {"google.auth", "urllib3"}),
        ("aioapns", "", {"aioapns", "h2"}),
        ("", "aiohttp", {"google.auth", "urllib3", "pyfcm", "requests"}),
    ],
)
async def test_only_what_is_selected_is_loaded(
    providers: Providers, apns: str, fcm: str, loaded: set[str]
) -> None:
    files = (str(providers.apns_key_file), str(providers.service_account_file))
    done = subprocess.run(  # noqa: ASYNC221  nothing else runs here
        [sys.executable, "-c", PROGRAM, apns, fcm, *files, *RARE],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert set(done.stdout.split()) == loaded
