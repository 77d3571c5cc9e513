"""What `hushpost conformance` does: it makes what the checks are given, runs them and shows what they found."""

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

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
from server.cli.terminal import FAILED, USAGE, CommandError, result_json, say

_MARKS = {Verdict.PASSED: ("✓", "green"), Verdict.FAILED: ("✗", "red"), Verdict.SKIPPED: ("!", "yellow")}
_WIDTH = 160  # characters, where no terminal says how wide it is


def given_by(
    *,
    key: Path | None,
    own_pass: str | None,
    denied_key: Path | None,
    pass_key: Path | None,
    relay_keys: Path | None,
    tokens: Sequence[str],
) -> Given:
    """What the options give the checks; a key is made where there is none."""
    return Given(
        key=IdentityKey.generate(secrets.token_bytes) if key is None else read_identity(key),
        own_pass=own_pass,
        denied=None if denied_key is None else read_identity(denied_key),
        pass_key=None if pass_key is None else read_identity(pass_key),
        epochs=() if relay_keys is None else _epochs(relay_keys),
        devices=tuple(_device(text) for text in tokens),
    )


def check(url: str, connect: str | None, given: Given, *, only: str, made: bool, as_json: bool) -> None:
    """Run the checks that have `only` in their name and show the results. `made`: the key is a new one."""
    cases = [case for case in CASES if only in case.name]
    if not cases:
        raise CommandError(f"no check has {only!r} in its name", code=USAGE)
    results = asyncio.run(_check(url.rstrip("/"), connect, given, cases))
    if as_json:
        result_json([_document(one) for one in results])
    else:
        _show(results)
    _advise(results, given.key, made=made)
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
