"""`hushpost deliveries`: how far messages have come, and a second chance for those that came to nothing."""

import sys
from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.client import DEFAULT_URL, Api, UrlOption, run
from server.cli.terminal import FAILED, USAGE, CommandError, JsonOption, result_json, say

commands = typer.Typer(
    no_args_is_help=True, help="Show how far messages have come, and try again what came to nothing."
)

_PAGE = 100
_HOPS = ("server", "seal", "relay", "provider", "device")
_WIDE = 1000  # columns, where the output is no terminal: one line for each

ReasonOption = Annotated[str | None, typer.Option(metavar="WORD", help="Only for this reason.")]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only from this time on, such as 2030-01-31T12:00:00Z."),
]
LimitOption = Annotated[int, typer.Option(min=1, help="Show this many at most.")]


@commands.command("list")
def list_dead(
    state: Annotated[
        str | None, typer.Option(help="Only those that failed, are gone (a dead handle) or expired.")
    ] = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    limit: LimitOption = _PAGE,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """List what came to nothing, the newest first. For admins."""
    wanted = {"state": state, "reason": reason, "since": since}
    found = run(url, lambda api: _pages(api, "deliveries", wanted, limit))
    if as_json:
        result_json(found["deliveries"])
        return
    table = _table("id", "message", "device", "state", "reason", "ended")
    for one in found["deliveries"]:
        named = one["messageId"] or f"({one['kind']})"
        row = (one["id"], named, one["deviceName"], one["state"], one["reason"], one["settledAt"])
        table.add_row(*map(_cell, row))
    _print(table, found, "nothing came to nothing")


@commands.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="As `hushpost deliveries list` shows them.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="All that failed, or are gone.")] = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Try deliveries again: some by their ids, or all of a state. For admins."""
    if bool(ids) is (state is not None):
        raise CommandError(
            "say which: ids as `hushpost deliveries list` shows them, or --state failed", code=USAGE
        )
    wanted = {"ids": ids or None, "state": state, "reason": reason, "since": since}
    done = run(url, lambda api: _retry(api, _set(wanted)))
    if as_json:
        result_json(done)
    else:
        say(_told(done))
    if done["notQueued"] and not done["queued"]:
        raise typer.Exit(FAILED)


@commands.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID")],
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: LimitOption = _PAGE,
    url: UrlOption = DEFAULT_URL,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show how far a message has come on its way to each inbox and device."""
    found = run(url, lambda api: _pages(api, f"messages/{message_id}/deliveries", {"state": state}, limit))
    if as_json:
        result_json(found)
        return
    if "scheduledSendAt" in found:
        say(f"it is sent at {found['scheduledSendAt']}")
        return
    table = _table("to", "state", "reason", "attempts", *_HOPS)
    for one in found["deliveries"]:
        table.add_row(
            *map(_cell, (one["deviceName"] or "inbox", one["state"], one["reason"], one["attempts"])),
            *map(_cell, _ways(one["timeline"])),
        )
    _print(table, found, "no delivery is in that state" if state else "nobody was to be reached")
    say(", ".join(f"{number} {name}" for name, number in found["counts"].items()))


async def _pages(api: Api, path: str, query: dict[str, str | None], limit: int) -> dict[str, Any]:
    """The first page with what the following ones add, up to a number of deliveries."""
    whole: dict[str, Any] | None = None
    cursor: str | None = None
    while whole is None or (cursor is not None and len(whole["deliveries"]) < limit):
        left = limit - len(whole["deliveries"]) if whole else limit
        asked = _set({**query, "limit": min(left, _PAGE), "cursor": cursor})
        page = await api.call("GET", f"{path}?{urlencode(asked)}")
        cursor = page["nextCursor"]
        if whole is None:
            whole = page
        else:
            whole["deliveries"] += page["deliveries"]
            whole["nextCursor"] = cursor
    return whole


async def _retry(api: Api, wanted: dict[str, Any]) -> dict[str, Any]:
    """Try again what is meant, as many calls as that takes."""
    done: dict[str, Any] = {"queued": 0, "notQueued": []}
    cursor: dict[str, str] = {}
    while True:
        part = await api.call("POST", "deliveries/retry", {**wanted, **cursor})
        done["queued"] += part["queued"]
        done["notQueued"] += part["notQueued"]
        if part["nextCursor"] is None:
            return done
        cursor = {"cursor": part["nextCursor"]}


def _told(done: dict[str, Any]) -> str:
    reasons = Counter(refused["reason"] for refused in done["notQueued"])
    if not reasons:
        return f"{done['queued']} queued"
    why = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    return f"{done['queued']} queued, {reasons.total()} not: {why}"


def _ways(timeline: list[dict[str, Any]]) -> list[str]:
    """What happened at each hop: the last of it, and how long after the first hop."""
    last = {hop["hop"]: hop for hop in timeline}
    began = datetime.fromisoformat(timeline[0]["at"])
    return [_way(last.get(name), began) for name in _HOPS]


def _way(hop: dict[str, Any] | None, began: datetime) -> str:
    if hop is None:
        return ""
    if hop["at"] is None:
        return str(hop["outcome"])
    at = datetime.fromisoformat(hop["at"])
    if hop["hop"] == "server":
        return f"{hop['outcome']} {at:%Y-%m-%d %H:%M:%S}"
    return f"{hop['outcome']} +{(at - began) / timedelta(seconds=1):.3f} s"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # an id that is cut is no id
    return table


def _cell(value: object) -> Text:
    return Text("" if value is None else str(value))  # a Text: names may look like markup


def _print(table: Table, found: dict[str, Any], nothing: str) -> None:
    if not found["deliveries"]:
        say(nothing)
        return
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE).print(table)
    if found["nextCursor"] is not None:
        say("there are more; --limit shows them")


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
