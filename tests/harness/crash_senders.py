"""Who sends while processes are killed, and the ledger of what each phone is owed: only what HTTP said is in it.

A message whose answer never came is owed to nobody and may be shown once. One that was sent with an `Idempotency-Key` is
asked for again, with the same key and body and at any of the servers, until it is answered: then it is owed, once.
"""

import asyncio
import random
import string
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

STEADY = 4
LONGEST_PAUSE = 0.8
"""Seconds between two messages of a steady sender, at most."""

PATIENCE = aiohttp.ClientTimeout(total=15)
AGAIN = (0.05, 0.3)
"""Seconds until the next try, somewhere else perhaps."""

KEYED = 0.4
ASKED_TWICE = 0.25
DELAYED = 0.1
DELAYS = (1, 3)
WHOLE = 0.05
"""How many of the messages are too large for one push, so that phones fetch them."""
TYPES = ("NORMAL",) * 8 + ("CRITICAL", "SILENT")
URL = 1_900
UNAVAILABLE = 503
CONFLICT = 409
CREATED = 201


@dataclass
class Ledger:
    """By text. `due`: when (ms) a scheduled one may be shown at the earliest."""

    answered: dict[str, str] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open: int = 0

    def answer(self, text: str, message_id: str) -> None:
        first = self.answered.setdefault(text, message_id)
        if first != message_id:
            self.faults.append(f"{text}: one key made two messages, {first} and {message_id}")


@dataclass(frozen=True)
class Choices:
    """What kinds of messages are sent."""

    keys: bool
    delays: bool


@dataclass(frozen=True)
class Letter:
    text: str
    body: Mapping[str, Any] = field(repr=False)
    key: str | None


class Senders:
    """Spread over `urls`; what one decides comes from the seed and its name."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        token: str,
        *,
        choices: Choices,
        seed: int,
    ) -> None:
        self.ledger = Ledger()
        self._session = session
        self._urls = urls
        self._token = token
        self._choices = choices
        self._seed = seed
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        for number in range(STEADY):
            self._spawn(self._steady(f"steady{number}"))

    def burst(self, name: str, count: int) -> None:
        """Send some at once, so that they share commits and batches."""
        for number in range(count):
            self._spawn(self._send(f"{name}.{number}", self._chance(f"{name}.{number}")))

    async def stop(self) -> None:
        """Begin nothing more, and see through what is begun."""
        self._stopping.set()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.ledger.faults.append(f"a sender ended: {error!r}")

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")  # noqa: S311 - a run is repeated with its seed

    async def _steady(self, name: str) -> None:
        chance = self._chance(name)
        number = 0
        while not self._stopping.is_set():
            await self._send(f"{name}.{number}", chance)
            await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE))
            number += 1

    async def _send(self, text: str, chance: random.Random) -> None:
        letter = self._letter(text, chance)
        if letter.key is None:
            await self._try(letter, chance)
            return
        while not await self._try(letter, chance):
            self.ledger.counts["repeated"] += 1
            await asyncio.sleep(chance.uniform(*AGAIN))
        if chance.random() < ASKED_TWICE:  # as a client does that crashed after the answer
            self.ledger.counts["asked for twice"] += 1
            await self._try(letter, chance)

    def _letter(self, text: str, chance: random.Random) -> Letter:
        body: dict[str, Any] = {
            "bucketId": "default",
            "deliveryType": chance.choice(TYPES),
            "title": "crash",
            "body": text,
        }
        if chance.random() < WHOLE:
            self.ledger.counts["too large for a push"] += 1
            body |= {name: _long_url(chance) for name in ("imageUrl", "videoUrl", "gifUrl")}
        if self._choices.delays and chance.random() < DELAYED:
            self.ledger.counts["delayed"] += 1
            body["delaySeconds"] = chance.randint(*DELAYS)
            self.ledger.due[text] = time.time_ns() // 1_000_000 + 1_000 * body["delaySeconds"]
        key = None
        if self._choices.keys and chance.random() < KEYED:
            self.ledger.counts["with a key"] += 1
            key = str(UUID(int=chance.getrandbits(128), version=4))
        return Letter(text, body, key)

    async def _try(self, letter: Letter, chance: random.Random) -> bool:
        """Ask once; whether it was answered."""
        headers = {"Authorization": f"Bearer {self._token}"}
        if letter.key is not None:
            headers["Idempotency-Key"] = letter.key
        url = f"{chance.choice(self._urls)}/api/v1/messages"
        self.ledger.open += 1
        try:
            async with self._session.post(url, json=letter.body, headers=headers, timeout=PATIENCE) as answer:
                return self._take(letter, answer.status, await answer.json(content_type=None))
        except aiohttp.ClientConnectorError:
            self.ledger.counts["not reached"] += 1
            if letter.key is None:
                await asyncio.sleep(chance.uniform(*AGAIN))
            return False
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._cut_off(letter)
            return False
        finally:
            self.ledger.open -= 1

    def _cut_off(self, letter: Letter) -> None:
        self.ledger.counts["cut off"] += 1
        if letter.key is None:
            self.ledger.cut_off.add(letter.text)

    def _take(self, letter: Letter, status: int, answer: Any) -> bool:
        if status == CREATED:
            self.ledger.answer(letter.text, answer["id"])
            return True
        self.ledger.counts[f"answered {status}"] += 1
        if status == UNAVAILABLE or (status == CONFLICT and letter.key is not None):
            self._cut_off(letter)  # it may be under way elsewhere, or have been committed
            return False
        raise RuntimeError(f"{letter.text} was answered {status}: {answer}")


def _long_url(chance: random.Random) -> str:
    return "https://example.org/" + "".join(chance.choices(string.ascii_letters + string.digits, k=URL))
