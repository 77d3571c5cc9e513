"""Push devices: registered by their push tokens, taken away again; and what channels lead to a user."""

import re
from dataclasses import dataclass
from typing import Annotated, TypedDict

from server.api.bodies import Body, Id, note, own, text
from server.api.describe import describes
from server.api.devices import HANDLE, LONGEST_KEY, SUITES, read_key
from server.api.reading import Fields
from server.commands.push_devices import MOST_DEVICES, PushDevices, list_channels, register, unregister
from server.dialects.socayo.fields import Nothing
from server.dialects.socayo.rpc import Call
from server.domain.delivery import Channel
from server.domain.device import (
    LONGEST_EXTERNAL_ID,
    LONGEST_NAME,
    LONGEST_PUSH_TOKEN,
    Platform,
    RegisterDevice,
)
from server.domain.rules import Wrong

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_TEXT = {"type": ["string", "null"], "minLength": 1}


def _token_rule(token: str) -> Wrong | None:
    if _VISIBLE.fullmatch(token):
        return None
    return "holds what no push token has", "send it as the platform gave it, unchanged"


def _read_token(fields: Fields, name: str, other: str) -> str | None:
    """Read a push token, which must be there where the other field is not."""
    if fields.value(name) is None and fields.value(other) is None:
        fields.fault(name, "is missing", f"send the device's push token, or its {other}")
    return fields.optional(name, most=LONGEST_PUSH_TOKEN, rule=_token_rule)


def _read_suite(fields: Fields, name: str) -> int | None:
    if fields.value(name) is None:
        if fields.value("publicKey") is not None:
            fields.fault(name, "is missing", "send the suite of the key: 1 is X25519, 2 is X-Wing")
        return None
    return fields.whole(name, least=SUITES[0], most=SUITES[-1])


def _read_key(fields: Fields, name: str) -> bytes | None:
    if fields.value(name) is None and fields.value("suite") is None:
        return None
    return read_key(fields, name)


_DEVICE_ID = text("The app's own name for the device, one of the user's.", most=LONGEST_EXTERNAL_ID)


class SocayoDeviceBody(Body, frozen=True, kw_only=True):
    """A device that push messages are to reach."""

    fcm_token: Annotated[
        str | None,
        own(
            lambda fields, name: _read_token(fields, name, "handle"),
            "Its push token: Firebase's, or Apple's where the server is configured for that. The server does not keep it."
            " It may be left out where there is a `handle`.",
            **_TEXT,
            maxLength=LONGEST_PUSH_TOKEN,
        ),
    ] = None
    platform: Annotated[Platform, note("What it runs on.")]
    device_id: Annotated[str, _DEVICE_ID]
    handle: Annotated[str, HANDLE] | None = None
    suite: Annotated[
        int | None,
        own(
            _read_suite,
            "The suite of its key: 1 is X25519, 2 is X-Wing; needed beside `publicKey`.",
            type=["integer", "null"],
            minimum=SUITES[0],
            maximum=SUITES[-1],
        ),
    ] = None
    public_key: Annotated[
        bytes | None,
        own(
            _read_key,
            "Its public key, as base64url without padding. Without one it is only woken, and fetches what there is.",
            **_TEXT,
            maxLength=LONGEST_KEY,
        ),
    ] = None
    name: Annotated[str, text("What it is called, as its user sees it.", most=LONGEST_NAME)] | None = None

    @property
    def command(self) -> RegisterDevice:
        """What is to be registered."""
        return RegisterDevice(
            self.device_id,
            self.platform,
            self.fcm_token,
            self.handle,
            self.suite,
            self.public_key,
            self.name,
        )


class SocayoDeviceNamed(Body, frozen=True, kw_only=True):
    """A device, by its push token or its name."""

    fcm_token: Annotated[
        str | None,
        own(
            lambda fields, name: _read_token(fields, name, "deviceId"),
            "The push token that it was registered with. It may be left out where there is a `deviceId`.",
            **_TEXT,
            maxLength=LONGEST_PUSH_TOKEN,
        ),
    ] = None
    device_id: Annotated[str, _DEVICE_ID] | None = None


class SocayoDeviceView(TypedDict):
    """A device that is registered."""

    id: Annotated[
        Id, note("Its id here: what is sealed for its key is bound to it, and opens with nothing else.")
    ]
    deviceId: Annotated[str, note("The app's own name for it.")]
    registered: Annotated[bool, note("True: push messages go there from now on.")]
    deviceToken: Annotated[
        str,
        note(
            "The device's own token, with which it fetches messages at `/api/v1/device/messages`. It is shown this once; the one before is worthless."
        ),
    ]
    head: Annotated[
        int, note("The last sequence number that it was given: the next message has the one after.")
    ]


class SocayoUnregisteredView(TypedDict):
    """Whether there was something to take away."""

    unregistered: Annotated[bool, note("False: the user had no such device, which is as well.")]


class SocayoChannelView(TypedDict):
    """What leads to a user on a channel."""

    channel: Annotated[Channel, note("The channel.")]
    registered: Annotated[bool, note("Whether the user can be reached on it.")]
    credentialCount: Annotated[int, note("In how many ways: for PUSH, how many devices can be reached.")]


class SocayoChannelsView(TypedDict):
    """What leads to a user."""

    channels: Annotated[list[SocayoChannelView], note("Every channel there is.")]


@dataclass(frozen=True)
class SocayoDevices:
    devices: PushDevices

    @describes(
        "Register a device",
        detail="Without a `handle` the server asks its relay for one. Registering again renews all of it, and has what waits go out;"
        " whoever of a tenant registers a phone last is its owner."
        f" A user has at most {MOST_DEVICES}; of so many one that reaches nobody any more makes room.",
        takes=SocayoDeviceBody,
        gives=SocayoDeviceView,
        errors=("push_not_configured", "relay_unavailable", "handle_by_push", "devices_full"),
    )
    async def register(self, call: Call[SocayoDeviceBody]) -> SocayoDeviceView:
        command = call.body.command
        done = await register(self.devices, call.caller.user, command, now=call.now)
        return SocayoDeviceView(
            id=done.device.id,
            deviceId=command.device_id,
            registered=True,
            deviceToken=done.token,
            head=done.device.head,
        )

    @describes(
        "Unregister a device",
        detail="With all that waits for it. Where the user has no such device, that is no error: it may be said again.",
        takes=SocayoDeviceNamed,
        gives=SocayoUnregisteredView,
    )
    async def unregister(self, call: Call[SocayoDeviceNamed]) -> SocayoUnregisteredView:
        done = await unregister(self.devices, call.caller.user, call.body.fcm_token, call.body.device_id)
        return SocayoUnregisteredView(unregistered=done)

    @describes("Say on which channels the user can be reached", takes=Nothing, gives=SocayoChannelsView)
    async def channels(self, call: Call[Nothing]) -> SocayoChannelsView:
        channels = await list_channels(self.devices.db, call.caller.user)
        return SocayoChannelsView(
            channels=[
                SocayoChannelView(
                    channel=one.channel, registered=one.credentials > 0, credentialCount=one.credentials
                )
                for one in channels
            ]
        )
