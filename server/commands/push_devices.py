"""Devices that an app's server registers by their push tokens, in the place of pairing.

The server keeps no push token. It has the relay make a handle of it, and keeps an HMAC by which it knows the token again: a token
leads to one phone, and a phone has one owner in a tenant. So whoever registers it last is sent what comes to them, and nobody else's
messages go there any more. A device without a key is only ever woken; it fetches over HTTPS with the token that it is given here.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from crypto.encoding import b64u
from server.commands.callers import DEVICE_TOKEN, token_hash
from server.commands.people import stays
from server.domain.account import User
from server.domain.delivery import Channel
from server.domain.device import MOVED, Device, Platform, RegisterDevice, new_device
from server.domain.errors import Conflict, Fault, Unavailable, invalid
from server.domain.ids import new_id
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.domain.preferences import CHANNELS
from server.domain.relay import AskHandle, NoApp, RelayApp, TokenRefused
from server.store import devices, outbox, pruning

MOST_DEVICES = 100
"""How many a user may have: each message to them is written, sealed and sent so many times, and they go in one transaction."""

_TOKEN_BYTES = 32
_TRIES = 5
_NAMES = {Platform.IOS: "iOS device", Platform.ANDROID: "Android device", Platform.WEB: "Browser"}
_CONFIGURED_LATER = 3_600  # seconds


@dataclass(frozen=True)
class PushDevices:
    """What registering needs. `key` is for HMACs of push tokens, `apps` says whose tokens those of a platform are."""

    db: Database
    random: Random
    key: bytes = field(repr=False)
    apps: Mapping[Platform, RelayApp]
    ask_handle: AskHandle
    wake: Callable[[], None]


@dataclass(frozen=True)
class Registered:
    """The device, and its token, which is shown once."""

    device: Device
    token: str = field(repr=False)


@dataclass(frozen=True)
class RegisteredChannel:
    """How many ways there are to reach somebody on a channel."""

    channel: Channel
    credentials: int


async def register(to: PushDevices, user: User, command: RegisterDevice, *, now: int) -> Registered:
    """Make a device of a user's, or renew the one of that name, and have what waits for it go out.

    The relay is asked before anything is written. Unavailable where it gives no handle, Invalid for a token that is none, Conflict
    where the user has MOST_DEVICES.
    """
    handle = command.handle or await _ask(to, command)
    token, push_hash = DEVICE_TOKEN + b64u(to.random(_TOKEN_BYTES)), _push_hash(to, user, command.token)

    async def job(tx: Transaction) -> Device:
        await stays(tx, user.id)
        found = await devices.lock_registered(tx, user.id, command.device_id, push_hash)
        known = _same_device(found, user, command)
        for other in found:
            if other is not known:
                await _let_go(tx, other, user, to.random)
        device = _device(known, user, command, now, to.random)
        if known is None:
            await _make_room(tx, user)
            await devices.add_device(
                tx, device, handle=handle, token_hash=token_hash(token), push_hash=push_hash
            )
        else:
            await devices.register_again(
                tx, device, handle=handle, token_hash=token_hash(token), push_hash=push_hash
            )
            await outbox.hasten(tx, device.id, now)
        return device

    device = await _write(to.db, job)
    to.wake()
    return Registered(device, token)


async def unregister(to: PushDevices, user: User, token: str | None, device_id: str | None) -> bool:
    """Delete a user's device by its push token or its name, with what waits for it; False where they have none such."""
    push_hash = _push_hash(to, user, token)

    async def job(tx: Transaction) -> bool:
        found = await devices.lock_registered(tx, user.id, device_id, push_hash)
        mine = [device for device in found if device.user_id == user.id]
        for device in mine:
            await _delete(tx, device)
        return bool(mine)

    return await to.db.write(job)


async def list_channels(db: Database, user: User) -> list[RegisteredChannel]:
    """Return every channel with what there is for it: an inbox has everybody who is known."""
    reachable = await db.read(lambda tx: devices.count_reachable(tx, user.id))
    there = {Channel.PUSH: reachable, Channel.IN_APP: 1 if user.id else 0}
    return [RegisteredChannel(channel, there.get(channel, 0)) for channel in CHANNELS]


async def _ask(to: PushDevices, command: RegisterDevice) -> str:
    setting = f"apps.{command.platform.lower()}.app"
    try:
        return await to.ask_handle(to.apps[command.platform], command.token or "")
    except NoApp as error:
        raise Unavailable(
            f"no app is configured for {command.platform}: {error}; the server's operator sets {setting}",
            retry_after=_CONFIGURED_LATER,
            code="push_not_configured",
        ) from None
    except TokenRefused as error:
        raise invalid("fcmToken", "is no push token of this app's provider", str(error)) from None


async def _write(db: Database, job: Callable[[Transaction], Awaitable[Device]]) -> Device:
    """Write a registration, again where another one of the same phone was committed meanwhile."""
    for _ in range(_TRIES):
        with suppress(NotUnique):
            return await db.write(job)
    raise Unavailable("this phone is being registered by others at this moment", retry_after=1)


def _push_hash(to: PushDevices, user: User, token: str | None) -> bytes | None:
    """Return by what a push token is known again, in its tenant and nowhere else: tenants do not learn of each other."""
    if token is None:
        return None
    return hmac.digest(to.key, user.tenant_id.encode() + b"\x00" + token.encode(), "sha256")


def _same_device(found: Sequence[Device], user: User, command: RegisterDevice) -> Device | None:
    """Return the device that is registered again: that of this name, else the one of this token, which has a new name."""
    mine = [device for device in found if device.user_id == user.id]
    named = [device for device in mine if device.external_id == command.device_id]
    return next(iter([*named, *mine]), None)


async def _let_go(tx: Transaction, other: Device, user: User, random: Random) -> None:
    """End another registration of the same phone: of the same user it is one too many, of another the phone is handed on."""
    if other.user_id == user.id:
        await _delete(tx, other)
    else:
        await devices.take_phone(tx, other.id, MOVED, random(_TOKEN_BYTES))


async def _make_room(tx: Transaction, user: User) -> None:
    """Refuse one device more than a user may have, unless one of them reaches nobody: that one goes. Conflict."""
    there = await devices.list_devices(tx, user.id)
    if len(there) < MOST_DEVICES:
        return
    dead = next((device for device in there if device.handle_set_at is None), None)
    if dead is None:
        fault = Fault(
            "deviceId", f"is one more than {MOST_DEVICES}", "unregister one that is not used any more"
        )
        raise Conflict("the user has as many devices as one may have", code="devices_full", faults=[fault])
    await _delete(tx, dead)


async def _delete(tx: Transaction, device: Device) -> None:
    await pruning.drop_deliveries(tx, device.id)
    await devices.delete_device(tx, device.id, device.user_id)


def _device(known: Device | None, user: User, command: RegisterDevice, now: int, random: Random) -> Device:
    """Return the device as it is registered now: all that is not said of it anew is over, but its name."""
    same_key = known is not None and known.public_key == command.public_key
    key_set_at = None if command.public_key is None else now
    device = known or new_device(
        new_id(now, random), user.id, _NAMES[command.platform], command.platform.lower(), now
    )
    return replace(
        device,
        name=command.name or device.name,
        platform=command.platform.lower(),
        suite=command.suite,
        public_key=command.public_key,
        key_set_at=device.key_set_at if same_key else key_set_at,
        handle_set_at=now,
        handle_fault=None,
        external_id=command.device_id,
    )
