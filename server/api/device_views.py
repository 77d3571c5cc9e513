"""Devices, pairing and tests of devices as the API shows them."""

from typing import Annotated, TypedDict

from server.api.bodies import Id, Time, note
from server.commands.devices import Paired, ServerAddress, pairing_fingerprint
from server.domain.delivery import State
from server.domain.device import Device
from server.domain.timeline import Track, hops
from server.domain.times import show_time, show_when


class PairingCodeView(TypedDict):
    """A code with which one device can pair."""

    code: Annotated[str, note("The code itself. It is shown this once.")]
    link: Annotated[str, note("What the device opens: the server, its key, the relay and the code.")]
    qr: Annotated[str, note("The link as a QR code: an SVG image.")]
    expiresAt: Annotated[Time, note("Until when it is good.")]


class PairedView(TypedDict):
    """What a device keeps of its pairing (PROTOCOL.md, section 6)."""

    deviceId: Annotated[Id, note("The device's id.")]
    deviceToken: Annotated[str, note("The device's own token. It is shown this once.")]
    serverKey: Annotated[str, note("The server's public identity key, as base64url.")]
    head: Annotated[
        int, note("The sequence number of the newest message: the device fetches what comes after.")
    ]


class DeviceView(TypedDict):
    """A paired or registered device."""

    id: Id
    name: Annotated[str, note("What it is called.")]
    platform: Annotated[str, note("What it runs on.")]
    externalId: Annotated[
        str | None, note("The app's own name for it, where the app's server registered it.")
    ]
    suite: Annotated[
        int | None, note("The suite of its key; null: it has none, and is only woken to fetch what there is.")
    ]
    fingerprint: Annotated[
        str | None, note("What both sides show, to be compared by eye; null: it has no key.")
    ]
    keySetAt: Annotated[Time | None, note("When it brought its key.")]
    reachable: Annotated[bool, note("Whether it has a handle that pushes go to.")]
    handleSetAt: Annotated[Time | None, note("When it brought its handle.")]
    handleFault: Annotated[str | None, note("Why its handle is no good any more.")]
    lastSeenAt: Annotated[Time | None, note("When it was last heard of, as of half a minute ago.")]
    lastFault: Annotated[str | None, note("What went wrong last with a push to it.")]
    lastFaultAt: Annotated[Time | None, note("When that was.")]
    createdAt: Annotated[Time, note("When it was paired or first registered.")]


class DeviceList(TypedDict):
    """One's devices."""

    devices: Annotated[list[DeviceView], note("The caller's devices.")]


class TestHopView(TypedDict):
    """One step of a test's push."""

    hop: Annotated[str, note("Where: such as `queued`, `relay`, `provider`, `device`.")]
    outcome: Annotated[str, note("What happened there.")]
    reason: Annotated[str | None, note("Why it went no further.")]
    at: Annotated[Time | None, note("When; null: it has not happened, or is not known.")]


class TestView(TypedDict):
    """What is known of a test's push."""

    deviceId: Annotated[Id | None, note("The device.")]
    messageId: Annotated[Id | None, note("The test's message.")]
    deliveryId: Annotated[Id, note("The test's delivery.")]
    state: Annotated[State, note("How far it is.")]
    attempts: Annotated[int, note("How often it was tried.")]
    providerId: Annotated[str | None, note("The push's id at Apple, Google or the push service.")]
    hops: Annotated[list[TestHopView], note("Every step, in their order.")]


def show_paired(paired: Paired, address: ServerAddress) -> PairedView:
    return PairedView(
        deviceId=paired.device.id,
        deviceToken=paired.token,
        serverKey=address.server_key_text,
        head=paired.device.head,
    )


def show_device(device: Device, address: ServerAddress) -> DeviceView:
    return DeviceView(
        id=device.id,
        name=device.name,
        platform=device.platform,
        externalId=device.external_id,
        suite=device.suite,
        fingerprint=pairing_fingerprint(address.server_key, device),
        keySetAt=show_when(device.key_set_at),
        reachable=device.handle_set_at is not None,
        handleSetAt=show_when(device.handle_set_at),
        handleFault=device.handle_fault,
        lastSeenAt=show_when(device.last_seen_at),
        lastFault=device.last_fault,
        lastFaultAt=show_when(device.last_fault_at),
        createdAt=show_time(device.created_at),
    )


def show_test(track: Track) -> TestView:
    return TestView(
        deviceId=track.device_id,
        messageId=track.message_id,
        deliveryId=track.id,
        state=track.state,
        attempts=track.attempts,
        providerId=track.provider_id,
        hops=[
            TestHopView(hop=hop.name, outcome=hop.outcome, reason=hop.reason, at=show_when(hop.at))
            for hop in hops(track)
        ],
    )
