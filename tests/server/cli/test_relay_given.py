"""What a running relay is given anew may not go together with what it keeps: then it goes on with what it has."""

import signal
from pathlib import Path

import aiohttp
import pytest

from crypto.encoding import b64u
from tests.harness.relays import caller, site
from tests.relay.running import PASS_KEY

STAYS = "not reloaded: the old configuration stays in force"
BY_PASS = f'admission = "pass"\npass_keys = ["{b64u(PASS_KEY.public.raw)}"]'


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_file_that_wants_passes_no_more_does_not_end_a_relay_that_wants_them(
    tmp_path: Path, workers: int
) -> None:
    async with site(tmp_path) as here, aiohttp.ClientSession() as session:
        here.write(more=BY_PASS)
        async with here.relay(workers) as crew:
            relay = caller(crew.url, session)
            here.write()
            for _ in range(2):  # and hears the next one
                crew.process.send_signal(signal.SIGHUP)
                assert (await crew.says(STAYS))["reason"].startswith("relay.pass_keys: admission is by pass")
            assert (await relay.status()).code == "pass_invalid"
