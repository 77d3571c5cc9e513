"""The loop of what is asked of others over HTTP: webhooks are called, files are fetched, so many at the same time.

Like the outbox it is woken after commits of its own process, and looks by itself for those of others and for what becomes due. Of one
host so many are under way at most: one that says nothing holds up no other. A failure costs an attempt, never the loop.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from server.commands.attachments import Storage, discard, receive
from server.commands.outgoing import claim, finish, finish_saved
from server.commands.webhooks import signed_headers
from server.domain.delivery import SECOND, jitter_of
from server.domain.errors import TooLarge
from server.domain.file import ReceivedFile
from server.domain.outgoing import Attempt, Kind, Reason, Request
from server.domain.ports import Clock, Database, DatabaseError, Random
from server.store import outgoing
from server.worker.metrics import OutgoingMetrics
from server.worker.web import Failed, Web

IN_FLIGHT = 16
PER_HOST = 4
_STOP_SECONDS = 5.0  # what is under way then is asked again after the next start
_PUT_BACK = 1 * SECOND  # a clock that loses more than this at once was set


class Outgoing:
    """Run it as one task; cancelling that ends it gracefully.

    `secret` is the server's, for the keys of webhooks. `send` has the scheduler look. `log` is a structlog logger.
    """

    def __init__(
        self,
        db: Database,
        web: Web,
        storage: Storage,
        *,
        secret: bytes,
        send: Callable[[], None],
        poll_seconds: float,
        metrics: OutgoingMetrics,
        clock: Clock,
        random: Random,
        log: Any,
    ) -> None:
        self._db = db
        self._web = web
        self._storage = storage
        self._secret = secret
        self._send = send
        self._poll_seconds = poll_seconds
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._log = log
        self._bell = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], str] = {}  # by task, the host
        self._released = not db.exclusive
        self._seen = 0

    def wake(self) -> None:
        """Look for due requests now."""
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled; then finish what is under way, or leave it to whoever comes after."""
        try:
            while True:
                self._bell.clear()
                wait = self._poll_seconds
                try:
                    await self._tidy()
                    wait = await self._look()
                except DatabaseError as error:
                    self._log.error("outgoing requests cannot use the database", error=type(error).__name__)
                except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
                    self._log.error("outgoing requests failed and go on", error=type(error).__name__)
                if wait:
                    await self._idle(wait)
        finally:
            await self._end()

    async def _tidy(self) -> None:
        """Make due what nobody else works on after a start, and all that waits after the clock was put back."""
        now = self._clock()
        if not self._released:
            await self._db.write(lambda tx: outgoing.release(tx, now))
            self._released = True
        if now < self._seen - _PUT_BACK:
            await self._db.write(lambda tx: outgoing.advance(tx, now))
        self._seen = now

    async def _look(self) -> float:
        """Begin what is due, as far as there are places; return for how many seconds there is nothing to do."""
        places = IN_FLIGHT - len(self._under_way)
        if not places:
            return self._poll_seconds
        due_at, now = await self._db.read(outgoing.next_due), self._clock()
        if due_at is None or due_at > now:
            return self._poll_seconds if due_at is None else min((due_at - now) / SECOND, self._poll_seconds)
        lease, claimed = await claim(
            self._db,
            now=now,
            random=self._random,
            places=places,
            busy=Counter(self._under_way.values()),
            per_host=PER_HOST,
        )
        for request in claimed:
            task = asyncio.create_task(self._ask(lease, request), name="outgoing-request")
            self._under_way[task] = request.host
            task.add_done_callback(self._done)
        return 0 if claimed else self._poll_seconds

    def _done(self, task: asyncio.Task[None]) -> None:
        """Look again: there is a place."""
        del self._under_way[task]
        self._bell.set()

    async def _ask(self, lease: str, request: Request) -> None:
        """Make one attempt and write what came of it."""
        made = await self._attempt(request)
        try:
            if isinstance(made, Attempt):
                is_work = await self._finish(lease, request, made)
            else:
                is_work = await self._finish_saved(lease, request, made)
        except DatabaseError as error:
            self._log.error("an outgoing request was not settled and comes again", error=type(error).__name__)
            return
        if is_work:
            self._send()

    async def _attempt(self, request: Request) -> Attempt | ReceivedFile:
        try:
            return await (self._call(request) if request.kind is Kind.WEBHOOK else self._fetch(request))
        except Exception as error:  # noqa: BLE001 - one must not end the others; its text may quote content
            self._log.error("an outgoing request failed", kind=request.kind.value, error=type(error).__name__)
            return Attempt(Reason.ATTEMPT_FAILED)

    async def _call(self, request: Request) -> Attempt:
        body = request.payload["body"].encode()
        headers = signed_headers(self._secret, request, body, self._clock())
        return await self._web.post(request.payload["url"], headers, body)

    async def _fetch(self, request: Request) -> Attempt | ReceivedFile:
        url = request.payload["url"]
        try:
            async with self._web.get(url) as download:
                return await receive(
                    self._storage.files,
                    download.pieces,
                    name=request.payload["name"] or _name_in(url),
                    content_type=download.content_type,
                    largest=self._storage.largest,
                    now=self._clock(),
                    random=self._random,
                )
        except Failed as failed:
            return failed.attempt
        except TooLarge:
            return Attempt(Reason.TOO_LARGE)

    async def _finish(self, lease: str, request: Request, attempt: Attempt) -> bool:
        self._metrics.attempted(request.kind, attempt.reason)
        jitter = jitter_of(self._random(4))
        return await finish(self._db, lease, request, attempt, now=self._clock(), jitter=jitter)

    async def _finish_saved(self, lease: str, request: Request, received: ReceivedFile) -> bool:
        reason, is_work = await finish_saved(
            self._db, lease, request, received, per_user=self._storage.per_user, now=self._clock()
        )
        self._metrics.attempted(request.kind, reason)
        if reason is not None:
            await discard(self._storage.files, [received])
        return is_work

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    async def _end(self) -> None:
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def _name_in(url: str) -> str:
    """Return the name that a URL ends in, as far as it has one."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
