"""A test push to one device: a real message on the real way, and a wait for what becomes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from server.commands.spread import draft_of
from server.domain.account import DEFAULT_BUCKET, User
from server.domain.bucket import Bucket
from server.domain.delivery import Channel
from server.domain.errors import NotFound
from server.domain.ids import new_id
from server.domain.message import NO_OPTIONS, Category, DeliveryType, Message, SendMessage, content_of
from server.domain.ports import Database, Random, Transaction
from server.domain.timeline import Track
from server.store import buckets, devices, messages, outbox
from server.store.audience import Place
from server.store.timeline import find_track

LIFETIME = 600_000  # a test that arrives later than that tells nobody anything
_LOOK_EVERY = (
    0.1  # seconds: receipts and outcomes may be written by another process, so the row is what to look at
)


@dataclass(frozen=True)
class TestDevice:
    device_id: str
    wait: int  # milliseconds until the answer leaves with whatever is known then


async def test_device(
    db: Database, user: User, command: TestDevice, *, now: int, random: Random, wake: Callable[[], None]
) -> Track:
    """Send a test message to one device of this user and wait for its outcome; NotFound."""
    track = await _send(db, user, command.device_id, now, random)
    wake()
    for _ in range(int(command.wait / 1000 / _LOOK_EVERY)):
        if track.over:
            break
        await asyncio.sleep(_LOOK_EVERY)
        track = await _look(db, track.id)
    return track


async def _send(db: Database, user: User, device_id: str, now: int, random: Random) -> Track:
    async def job(tx: Transaction) -> Track | None:
        device = await devices.find_device(tx, device_id, user.id)
        bucket = await buckets.find_own_bucket(tx, user.id, DEFAULT_BUCKET)
        if device is None or bucket is None:
            raise NotFound("no such device")
        message = _test_message(user, bucket, device.name, now, random)
        await messages.add_message(tx, message)
        place = Place(user.id, device.id)
        draft = replace(
            draft_of(message, place, Channel.PUSH, turn=now, now=now, random=random), activity=None
        )
        await outbox.enqueue(tx, [draft], now)
        return await find_track(tx, draft.id)

    return _found(await db.write(job))


async def _look(db: Database, delivery_id: str) -> Track:
    return _found(await db.read(lambda tx: find_track(tx, delivery_id)))


def _found(track: Track | None) -> Track:
    if track is None:
        raise NotFound("the device was unpaired meanwhile")
    return track


def _test_message(user: User, bucket: Bucket, device_name: str, now: int, random: Random) -> Message:
    command = SendMessage(
        bucket=bucket.id,
        topic=None,
        title="Test",
        subtitle=None,
        body=f"{device_name} receives messages from this server.",
        delivery_type=DeliveryType.NORMAL,
        user_ids=(user.id,),
        makes_users=False,
        everyone=False,
        exclude=(),
        within=None,
        subject=None,
        channels=(Channel.PUSH,),
        category=Category.TRANSACTIONAL,
        data=None,
        deep_link=None,
        collapse_id=None,
        group_id=None,
        sound=None,
        locale=None,
        attachments=(),
        actions=(),
        tap_action=None,
        snoozes=(),
        postpones=(),
        tags=(),
        options=NO_OPTIONS,
        send_at=None,
        ttl=LIFETIME,
    )
    return Message(
        id=new_id(now, random),
        tenant_id=bucket.tenant_id,
        bucket_id=bucket.id,
        sender_id=user.id,
        delivery_type=command.delivery_type,
        channels=command.channels,
        category=command.category,
        collapse_id=None,
        content=content_of(command, bucket, now),
        options=command.options,
        created_at=now,
        scheduled_at=None,
        sent_at=now,
        expires_at=now + command.ttl,
        updated_at=None,
        retracted_at=None,
        handed_over=None,
        notifications=0,
    )
