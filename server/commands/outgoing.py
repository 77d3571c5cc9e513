"""What is asked of others over HTTP: queued with what causes it, claimed, and settled with what follows from it.

The requests themselves are made between two transactions, by the worker (`server/worker/outgoing.py`). If it dies in between, the
request is made again under the same id.

A message with files of which the server keeps copies is held until they are there or cannot be had, a minute at the longest: its task
of kind SEND waits until then, and is pulled forward when the last of them is settled.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from server.commands.attachments import attach, keep
from server.domain.errors import TooLarge
from server.domain.file import ReceivedFile
from server.domain.ids import new_id
from server.domain.message import Message
from server.domain.outgoing import SAVED_WITHIN, Attempt, Kind, Reason, Request, settle
from server.domain.ports import Database, Random, Transaction
from server.store import messages, outgoing, tasks


def host_of(url: str) -> str:
    """Return whom a URL asks, as far as it says: requests to one host share its places."""
    try:
        return (urlsplit(url).hostname or "")[:255]
    except ValueError:
        return ""


async def claim(
    db: Database, *, now: int, random: Random, places: int, busy: Mapping[str, int], per_host: int
) -> tuple[str, list[Request]]:
    """Return a lease and what is under it now."""
    lease = new_id(now, random)
    claimed = await db.write(
        lambda tx: outgoing.claim(tx, lease, now=now, places=places, busy=busy, per_host=per_host)
    )
    return lease, claimed


async def finish(
    db: Database, lease: str, request: Request, attempt: Attempt, *, now: int, jitter: float
) -> bool:
    """Write what came of an attempt; say whether a message can be sent now that waited for it."""
    return await db.write(lambda tx: _finish(tx, lease, request, attempt, now, jitter))


async def finish_saved(
    db: Database, lease: str, request: Request, received: ReceivedFile, *, per_user: int, now: int
) -> tuple[Reason | None, bool]:
    """Have a message name the copy of its file that was fetched.

    Return why it does not, in which case the file is to be discarded, and whether the message can be sent now.
    """

    async def job(tx: Transaction) -> tuple[Reason | None, bool]:
        await _lock(tx, request)  # first, as whoever takes the message back does
        if not await outgoing.is_held(tx, lease, request.id):
            return Reason.TOO_LATE, False  # somebody else fetches it by now
        reason = await _attach(tx, request, received, per_user, now)
        return reason, await _finish(tx, lease, request, Attempt(reason), now, 0)

    return await db.write(job)


async def save_files(tx: Transaction, message: Message, *, now: int, random: Random) -> None:
    """Have the files fetched of which the sender wants the server to keep copies."""
    for index, attachment in enumerate((message.content or {}).get("attachments", ())):
        if attachment.get("saveOnServer"):
            url = attachment["url"]
            payload = {"url": url, "index": index, "name": attachment.get("name")}
            request = _request(Kind.SAVE, message, None, url, payload, now, random)
            await outgoing.add(tx, request, key=None)


async def sent_at_last(tx: Transaction, message: Message, send_at: int) -> int:
    """Return when a message is sent at the latest whose time is set anew: it may wait for its files still."""
    waits = await outgoing.is_waiting(tx, message.id, Kind.SAVE)
    return max(send_at, message.created_at + SAVED_WITHIN) if waits else send_at


async def call_webhook(
    tx: Transaction,
    message: Message,
    user_id: str,
    url: str,
    payload: Mapping[str, Any],
    *,
    key: bytes | None,
    now: int,
    random: Random,
) -> Request:
    """Queue a webhook and return it; NotUnique where one with this key is there."""
    request = _request(Kind.WEBHOOK, message, user_id, url, {"url": url, **payload}, now, random)
    await outgoing.add(tx, request, key=key)
    return request


def _request(
    kind: Kind,
    message: Message,
    user_id: str | None,
    url: str,
    payload: Mapping[str, Any],
    now: int,
    random: Random,
) -> Request:
    return Request(
        id=new_id(now, random),
        kind=kind,
        message_id=message.id,
        user_id=user_id,
        host=host_of(url),
        payload=payload,
        attempts=0,
        created_at=now,
    )


async def _finish(
    tx: Transaction, lease: str, request: Request, attempt: Attempt, now: int, jitter: float
) -> bool:
    await _lock(tx, request)
    settlement = settle(request, attempt, now=now, jitter=jitter)
    if not await outgoing.settle(tx, lease, request, settlement, now):
        return False
    if request.kind is not Kind.SAVE or not settlement.state.is_over or request.message_id is None:
        return False
    return await _let_go(tx, request.message_id, now)


async def _lock(tx: Transaction, request: Request) -> None:
    """Have those who change a message wait while one of its files is settled: its tasks first, as everybody does who locks both.

    Of two files that end together one is thus the last.
    """
    if request.kind is Kind.SAVE and request.message_id is not None:
        await tasks.lock_tasks(tx, request.message_id)
        await messages.lock_message(tx, request.message_id)


async def _let_go(tx: Transaction, message_id: str, now: int) -> bool:
    """Have a message sent at its time, or now where that has passed, once there are no files to wait for."""
    if await outgoing.is_waiting(tx, message_id, Kind.SAVE):
        return False
    message = await messages.load_message(tx, message_id)
    if message is None or message.sent_at is not None:
        return False
    await tasks.move_send(tx, message_id, max(message.scheduled_at or 0, now))
    return True


async def _attach(
    tx: Transaction, request: Request, received: ReceivedFile, per_user: int, now: int
) -> Reason | None:
    """Have a message name a file, unless it is too late for that; return why it is."""
    message = await messages.load_message(tx, request.message_id or "")
    if message is None or message.content is None or message.sender_id is None:
        return Reason.RETRACTED
    if message.sent_at is not None:
        return Reason.TOO_LATE  # its devices have been told the URL
    try:
        await keep(tx, message.sender_id, received, now, per_user=per_user)
    except TooLarge:
        return Reason.TOO_LARGE
    await attach(tx, message.id, received.id)
    await messages.write_content(tx, _with_copy(message, request.payload["index"], received.id))
    return None


def _with_copy(message: Message, index: int, attachment_id: str) -> Message:
    """Return a message that names the copy of an attachment in the place of its URL."""
    content = message.content or {}
    attachments = list(content["attachments"])
    kept = {name: value for name, value in attachments[index].items() if name != "url"}
    attachments[index] = {**kept, "attachmentUuid": attachment_id}
    return replace(message, content={**content, "attachments": attachments})
