"""What processes share through Redis (or Valkey): soft state only, which may be gone at any moment.

Whoever asks gets an answer or None, which means "Redis is away: go by what this process knows". Nothing is raised, and
nobody waits longer than `ANSWER_SECONDS` for an exchange. After a failure nothing is asked at all; once in
`PAUSE_SECONDS` somebody's question starts one look in the background, which asks for everything that is needed later, so that
a Redis that is full, read-only, or forbids a command is as away as one that is dead.

Every question is a script, hence atomic. What is asked while an exchange is under way goes out together in the next: one
connection is enough, and a busy process makes fewer round trips. No more goes out together than is done well within that
time, or a busy process would take its Redis for dead. Nothing is sent twice: after a lost answer it is not known whether it was
carried out, and a nonce that was remembered by the first attempt would look like a replay to the second.

Names of keys hold a keyed hash, never an address, a token or an account: Redis may be shared with others. All lie in one
hash slot, so that one node of a cluster has all of them or none.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 1.0
AT_ONCE: Final = 500
"""Names from which on an exchange is full: one full batch, 13 ms on a machine with five times as much to do as it can. Four at
once are no faster, and there took longer than `ANSWER_SECONDS` now and then."""

_PREFIX: Final = "{hushpost}:"
_TURNS: Final = 10
_NAME_BYTES: Final = 16

_LOOK: Final = """
redis.call('SET', KEYS[1], 1, 'NX', 'PX', 1000)
redis.call('INCRBY', KEYS[1], 1)
redis.call('MGET', KEYS[1])
redis.call('GET', KEYS[1])
redis.call('PTTL', KEYS[1])
return redis.call('DEL', KEYS[1])
"""

Arg: TypeAlias = str | int | float


@dataclass(frozen=True)
class _Call:
    command: tuple[Arg, ...] = field(repr=False)
    answer: "asyncio.Future[Any]"


class Shared:
    """One Redis. `secret` keys the names; `show` is told 1 while Redis answers and 0 while it does not."""

    def __init__(
        self,
        url: str,
        *,
        secret: bytes,
        show: Callable[[float], object],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._redis = _client(url)
        self._secret = secret
        self._show = show
        self._log = log
        self._up: bool | None = None
        self._look_at = 0.0
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return bool(self._up)

    def name(self, kind: str, key: bytes) -> str:
        """The name under which something is kept: its kind, and what can be told by nobody who has not the secret."""
        # BLAKE2's own keyed mode (RFC 7693): a quarter of an HMAC's time, and a batch has 500 names.
        mac = blake2b(b"%b\0%b" % (kind.encode(), key), digest_size=_NAME_BYTES, key=self._secret)
        return f"{_PREFIX}{kind}:{mac.hexdigest()}"

    async def open(self) -> None:
        """Look once, so that a wrong address or password is in the log from the start."""
        await self._look()

    async def close(self) -> None:
        """Let everybody go who waits; from now on Redis is away."""
        self._up, self._look_at = False, math.inf
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._let_go()  # a task that was cancelled before it began has let nobody go
        await self._redis.aclose()

    async def ask(self, script: str, names: Sequence[str], *args: Arg) -> Any | None:
        """The script's answer, or None where Redis is away."""
        idle = self._task is None or self._task.done()
        if not self._up:
            if idle and asyncio.get_running_loop().time() >= self._look_at:
                self._task = asyncio.create_task(self._look())
            return None
        call = _Call(("EVAL", script, len(names), *names, *args), asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if idle:
            self._task = asyncio.create_task(self._talk())
        return await call.answer

    async def _talk(self) -> None:
        calls: list[_Call] = []
        try:
            while self._waiting:
                calls = self._next()
                _answer(calls, await self._exchange(calls))
        finally:
            _answer(calls, None)
            self._let_go()

    def _next(self) -> list[_Call]:
        """The first of those that wait: as many as go out together."""
        names, number = 0, 0
        while number < len(self._waiting) and names < AT_ONCE:
            names += len(self._waiting[number].command)
            number += 1
        calls, self._waiting = self._waiting[:number], self._waiting[number:]
        return calls

    def _let_go(self) -> None:
        calls, self._waiting = self._waiting, []
        _answer(calls, None)

    async def _exchange(self, calls: Sequence[_Call]) -> list[Any] | None:
        if not self._up:
            return None
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        try:
            answers = await _in_time(pipeline.execute(raise_on_error=False), ANSWER_SECONDS)
        except Exception as error:  # noqa: BLE001  whatever is wrong with Redis, a request goes on without it
            self._gone(error)
            return None
        faults = [answer for answer in answers if isinstance(answer, Exception)]
        if faults:
            self._gone(faults[0])
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    async def _look(self) -> None:
        try:
            # A connection of before may have an answer in it that nobody waits for.
            await self._redis.connection_pool.disconnect()
            look = self._redis.eval(_LOOK, 1, self.name("look", b""))
            await _in_time(look, LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001  as above
            self._gone(error)
            return
        if self._up is False:
            self._log.info("Redis is back")
        self._up = True
        self._show(1)

    def _gone(self, error: Exception) -> None:
        if self._up is not False:
            # The address was taken apart before, so that what the library says of it does not hold the password.
            self._log.warning(
                "Redis is away: limits are each process's own, and so is what it remembers",
                error=type(error).__name__,
                said=str(error)[:200],
            )
        self._up = False
        self._show(0)
        self._look_at = asyncio.get_running_loop().time() + PAUSE_SECONDS


def _client(url: str) -> "Redis":
    # Here, because a process that shares nothing would carry 7 MB for nothing.
    from redis.asyncio import Redis  # noqa: PLC0415 - see above
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - see above
    from redis.backoff import NoBackoff  # noqa: PLC0415 - see above

    client: Redis = Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=LOOK_SECONDS,
        socket_connect_timeout=LOOK_SECONDS,
    )
    return client


def _answer(calls: Sequence[_Call], answers: Sequence[Any] | None) -> None:
    for number, call in enumerate(calls):
        if not call.answer.done():  # who asked may be gone
            call.answer.set_result(None if answers is None else answers[number])


async def _in_time(work: Awaitable[Any], seconds: float) -> Any:
    """The result, or TimeoutError. A loop that is late is no fault of Redis: an answer that has come by then counts."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        for _ in range(_TURNS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
        raise TimeoutError
    finally:
        task.cancel()
        task.add_done_callback(_forget)


def _forget(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
