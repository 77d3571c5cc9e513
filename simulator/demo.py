r"""One message through the whole of Hushpost, and what each party saw of it: `./dev demo ["your text"] [--keep]`.

Server, relay, providers, two phones and a browser run as processes of their own. What is shown is taken from them: from the
server's answer, the relay's log, the providers' records, and what each phone decrypted. Any step that fails ends the
demonstration with its cause and exit code 1.

On a terminal the hops are shown in a table. Elsewhere the same comes as lines of UTF-8, whatever the locale, never
wrapped, and there as here each phone has one line, `phone <name> shows: <the whole text>`, the browser being the third. In it, control characters are
written as escapes (a line break as \n): a line stays a line, and a message cannot command the terminal.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from simulator.children import Child, Event, StepFailed
from simulator.evidence import Sight, examine, reveals
from simulator.stage import Handset, Stage

DEFAULT_TEXT = "Hello from Hushpost"
LONGEST_TEXT = 500
HANDSETS = (
    Handset("iphone", "ios", "apns", 2, "APNs, X-Wing (post-quantum)"),
    Handset("android", "android", "fcm", 1, "FCM, X25519"),
    Handset("browser", "web", "webpush", 1, "Web Push, X25519"),
)
ARRIVES_WITHIN = 30.0
FAILED = 1
INTERRUPTED = 130
_IN_THE_DARK = ("relay", "providers")


@dataclass(frozen=True)
class Journey:
    """One message on its way to one phone; times in milliseconds since the epoch."""

    handset: Handset
    sent_at: int
    answered_at: int
    sight: Sight
    received: Event
    shown: Event


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def demonstrate(stage: Stage, text: str) -> tuple[list[Child], list[Journey]]:
    """Set the stage, send the text, and follow it to all phones."""
    await _step(
        "making keys, starting APNs, FCM, Google's token endpoint and a Web Push service", stage.prepare()
    )
    await _step("starting relay and server", stage.start_relay_and_server())
    await stage.register()
    phones = await _step(
        "pairing two phones and a browser", asyncio.gather(*(stage.pair(handset) for handset in HANDSETS))
    )
    sent_at = now_ms()
    message = await stage.call(
        "POST",
        "messages",
        {"title": "Demo", "body": text, "bucketId": "default", "deliveryType": "NORMAL"},
    )
    answered_at = now_ms()
    _note(f"server   stored and answered in {answered_at - sent_at} ms: {one_line(message['body'])}")
    shown = await asyncio.gather(*(_shown(phone, message["id"], text) for phone in phones))
    sights = await _sights(stage, text)
    journeys = [
        Journey(handset, sent_at, answered_at, sights[handset.provider], _received(phone), event)
        for handset, phone, event in zip(HANDSETS, phones, shown, strict=True)
    ]
    return phones, journeys


async def _step(what: str, work: Awaitable[Any]) -> Any:
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} …\n")
    return await work


async def _shown(phone: Child, message_id: str, text: str) -> Event:
    event = await phone.event(
        "shown", seconds=ARRIVES_WITHIN, fits=lambda event: bool(event["messageId"] == message_id)
    )
    if event["text"] != text:
        raise StepFailed(
            f"phone {phone.name} shows another text than the one sent: {one_line(event['text'])}"
        )
    return event


def _received(phone: Child) -> Event:
    found = [event for event in phone.events if event["event"] == "received"]
    if not found:
        raise StepFailed(f"phone {phone.name} shows the text, but it did not come as a push")
    return found[-1]


async def _sights(stage: Stage, text: str) -> dict[str, Sight]:
    """What each provider saw, and a look through the logs of those who must not know the text."""
    found = [examine(record, text) for record in await stage.records()]
    for name in _IN_THE_DARK:
        if reveals(stage.log_of(name), text):
            raise StepFailed(f"the log of the {name} holds the text")
    sights = {sight.provider: sight for sight in found if sight is not None}
    if len(sights) != len(HANDSETS):
        raise StepFailed("not every phone's provider was given a push")
    return sights


def one_line(text: str) -> str:
    """The whole text on one line, fit for a terminal."""
    return "".join(
        character if character.isprintable() or character == " " else repr(character)[1:-1]
        for character in text
    )


def _note(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report(journeys: Sequence[Journey]) -> None:
    *most, last = (str(journey.sight.envelope_bytes) for journey in journeys)
    _note(f"relay    passed on ciphertext of {', '.join(most)} and {last} bytes; the text is not in its log")
    for journey in journeys:
        sight = journey.sight
        again = f" and {sight.wrapping} around it" if sight.wrapping else ""
        _note(
            f"{sight.provider:8} was given {sight.envelope_bytes} bytes of ciphertext{again}; the text is in no record"
        )
    for journey in journeys:
        _note(f"phone {journey.handset.name} shows: {one_line(journey.shown['text'])}")
    if sys.stdout.isatty():
        Console().print(_table(journeys))
    else:
        for journey in journeys:
            hops = ", ".join(f"{name} {value}" for name, value in _hops(journey))
            _note(f"times of {journey.handset.name} in ms after sending: {hops}")


def _hops(journey: Journey) -> list[tuple[str, int]]:
    times = {
        "stored": journey.answered_at,
        "at the provider": journey.sight.at,
        "on the phone": journey.received["receivedAt"],
        "shown": journey.shown["shownAt"],
    }
    return [(name, at - journey.sent_at) for name, at in times.items()]


def _table(journeys: Sequence[Journey]) -> Table:
    table = Table(title="milliseconds after sending", title_justify="left")
    table.add_column("phone")
    table.add_column("by way of")
    for name, _ in _hops(journeys[0]):
        table.add_column(name, justify="right")
    for journey in journeys:
        times = [str(value) for _, value in _hops(journey)]
        table.add_row(journey.handset.name, journey.handset.label, *times)
    return table


async def keep(stage: Stage, phones: Sequence[Child]) -> None:
    """Leave it running, and show what arrives, until somebody ends it."""
    token = await stage.make_token()
    body = '{"title": "Hi", "body": "Sent with curl", "bucketId": "default", "deliveryType": "NORMAL"}'
    _note(
        f"""
It goes on running; Ctrl-C ends it. Send another message:

  curl {stage.server_url}/api/v1/messages -H 'Authorization: Bearer {token}' \\
       -H 'Content-Type: application/json' -d {shlex.quote(body)}

Look at what the providers were given:

  curl {stage.providers["control"]}/control/records

Logs and data: {stage.folder}
"""
    )
    await asyncio.gather(*(_watch(phone) for phone in phones))


async def _watch(phone: Child) -> None:
    """Show what a phone shows, until it ends, which it should not."""
    seen = len(phone.events)
    while True:
        await phone.until(partial(_has_more, phone, seen), seconds=None, what="said nothing")
        for event in phone.events[seen:]:
            if event["event"] == "shown":
                _note(f"phone {phone.name} shows: {one_line(event['text'])}")
        seen = len(phone.events)


def _has_more(phone: Child, seen: int) -> bool:
    return len(phone.events) > seen


async def run(text: str, *, stays: bool) -> int:
    """The whole demonstration; its exit code, or `StepFailed` where a step failed."""
    stop, arrived = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="hushpost-demo-") as folder:
        async with aiohttp.ClientSession() as session:
            stage = Stage(Path(folder), session)
            playing = asyncio.create_task(_play(stage, text, arrived, stays=stays))
            ending = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({playing, ending}, return_when=asyncio.FIRST_COMPLETED)
                if playing.done():
                    await playing
            except StepFailed as error:
                raise StepFailed("\n".join([str(error), *stage.complaints()])) from None
            finally:
                playing.cancel()
                ending.cancel()
                await asyncio.wait({playing})
                await stage.close()
    return 0 if arrived.is_set() else INTERRUPTED


async def _play(stage: Stage, text: str, arrived: asyncio.Event, *, stays: bool) -> None:
    phones, journeys = await demonstrate(stage, text)
    report(journeys)
    arrived.set()
    if stays:
        await keep(stage, phones)


def read_text(argument: str) -> str:
    """The text as it was typed: UTF-8, also where the locale took its bytes for something else."""
    try:
        text = os.fsencode(argument).decode("utf-8")
    except UnicodeDecodeError:
        raise argparse.ArgumentTypeError("not UTF-8 text") from None
    if not 0 < len(text) <= LONGEST_TEXT:
        raise argparse.ArgumentTypeError(
            f"has {len(text)} characters; a message has 1 to {LONGEST_TEXT}: shorten it"
        )
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("text", nargs="?", type=read_text, default=DEFAULT_TEXT)
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(run(options.text, stays=options.keep))
    except (StepFailed, aiohttp.ClientError, OSError, TimeoutError) as error:
        sys.stderr.write(f"demo: {str(error) or type(error).__name__}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
