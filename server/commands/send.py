"""Sending: a message, its inbox items and its deliveries, in one transaction.

The caller is answered after the commit; the worker is woken then, and finds the rows by polling where it runs elsewhere.
"""

from collections.abc import Callable, Sequence

from server.commands.buckets import find, only
from server.domain.account import Caller
from server.domain.audience import find_people, recipients
from server.domain.bucket import Bucket, Permission
from server.domain.delivery import Channel, Draft, Kind
from server.domain.errors import Forbidden, Invalid, NotFound
from server.domain.ids import new_id, new_push_id
from server.domain.message import DeliveryType, Message, SendMessage, content_of
from server.domain.ports import Database, Random, Transaction
from server.store import buckets, messages, outbox
from server.store.accounts import find_people as people_named
from server.store.devices import devices_of_members


async def send(
    db: Database,
    caller: Caller,
    command: SendMessage,
    *,
    now: int,
    random: Random,
    wake: Callable[[], None],
) -> Message:
    """Send a message; NotFound for an unknown bucket or user, Conflict for an ambiguous name, Forbidden."""

    async def job(tx: Transaction) -> Message:
        bucket = await _bucket(tx, caller, command.bucket)
        audience = await _audience(tx, caller, bucket, command.user_ids)
        message = _new_message(command, caller, bucket, len(audience), now, random)
        await messages.add_message(tx, message)
        await messages.add_inbox_items(
            tx, message.id, [(new_id(now, random), user_id) for user_id in audience], now
        )
        await outbox.enqueue(tx, await _drafts(tx, message, audience, random), now)
        return message

    message = await db.write(job)
    wake()
    return message


async def _bucket(tx: Transaction, caller: Caller, reference: str | None) -> Bucket:
    """Return the bucket that is meant, among those that the caller and the credential may write to."""
    named = reference or caller.grant.only_bucket
    if named is None:
        raise Invalid("this credential needs a bucketId", code="bucket_required")
    found = await find(tx, caller.user.id, named)
    if not found:
        raise NotFound("no such bucket among yours", code="bucket_not_found")
    writable = [bucket for bucket in found if bucket.lets(Permission.WRITE)]
    if not writable:
        raise Forbidden("you may not write to this bucket", code="bucket_forbidden")
    sendable = [bucket for bucket in writable if caller.grant.sends_to(bucket.id)]
    if not sendable:
        raise Forbidden("this access token may not send to this bucket", code="scope_missing")
    return only(sendable)


async def _audience(
    tx: Transaction, caller: Caller, bucket: Bucket, named: Sequence[str] | None
) -> list[str]:
    wanted = None
    if named is not None:
        people = await people_named(tx, caller.user.tenant_id, named)
        wanted, faults = find_people(named, people)
        if faults:
            detail = "; ".join(fault.reason for fault in faults)
            raise NotFound(detail, code="user_not_found", faults=faults)
    return recipients(await buckets.members_of(tx, bucket.id), wanted)


def _new_message(
    command: SendMessage, caller: Caller, bucket: Bucket, notifications: int, now: int, random: Random
) -> Message:
    return Message(
        id=new_id(now, random),
        tenant_id=bucket.tenant_id,
        bucket_id=bucket.id,
        sender_id=caller.user.id,
        delivery_type=command.delivery_type,
        collapse_id=command.collapse_id,
        content=content_of(command, bucket, now),
        created_at=now,
        expires_at=now + command.ttl,
        retracted_at=None,
        notifications=notifications,
    )


async def _drafts(tx: Transaction, message: Message, audience: Sequence[str], random: Random) -> list[Draft]:
    """Return a delivery to each recipient's inbox and, unless it is for the inbox only, to each of their devices."""
    drafts = [draft_of(message, user_id, None, random) for user_id in audience]
    if message.delivery_type is not DeliveryType.NO_PUSH:
        receiving = set(audience)
        drafts += [
            draft_of(message, user_id, device_id, random)
            for device_id, user_id in await devices_of_members(tx, message.bucket_id)
            if user_id in receiving
        ]
    return drafts


def draft_of(message: Message, user_id: str, device_id: str | None, random: Random) -> Draft:
    """Return the delivery of a message to an inbox, or to a device."""
    return Draft(
        id=new_push_id(random),
        message_id=message.id,
        user_id=user_id,
        device_id=device_id,
        channel=Channel.IN_APP if device_id is None else Channel.PUSH,
        kind=Kind.MESSAGE,
        frame_id=message.id,
        body=None,
        suppressed=None,
        due_at=message.created_at,
        expires_at=message.expires_at,
    )
