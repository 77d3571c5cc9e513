"""Sending: a message, its inbox items, its deliveries and the record of its idempotency key, in one transaction.

The caller is answered after the commit; the worker is woken then, and finds the rows by polling where it runs elsewhere. Of a
message that is scheduled only the message and a task are written: at its time the same steps follow in the task's transaction.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from server.commands import spread
from server.commands.attachments import attach, keep
from server.commands.buckets import find, only
from server.commands.outgoing import save_files
from server.commands.people import ensure_people
from server.commands.planned import plan_ahead
from server.commands.repeats import KeyOfSend, Repeats
from server.commands.takeback import take_back
from server.commands.topics import direct_bucket, found_topic
from server.domain.account import Caller
from server.domain.audience import Recipients, find_people, recipients_of
from server.domain.bucket import DIRECT, Bucket, Permission
from server.domain.delivery import Delivery
from server.domain.errors import Fault, Forbidden, Invalid, NotFound
from server.domain.file import ReceivedFile
from server.domain.ids import new_id
from server.domain.message import Message, SendMessage, content_of
from server.domain.outgoing import SAVED_WITHIN
from server.domain.ports import Database, Random, Transaction
from server.domain.scopes import Need
from server.domain.task import Kind, Task
from server.domain.turns import Turns
from server.store import attachments, messages, tasks
from server.store.accounts import find_people as people_named
from server.store.buckets import ensure_readers, find_bucket, is_topic
from server.store.subjects import add_subject


@dataclass(frozen=True)
class Sender:
    """What sending needs; `page` is how many recipients are written at once. `wake` has the workers look for what is due."""

    db: Database
    turns: Turns
    repeats: Repeats
    random: Random
    wake: Callable[[], None]
    page: int


@dataclass(frozen=True)
class Enclosed:
    """Files that came with a request and lie on disk; `per_user`: how many bytes their owner may have."""

    files: Sequence[ReceivedFile]
    per_user: int


NOTHING_ENCLOSED = Enclosed((), 0)


@dataclass(frozen=True)
class Sent:
    """`repeated`: the message was there already, made by an earlier request with the same key."""

    message: Message
    repeated: bool
    deliveries: Sequence[Delivery] = ()  # that were written in the transaction

    @property
    def is_work(self) -> bool:
        """Say whether something was written that workers and streams act on: deliveries, or a task."""
        return not self.repeated and bool(self.deliveries or not self.message.sent_at)


S = TypeVar("S", bound=Sent)


async def send(
    sender: Sender,
    caller: Caller,
    command: SendMessage,
    *,
    key: KeyOfSend | None,
    now: int,
    enclosed: Enclosed = NOTHING_ENCLOSED,
) -> Sent:
    """Send a message, whose attachments name the files that are enclosed.

    NotFound for an unknown bucket, user or attachment, Conflict for an ambiguous name or a key used before, Forbidden, TooLarge.
    """

    async def job(tx: Transaction, turn: int) -> Sent:
        earlier = await sender.repeats.find(tx, key, now)
        if earlier is not None:
            return Sent(earlier, repeated=True)
        for file in enclosed.files:
            await keep(tx, caller.user.id, file, now, per_user=enclosed.per_user)
        sent = await write(tx, sender, caller, command, turn=turn, now=now)
        await sender.repeats.keep(tx, key, sent.message, now)
        return sent

    flow = flow_of(caller, command)
    return await sender.repeats.once(key, lambda: in_turn(sender, flow, job, now))


async def in_turn(sender: Sender, flow: str, job: Callable[[Transaction, int], Awaitable[S]], now: int) -> S:
    """Run what writes a message in one transaction, at the turn of who sends it, and have workers look for what it has written."""
    turn = sender.turns.take(flow, now)
    sent = await sender.db.write(lambda tx: job(tx, turn))
    sender.turns.count(flow, len(sent.deliveries), now)
    if sent.is_work:
        sender.wake()
    return sent


async def write(
    tx: Transaction, sender: Sender, caller: Caller, command: SendMessage, *, turn: int, now: int
) -> Sent:
    """Write a message with all that it leads to, in a transaction of `in_turn`; refuses as `send`."""
    message, deliveries = await _send(
        tx, caller, command, turn=turn, now=now, random=sender.random, page=sender.page
    )
    return Sent(message, repeated=False, deliveries=deliveries)


async def find_sent(sender: Sender, key: KeyOfSend | None, now: int) -> Sent | None:
    """Return what an earlier request with a key has made; InFlight, Conflict where that was another one, Gone where it was retracted."""
    if key is None:
        return None
    sender.repeats.check(key)
    earlier = await sender.db.read(lambda tx: sender.repeats.find(tx, key, now))
    return None if earlier is None else Sent(earlier, repeated=True)


async def release(tx: Transaction, task: Task, *, now: int, random: Random) -> None:
    """Send a scheduled message, in the transaction of its task; take it back where its sender may not write any more."""
    message = await messages.load_message(tx, task.message_id or "")
    if message is None or message.content is None:
        return
    if not await _may_still(tx, message):
        await take_back(tx, message.id, now=now, random=random)
        return
    page = task.payload["page"]
    reach = spread.reach_of(message, message.bucket_id, recipients_of(task.payload))
    audience = await spread.find_audience(tx, reach, page)
    await messages.mark_sent(tx, message.id, audience.users, now)
    await spread.begin(tx, message, audience, turn=now, now=now, random=random)
    await plan_ahead(tx, message, page=page, now=now, random=random)


async def _send(
    tx: Transaction, caller: Caller, command: SendMessage, *, turn: int, now: int, random: Random, page: int
) -> tuple[Message, Sequence[Delivery]]:
    bucket = await _target(tx, caller, command, now, random)
    wanted = await _wanted(tx, caller, command, now, random)
    if bucket.topic_key == DIRECT:
        await ensure_readers(tx, bucket.id, wanted or (), now)
    but = await _excluded(tx, caller, command)
    everyone = bucket.tenant_id if command.everyone and bucket.topic_key == DIRECT else None
    recipients = Recipients(wanted, but, everyone, command.within)
    command = await _with_names(tx, caller, command)
    due_at = _due_at(command, now)
    if due_at is not None:
        message = _new_message(command, caller, bucket, 0, now, random)
        await _add(tx, command, message)
        payload = {**recipients.payload(), "page": page}
        task = Task(new_id(now, random), Kind.SEND, message.id, payload, due_at, 0, now)
        await tasks.add_task(tx, task)
        await save_files(tx, message, now=now, random=random)
        return message, ()
    audience = await spread.find_audience(tx, spread.reach_of(command, bucket.id, recipients), page)
    message = _new_message(command, caller, bucket, audience.users, now, random)
    await _add(tx, command, message)
    written = await spread.begin(tx, message, audience, turn=turn, now=now, random=random)
    await plan_ahead(tx, message, page=page, now=now, random=random)
    return message, written


def flow_of(caller: Caller, command: SendMessage) -> str:
    """Return who takes turns: a tenant whose messages its own server sends is one sender, whomever it names as the user."""
    return caller.tenant_id if _is_managed(caller, command) else f"{caller.tenant_id} {caller.user.id}"


def _is_managed(caller: Caller, command: SendMessage) -> bool:
    """Say whether a message goes to a topic, to everyone or to users by their names, for which no membership counts."""
    named = command.everyone or command.user_ids is not None
    by_name = command.bucket is None and named and caller.grant.only_bucket is None
    return (command.topic is not None or by_name) and caller.grant.meets(Need.MANAGE)


async def _may_still(tx: Transaction, message: Message) -> bool:
    """Say whether a message may go out that was scheduled: its sender still writes there, or its topic is still one."""
    if await is_topic(tx, message.bucket_id):
        return True
    bucket = await find_bucket(tx, message.sender_id or "", message.bucket_id)
    return bucket is not None and bucket.lets(Permission.WRITE)


async def _target(tx: Transaction, caller: Caller, command: SendMessage, now: int, random: Random) -> Bucket:
    """Return the bucket that a message goes to."""
    if not _is_managed(caller, command):
        return await _bucket(tx, caller, command.bucket)
    if command.topic is None:
        return await direct_bucket(tx, caller.tenant_id, now, random)
    return await found_topic(tx, caller.tenant_id, command.topic)


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


async def _wanted(
    tx: Transaction, caller: Caller, command: SendMessage, now: int, random: Random
) -> list[str] | None:
    """Return the ids of the users who are named; who of them may read in the bucket is seen when it is sent."""
    named = command.user_ids
    if named is None:
        return None
    if command.makes_users and caller.grant.meets(Need.MANAGE):
        return await ensure_people(tx, caller.tenant_id, named, now, random)
    people = await people_named(tx, caller.tenant_id, named)
    wanted, faults = find_people(named, people)
    if faults:
        detail = "; ".join(fault.reason for fault in faults)
        raise NotFound(detail, code="user_not_found", faults=faults)
    return wanted


async def _excluded(tx: Transaction, caller: Caller, command: SendMessage) -> list[str]:
    """Return the ids of those who are not to get it; a name that nobody has excludes nobody."""
    if not command.exclude:
        return []
    found, _ = find_people(command.exclude, await people_named(tx, caller.tenant_id, command.exclude))
    return found


async def _with_names(tx: Transaction, caller: Caller, command: SendMessage) -> SendMessage:
    """Return the command with its files under their own names where it gives none.

    A file is its sender's own, or one of a message that its sender may see; NotFound.
    """
    named = {index: one.attachment_id for index, one in enumerate(command.attachments) if one.attachment_id}
    if not named:
        return command
    found = await attachments.find_visible(tx, caller.user.id, list(named.values()))
    faults = [
        Fault(f"attachments[{index}].attachmentUuid", "no such attachment", "name one that you may see")
        for index, attachment_id in named.items()
        if attachment_id not in found
    ]
    if faults:
        raise NotFound("no such attachment", code="attachment_not_found", faults=faults)
    return replace(
        command,
        attachments=tuple(
            replace(one, name=one.name or found[one.attachment_id].name) if one.attachment_id else one
            for one in command.attachments
        ),
    )


async def _add(tx: Transaction, command: SendMessage, message: Message) -> None:
    """Write a message, what it is about, and which files it names."""
    await messages.add_message(tx, message)
    if command.subject is not None:
        await add_subject(tx, message, command.subject)
    for attachment in command.attachments:
        if attachment.attachment_id is not None:
            await attach(tx, message.id, attachment.attachment_id)


def _due_at(command: SendMessage, now: int) -> int | None:
    """Return when a message is sent at the latest that waits: for its time, and for files to be saved; None where it does not."""
    if any(attachment.save for attachment in command.attachments):
        return max(command.send_at or 0, now + SAVED_WITHIN)
    return command.send_at


def _new_message(
    command: SendMessage, caller: Caller, bucket: Bucket, notifications: int, now: int, random: Random
) -> Message:
    sent_at = now if command.send_at is None else command.send_at
    return Message(
        id=new_id(now, random),
        tenant_id=bucket.tenant_id,
        bucket_id=bucket.id,
        sender_id=caller.user.id or None,
        delivery_type=command.delivery_type,
        channels=command.channels,
        category=command.category,
        collapse_id=command.collapse_id,
        content=content_of(command, bucket, sent_at),
        options=command.options,
        created_at=now,
        scheduled_at=command.send_at,
        sent_at=now if _due_at(command, now) is None else None,
        expires_at=sent_at + command.ttl,
        updated_at=None,
        retracted_at=None,
        handed_over=None,
        notifications=notifications,
    )
