"""`hushpost conformance`: whether a relay does what the protocol says, check by check (docs/conformance.md)."""

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from crypto.keys import EpochKey, IdentityKey
from relay.conformance.answer import Failed
from relay.conformance.case import Case, Result, Verdict, run
from relay.conformance.cases import CASES
from relay.conformance.given import Device, Given
from relay.conformance.subject import Subject
from server.cli.keyfiles import MAKE_RELAY, read_identity, read_keys_of
from server.cli.progress import steps_bar
from server.cli.terminal import FAILED, USAGE, CommandError, JsonOption, result_json, say

_MARKS = {Verdict.PASSED: ("✓", "green"), Verdict.FAILED: ("✗", "red"), Verdict.SKIPPED: ("!", "yellow")}
_WIDTH = 160  # characters, where no terminal says how wide it is


def conformance(
    url: Annotated[
        str, typer.Argument(metavar="RELAY-URL", help="The relay's public URL, as servers know it.")
    ],
    connect: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it is reached, if that is another address.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A server's key file, which the relay admits; else a new key is made."
        ),
    ] = None,
    own_pass: Annotated[
        str | None, typer.Option("--pass", envvar="HUSHPOST_PASS", metavar="PASS", help="That server's pass.")
    ] = None,
    denied_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The key file of a server that the operator has denied."),
    ] = None,
    pass_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key with which the operator signs passes.")
    ] = None,
    relay_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The relay's own key file: it can seal expired handles."),
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROVIDER/APP/ENVIRONMENT=TOKEN",
            help="A real device's token: it is pushed to. May be given several times.",
        ),
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Only the checks with this text in their name.")
    ] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a relay against the protocol: docs/protocol.md, sections 1, 3, 4 and 5. Fails if a check fails.

    Nothing is pushed to a device unless --token names one. What a check would need and is not given is shown with it.
    """
    given = Given(
        key=IdentityKey.generate(secrets.token_bytes) if key is None else read_identity(key),
        own_pass=own_pass,
        denied=None if denied_key is None else read_identity(denied_key),
        pass_key=None if pass_key is None else read_identity(pass_key),
        epochs=() if relay_keys is None else _epochs(relay_keys),
        devices=tuple(_device(text) for text in token or ()),
    )
    cases = [case for case in CASES if only in case.name]
    if not cases:
        raise CommandError(f"no check has {only!r} in its name", code=USAGE)
    results = asyncio.run(_check(url.rstrip("/"), connect, given, cases))
    if as_json:
        result_json([_document(one) for one in results])
    else:
        _show(results)
    _advise(results, given.key, made=key is None)
    if any(one.verdict is Verdict.FAILED for one in results):
        raise typer.Exit(FAILED)


def _epochs(path: Path) -> tuple[EpochKey, ...]:
    found = tuple(key for key in read_keys_of(path, hint=MAKE_RELAY) if isinstance(key, EpochKey))
    if not found:
        raise CommandError(f"{path}: holds no epoch key", code=USAGE)
    return found


def _device(text: str) -> Device:
    try:
        return Device.read(text)
    except ValueError:
        right = "PROVIDER/APP/ENVIRONMENT=TOKEN, such as apns/org.example.app/sandbox=ab12…"
        raise CommandError(f"--token: write {right}", code=USAGE) from None


async def _check(url: str, connect: str | None, given: Given, cases: Sequence[Case]) -> list[Result]:
    async with aiohttp.ClientSession() as session:
        subject = Subject(
            url=url,
            reach=(connect or url).rstrip("/"),
            session=session,
            given=given,
            clock=time.time,
            random=secrets.token_bytes,
        )
        try:
            await subject.look()
        except Failed as failed:
            raise CommandError(f"{subject.reach}: {failed}") from None
        except aiohttp.InvalidURL:
            raise CommandError(
                f"{subject.reach} is not an address; it looks like https://relay.example", code=USAGE
            ) from None
        return await _run_all(cases, subject)


async def _run_all(cases: Sequence[Case], subject: Subject) -> list[Result]:
    found = []
    with steps_bar(f"checking {subject.url}") as report:
        for case in cases:
            found.append(await run(case, subject))
            report(len(found), len(cases))
    return found


def _document(one: Result) -> dict[str, Any]:
    return {"section": one.case.section, "check": one.case.name, "result": one.verdict, "found": one.found}


def _show(results: Sequence[Result]) -> None:
    table = Table("§", "", Column("check", overflow="fold"), Column("found", overflow="fold"), box=None)
    for one in results:
        mark, style = _MARKS[one.verdict]
        table.add_row(str(one.case.section), Text(mark, style), Text(one.case.name), Text(one.found, style))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _advise(results: Sequence[Result], key: IdentityKey, *, made: bool) -> None:
    counts = Counter(one.verdict for one in results)
    say(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
    with suppress(StopIteration):
        next(one for one in results if one.verdict is Verdict.SKIPPED and key.public.id in one.found)
        fix = "give --key FILE of a server that it admits" if made else "it must admit this key"
        say(f"most checks need a key that the relay admits: {fix}, or add {key.public.id} to relay.allowlist")
