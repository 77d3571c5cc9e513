"""`./dev crash`: kill the server with SIGKILL again and again while messages are sent; count what was lost or shown twice.

Checked from outside: what HTTP answered with 201 against what the phones showed. A message whose answer never came may
have been kept or not, but no phone may show it twice. Two phones receive: APNs with suite 2, FCM with suite 1.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.mail import Inbox
from simulator.phone import Phone
from tests.harness.stack import Stack, running

SENDERS = 4
LONGEST_PAUSE = 0.15
"""Seconds between two messages of a sender, at most."""

STUCK_SECONDS = 30
"""At the end, what is owed is waited for as long as phones go on showing something: a backlog is not a loss."""

LIVES = (0.3, 2.5)
"""Seconds that the server lives once it answers, at most, in turn: the short ones end during the first commits, before
anything is sealed; the long ones while batches are sealed, with the relay, or being settled."""


@dataclass
class Tally:
    """What was sent, by text: the answered ones are owed to every phone."""

    answered: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Result:
    phone: str
    lost: set[str]
    twice: set[str]
    unknown: set[str]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.unknown)


async def send_until_killed(stack: Stack, tally: Tally, sender: str, chance: random.Random) -> None:
    number = 0
    while True:
        text = f"{sender}.{number}"
        number += 1
        tally.unanswered.add(text)
        try:
            await stack.send(title="crash", body=text)
        except (aiohttp.ClientError, OSError):
            return
        tally.unanswered.discard(text)
        tally.answered.add(text)
        await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE))


async def one_round(stack: Stack, tally: Tally, number: int, chance: random.Random) -> None:
    senders = [
        asyncio.create_task(send_until_killed(stack, tally, f"{number}.{sender}", chance))
        for sender in range(SENDERS)
    ]
    await asyncio.sleep(chance.uniform(0, LIVES[number % len(LIVES)]))
    await stack.server.kill()
    for outcome in await asyncio.gather(*senders, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    await stack.server.start(stack.session)


def shown(inbox: Inbox) -> Counter[str]:
    return Counter(one.text for one in inbox.log)


def shows_more_than(count: int) -> Callable[[Inbox], bool]:
    return lambda inbox: len(inbox.log) > count


async def wait_for_all(phones: list[Phone], tally: Tally) -> None:
    """Wait until the phones have shown what they are owed, or show nothing more."""
    for phone in phones:
        while not tally.answered <= shown(phone.inbox).keys():
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await phone.until(shows_more_than(len(phone.inbox.log)))
            except TimeoutError:
                return  # what is missing is counted as lost


def judge(phone: Phone, name: str, tally: Tally) -> Result:
    counts = shown(phone.inbox)
    return Result(
        phone=name,
        lost=tally.answered - counts.keys(),
        twice={text for text, count in counts.items() if count > 1},
        unknown=counts.keys() - tally.answered - tally.unanswered,
    )


async def crash(directory: Path, rounds: int, seed: int) -> list[Result]:
    chance = random.Random(seed)  # noqa: S311 - a run is repeated with its seed
    tally = Tally()
    async with running(directory) as stack:
        phones = [
            await stack.pair(platform="ios", suite=2, name="apns", keep=False),
            await stack.pair(platform="android", suite=1, name="fcm", keep=False),
        ]
        with progress() as bar:
            task = bar.add_task("kill -9", total=rounds)
            for number in range(rounds):
                await one_round(stack, tally, number, chance)
                bar.update(task, advance=1, description=f"kill -9 · {len(tally.answered)} answered")
        await wait_for_all(phones, tally)
        results = [judge(phone, name, tally) for phone, name in zip(phones, ("apns", "fcm"), strict=True)]
        for phone in phones:
            await phone.close()
    print(
        f"{rounds} rounds, {len(tally.answered)} messages answered, {len(tally.unanswered)} cut off before an answer"
    )
    return results


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        transient=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}, process {os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="hushpost-crash-") as directory:
        results = asyncio.run(crash(Path(directory), options.rounds, options.seed))
    for result in results:
        print(
            f"{result.phone}: {len(result.lost)} lost, {len(result.twice)} shown twice, {len(result.unknown)} never sent"
        )
    return 0 if all(result.clean for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
