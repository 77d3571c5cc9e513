"""`hushpost devices` with a device that an app's server has registered, and what such a server is told where there is no relay."""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import structlog
from prometheus_client import CollectorRegistry

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from server.cli.to_relay import to_relay
from server.config import Settings
from server.domain.errors import Unavailable
from server.domain.ports import Database
from server.domain.relay import RelayApp
from tests.server.cli.conftest import Up

HANDLE = b64u(b"\x01" + bytes(4 + 12 + 512 + 16))


def register(up: Up, **device: Any) -> int:
    async def ask() -> int:
        url = f"{up.url}/api/v1/notifications/register-push-device"
        headers = {"Authorization": f"Bearer {up.token}"}
        body = {"platform": "ANDROID", "deviceId": "pixel", **device}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, headers=headers) as answer,
        ):
            return answer.status

    return asyncio.run(ask())


def test_a_device_without_a_key_is_listed_as_one_that_is_only_woken(up: Up) -> None:
    assert register(up, handle=HANDLE, name="Pixel") == 200
    [line] = up.run("devices", "list").out.splitlines()
    device_id, said = line.split("  ", 1)
    assert said == "Pixel  android  reachable  no key: it is only woken"
    assert up.run("devices", "delete", device_id).code == 0
    assert up.run("devices", "list").out == ""


def test_where_the_relay_has_no_app_nothing_is_registered(up: Up) -> None:
    assert register(up, fcmToken="firebase-cloud-messaging-token") == 503
    assert up.run("devices", "list").out == ""


async def test_a_server_without_a_relay_says_which_setting_it_lacks(database: Database) -> None:
    async with AsyncExitStack() as resources:
        identity = IdentityKey.generate(os.urandom)
        relay = await to_relay(
            Settings(), identity, database, CollectorRegistry(), resources, structlog.get_logger()
        )
        with pytest.raises(Unavailable, match=r"server\.relay_url") as refused:
            await relay.ask_handle(RelayApp("fcm", "project", "production"), "token")
    assert refused.value.reason == "relay_unavailable"
