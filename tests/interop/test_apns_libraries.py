"""`@parse/node-apn` and `aioapns`, as they come, push to the simulated APNs and understand what it answers."""

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aioapns import APNs, NotificationRequest, PushType

from crypto.encoding import b64u
from simulator.providers import Providers
from tests.harness.others import node

pytestmark = pytest.mark.asyncio(loop_scope="package")

ENVELOPE = b64u(bytes(2944))


def _recorded(providers: Providers, token: str) -> Any:
    [record] = [one for one in providers.recorded if one.token == token]
    return record


async def _node_apn(providers: Providers, *tokens: str) -> Any:
    host, _, port = providers.apns_address.rpartition(":")
    given = {
        "keyFile": str(providers.apns_key_file),
        "keyId": providers.key_id,
        "teamId": providers.team_id,
        "host": host,
        "port": int(port),
        "caFile": str(providers.ca_file),
        "topic": providers.app,
        "id": str(uuid4()),
        "envelope": ENVELOPE,
        "tokens": tokens,
    }
    return given["id"], await node("node_apn.js", given, roots=providers.ca_file)


async def test_node_apn_pushes(providers: Providers) -> None:
    tokens = [providers.token("apns") for _ in range(3)]
    id_, answer = await _node_apn(providers, *tokens)
    assert answer == {"sent": tokens, "failed": []}
    record = _recorded(providers, tokens[0])
    assert record.header("apns-id") == id_
    assert record.header("apns-topic") == providers.app
    assert json.loads(record.payload)["hp"] == ENVELOPE


async def test_node_apn_learns_why_a_token_is_refused(providers: Providers) -> None:
    dead, busy = providers.token("apns"), providers.token("apns")
    providers.uninstall(dead)
    providers.script("apns", reason="BadDeviceToken", token=busy)
    _, answer = await _node_apn(providers, dead, busy)
    assert answer["sent"] == []
    told = {one["device"]: (one["status"], one["reason"]) for one in answer["failed"]}
    assert told == {dead: (410, "Unregistered"), busy: (400, "BadDeviceToken")}


def _lead(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Lead connections for a name elsewhere, below the library: its own option for that, a proxy, needs uvloop."""
    resolve = socket.getaddrinfo

    def led(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == name:
            host, _, port = address.rpartition(":")
        return resolve(host, int(port), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", led)


async def _aioapns(providers: Providers, *tokens: str) -> list[Any]:
    context = ssl.create_default_context(cafile=str(providers.ca_file))
    context.set_alpn_protocols(["h2"])  # it sets none
    client = APNs(
        key=Path(providers.apns_key_file).read_text(encoding="ascii"),  # noqa: ASYNC240 - a few hundred bytes
        key_id=providers.key_id,
        team_id=providers.team_id,
        topic=providers.app,
        ssl_context=context,
    )
    async with asyncio.timeout(20):
        found = [await client.send_notification(_notification(token)) for token in tokens]
    client.pool.close()
    return found


def _notification(token: str) -> NotificationRequest:
    return NotificationRequest(
        device_token=token,
        message={"aps": {"alert": {"loc-key": "HP_NEW_MESSAGE"}}, "hp": ENVELOPE},
        push_type=PushType.ALERT,
    )


async def test_aioapns_pushes_and_learns_why_a_token_is_refused(
    providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lead(monkeypatch, "api.push.apple.com", providers.apns_address)
    fine, dead = providers.token("apns"), providers.token("apns")
    providers.uninstall(dead)
    first, second = await _aioapns(providers, fine, dead)
    assert (first.is_successful, first.status) == (True, "200")
    assert (second.is_successful, second.status, second.description) == (False, "410", "Unregistered")
    assert json.loads(_recorded(providers, fine).payload)["hp"] == ENVELOPE
