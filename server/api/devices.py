"""`/api/v1/devices`: a user's devices (pairing code, list, rename, delete, test), and the pairing itself, which a device asks for."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import segno
from aiohttp import web

from server.api.answers import JSON, nothing, show
from server.api.bodies import Body, own, read, read_query, text, whole
from server.api.describe import describes
from server.api.device_views import (
    DeviceList,
    DeviceView,
    PairedView,
    PairingCodeView,
    TestView,
    show_device,
    show_paired,
    show_test,
)
from server.api.reading import Fields, decode_object, media_type, read_body, read_json
from server.commands.devices import (
    ServerAddress,
    create_pairing_code,
    handle_rule,
    list_devices,
    pair,
    read_public_key,
    rename,
    unpair,
)
from server.commands.probe import TestDevice, test_device
from server.commands.signing import Signer, check_digest
from server.domain.account import Caller
from server.domain.device import LONGEST_NAME, LONGEST_PLATFORM, PairDevice
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time

_LONGEST_CODE = 100
_LONGEST_HANDLE = 4096
LONGEST_KEY = 4096
SUITES = (1, 2)
_LONGEST_WAIT = 30
_WAIT = 10


def read_key(fields: Fields, name: str) -> bytes:
    """Read a public key of the suite that stands beside it; one that no honest device makes is a fault like any other."""
    given, suite = fields.required(name, most=LONGEST_KEY), fields.value("suite")
    if not given or suite not in SUITES:
        return b""
    key = read_public_key(suite, given)
    if isinstance(key, tuple):
        fields.fault(name, *key)
        return b""
    return key.raw


class KeyBody(Body, frozen=True, kw_only=True):
    """A device's public key."""

    suite: Annotated[
        int,
        whole("The suite of the key: 1 is X25519, 2 is X-Wing.", least=SUITES[0], most=SUITES[-1]),
    ]
    public_key: Annotated[
        bytes,
        own(
            read_key,
            "The key, as base64url without padding.",
            type="string",
            minLength=1,
            maxLength=LONGEST_KEY,
        ),
    ]


HANDLE = text(
    "The handle that the relay made for the device, unchanged.", most=_LONGEST_HANDLE, rule=handle_rule
)
_NAME = text("What the device is called, as its user sees it.", most=LONGEST_NAME)


class PairingBody(KeyBody, frozen=True, kw_only=True):
    """What a device says of itself when it pairs."""

    code: Annotated[str, text("The pairing code of the link.", most=_LONGEST_CODE)]
    name: Annotated[str, _NAME]
    platform: Annotated[str, text("What it runs on: such as `ios`, `android`, `web`.", most=LONGEST_PLATFORM)]
    handle: Annotated[str, HANDLE]


class DeviceChange(Body, frozen=True, kw_only=True):
    """What is to be different about a device."""

    name: Annotated[str, _NAME]


class TestQuery(Body, frozen=True, kw_only=True):
    """How long to wait for a test's outcome."""

    wait: Annotated[
        int,
        whole("Seconds after which the answer leaves with what is known then.", least=0, most=_LONGEST_WAIT),
    ] = _WAIT


@dataclass(frozen=True)
class Devices:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    address: ServerAddress
    signer: Signer

    @describes(
        "Make a pairing code",
        detail="It is good once, for ten minutes, and is shown this once.",
        gives=PairingCodeView,
        status=201,
    )
    async def create_code(self, _request: web.Request, caller: Caller) -> web.Response:
        new = await create_pairing_code(
            self.db, caller.user, address=self.address, now=self.clock(), random=self.random
        )
        qr = await asyncio.to_thread(draw, new.link)
        shown = PairingCodeView(code=new.code, link=new.link, qr=qr, expiresAt=show_time(new.expires_at))
        return show(shown, status=201)

    @describes(
        "Pair a device",
        detail="The device asks for this itself, with the code of a pairing link. The answer is signed by the server's identity key.",
        takes=PairingBody,
        headers={"Content-Digest": "SHA-256 of the body (RFC 9530); without it the request is refused."},
        gives=PairedView,
        status=201,
        errors=("digest_mismatch", "pairing_code_invalid"),
    )
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

    @describes("List one's devices", gives=DeviceList)
    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        devices = await list_devices(self.db, caller.user)
        return show(DeviceList(devices=[show_device(device, self.address) for device in devices]))

    @describes("Rename a device", takes=DeviceChange, gives=DeviceView)
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(DeviceChange, await read_json(request))
        device = await rename(self.db, caller.user, request.match_info["id"].lower(), body.name)
        return show(show_device(device, self.address))

    @describes(
        "Unpair a device",
        detail="With everything that waits for it. Its token is worthless at once.",
        status=204,
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await unpair(self.db, caller.user.id, request.match_info["id"].lower())
        return nothing()

    @describes(
        "Test a device",
        detail="Sends it a push and tells what came of it at each hop.",
        query=TestQuery,
        gives=TestView,
    )
    async def test(self, request: web.Request, caller: Caller) -> web.Response:
        wait = read_query(TestQuery, request).wait
        command = TestDevice(request.match_info["id"].lower(), wait * 1000)
        track = await test_device(
            self.db, caller.user, command, now=self.clock(), random=self.random, wake=self.wake
        )
        return show(show_test(track))


def read_pairing(values: dict[str, Any]) -> PairDevice:
    body = read(PairingBody, values)
    return PairDevice(body.code, body.name, body.platform, body.suite, body.public_key, body.handle)


def draw(link: str) -> str:
    """Return a link's QR code as an SVG image; takes milliseconds, so not on the event loop."""
    image = io.BytesIO()
    segno.make(link, error="m").save(image, kind="svg", scale=4, xmldecl=False, title="Pairing code")
    return image.getvalue().decode()
