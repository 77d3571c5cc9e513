"""The doctor beside a running server, with a relay, providers and a phone: every check there is."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import databases
from tests.harness.process import HUSHPOST, environment
from tests.harness.stack import Stack, running


@pytest.fixture(params=databases.engines())
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
    else:
        with databases.postgres_database(migrated=False) as url:
            yield url


async def examined(stack: Stack, *options: str) -> tuple[int, list[dict[str, str]]]:
    command = await asyncio.create_subprocess_exec(
        *(str(HUSHPOST), "doctor", "--json", "--config", str(stack.server.config), *options),
        env=environment({"HUSHPOST_TOKEN": stack.token}),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await command.communicate()
    return command.returncode or 0, json.loads(out)


async def test_where_everything_works_all_is_well_hop_by_hop(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, database_url=database_url) as stack:
        phone = await stack.pair(platform="ios", suite=2, name="Ada")
        code, found = await examined(stack, "--device", "Ada")
        assert code == 0, found
        doubts = [one for one in found if one["verdict"] != "ok" and one["check"] != "relay"]
        assert doubts == []
        hops = [one["found"].partition(" at ")[0] for one in found if one["check"] == "test push to Ada"]
        assert hops == ["server: stored", "relay: answered", "provider: accepted", "device: received"]
        [before] = [one for one in found if one["check"] == "relay"]
        assert before["verdict"] == "unknown"  # nothing was pushed yet, so no key was trusted

        code, found = await examined(stack)
        [after] = [one for one in found if one["check"] == "relay"]
        assert after["verdict"] == "ok"
        assert "since it saw them first" in after["found"]

        stack.providers.uninstall(phone.pairing.push_token)
        code, found = await examined(stack)
        assert code == 1
        assert [one["fix"] for one in found if one["verdict"] == "failed"] == [
            "open the app on the device: it gets a new handle by itself"
        ]
        await phone.close()
