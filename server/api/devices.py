"""`/api/v1/devices`: a user's devices (pairing code, list, delete, test), and the pairing itself, which a device asks for."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import segno
from aiohttp import web

from server.api.answers import JSON, nothing, show
from server.api.reading import Fields, Query, decode_object, media_type, read_body
from server.commands.devices import (
    Paired,
    ServerAddress,
    create_pairing_code,
    handle_rule,
    list_devices,
    pair,
    pairing_fingerprint,
    read_public_key,
    unpair,
)
from server.commands.probe import TestDevice, test_device
from server.commands.signing import Signer, check_digest
from server.domain.account import Caller
from server.domain.device import LONGEST_NAME, LONGEST_PLATFORM, Device, PairDevice
from server.domain.ports import Clock, Database, Random
from server.domain.timeline import Track, hops
from server.domain.times import show_time

_LONGEST_CODE = 100
_LONGEST_HANDLE = 4096
_LONGEST_KEY = 4096
_SUITES = (1, 2)
_LONGEST_WAIT = 30
_WAIT = 10


@dataclass(frozen=True)
class Devices:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    address: ServerAddress
    signer: Signer

    async def create_code(self, _request: web.Request, caller: Caller) -> web.Response:
        new = await create_pairing_code(
            self.db, caller.user, address=self.address, now=self.clock(), random=self.random
        )
        shown = {
            "code": new.code,
            "link": new.link,
            "qr": await asyncio.to_thread(draw, new.link),
            "expiresAt": show_time(new.expires_at),
        }
        return show(shown, status=201)

    async def pair(self, request: web.Request) -> web.Response:
        uri = self.address.target_uri(request.raw_path)
        body = await read_body(request)
        check_digest(request.headers.get("Content-Digest"), body)
        command = read_pairing(decode_object(body, media_type(request)))
        now = self.clock()
        paired = await pair(self.db, command, now=now, random=self.random)
        answer = orjson.dumps(show_paired(paired, self.address))
        headers = self.signer.pairing_answer(uri, request.headers.items(), answer, JSON, now)
        headers["Content-Type"] = JSON
        return web.Response(body=answer, status=201, headers=headers)

    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        devices = await list_devices(self.db, caller.user)
        return show({"devices": [show_device(device, self.address) for device in devices]})

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await unpair(self.db, caller.user.id, request.match_info["id"].lower())
        return nothing()

    async def test(self, request: web.Request, caller: Caller) -> web.Response:
        command = read_test(Query(request), request.match_info["id"].lower())
        track = await test_device(
            self.db, caller.user, command, now=self.clock(), random=self.random, wake=self.wake
        )
        return show(show_test(track))


def read_pairing(values: dict[str, Any]) -> PairDevice:
    fields = Fields(values)
    code = fields.required("code", most=_LONGEST_CODE)
    name = fields.required("name", most=LONGEST_NAME)
    platform = fields.required("platform", most=LONGEST_PLATFORM)
    suite, key = read_key(fields)
    handle = fields.required("handle", most=_LONGEST_HANDLE, rule=handle_rule)
    fields.check()
    return PairDevice(code, name, platform, suite, key, handle)


def read_key(fields: Fields) -> tuple[int, bytes]:
    """Read `suite` and `publicKey`; a key that no honest device makes is a fault like any other."""
    faults = len(fields.faults)
    suite = fields.whole("suite", least=_SUITES[0], most=_SUITES[-1])
    text = fields.required("publicKey", most=_LONGEST_KEY)
    if len(fields.faults) > faults:
        return suite, b""
    key = read_public_key(suite, text)
    if isinstance(key, tuple):
        fields.fault("publicKey", *key)
        return suite, b""
    return suite, key.raw


def read_test(query: Query, device_id: str) -> TestDevice:
    """Read `wait`, the seconds after which the answer leaves with what is known then."""
    wait = query.number("wait", least=0, most=_LONGEST_WAIT, otherwise=_WAIT)
    query.check()
    return TestDevice(device_id, wait * 1000)


def draw(link: str) -> str:
    """Return a link's QR code as an SVG image; takes milliseconds, so not on the event loop."""
    image = io.BytesIO()
    segno.make(link, error="m").save(image, kind="svg", scale=4, xmldecl=False, title="Pairing code")
    return image.getvalue().decode()


def show_paired(paired: Paired, address: ServerAddress) -> dict[str, Any]:
    """Return the answer of PROTOCOL.md, section 6."""
    return {
        "deviceId": paired.device.id,
        "deviceToken": paired.token,
        "serverKey": address.server_key_text,
        "head": paired.device.head,
    }


def show_device(device: Device, address: ServerAddress) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "platform": device.platform,
        "suite": device.suite,
        "fingerprint": pairing_fingerprint(address.server_key, device),
        "keySetAt": _time(device.key_set_at),
        "reachable": device.handle_set_at is not None,
        "handleSetAt": _time(device.handle_set_at),
        "handleFault": device.handle_fault,
        "lastSeenAt": _time(device.last_seen_at),
        "lastFault": device.last_fault,
        "lastFaultAt": _time(device.last_fault_at),
        "createdAt": show_time(device.created_at),
    }


def show_test(track: Track) -> dict[str, Any]:
    return {
        "deviceId": track.device_id,
        "messageId": track.message_id,
        "deliveryId": track.id,
        "state": track.state.value,
        "attempts": track.attempts,
        "providerId": track.provider_id,
        "hops": [
            {"hop": hop.name, "outcome": hop.outcome, "reason": hop.reason, "at": _time(hop.at)}
            for hop in hops(track)
        ],
    }


def _time(at: int | None) -> str | None:
    return None if at is None else show_time(at)
