"""Strangers to what is somebody's: by its names they are told what they are told by names that nobody has, and they change nothing of it."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from server.domain.ports import Database
from tests.harness.acting import rows_of
from tests.harness.native import Reply

Known = Mapping[str, str]
"""What each word in angle brackets stands for: names and ids of somebody's, or of nobody's."""
Rows = Mapping[str, list[Any]]
Ask = Callable[[str, str, Any], Awaitable[Reply]]
"""Asks for something with a method, a path and a body."""

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME = re.compile(r"<[a-z-]+>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_SECRET = re.compile(r"(?:hpd_|eyJ|whsec_)[A-Za-z0-9._+/=-]+")


async def wrong_with(
    db: Database,
    name: str,
    body: Any,
    *strangers: tuple[Ask, Known],
    theirs: Iterable[str] = (),
    own: Collection[str] = (),
) -> list[str]:
    """Return what is wrong with a call (`POST /path`) that strangers make one after the other, each with names of their own.

    The first uses somebody's names. All must be answered alike, byte for byte but for ids and times; nothing that was there may change but
    what names something of the strangers' `own`, and nothing that is new may name what is `theirs`.
    """
    before = await rows_of(db)
    answers = [await _told(ask, name, body, known) for ask, known in strangers]
    after = await rows_of(db)
    assert answers[0][0] != 400, f"{name} is asked for wrongly: {answers[0]}"
    wrong = [f"{name} {body}: {answers[0]} is not {one}" for one in answers[1:] if one != answers[0]]
    gone = [row for row in lost(before, after) if not any(one in row for one in own)]
    wrong += [f"{name} {body}: {row} is gone" for row in gone]
    return wrong + [f"{name} {body}: {row} is new" for row in _new(before, after, theirs)]


async def _told(ask: Ask, name: str, body: Any, known: Known) -> tuple[int, str]:
    method, _, path = filled(name, known).partition(" ")
    return told(await ask(method, path, filled(body, known)), known)


def filled(value: Any, known: Known) -> Any:
    """Return what is asked with, with names in the place of words in angle brackets."""
    if isinstance(value, dict):
        return {filled(name, known): filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    return NAME.sub(lambda found: known.get(found[0], found[0]), value) if isinstance(value, str) else value


def told(answer: Reply, known: Known) -> tuple[int, str]:
    """Return what an answer says, without what has to differ: the names that were asked with, ids, times and secrets."""
    text = answer.body.decode()
    for name, value in known.items():
        text = text.replace(value, name)
    for pattern, word in ((_SECRET, "<secret>"), (ID, "<id>"), (_TIME, "<time>")):
        text = pattern.sub(word, text)
    return answer.status, text


def lost(before: Rows, after: Rows) -> list[str]:
    """Return the rows that were changed or deleted; when a token was used last is noted for each."""
    return [
        f"{table}: {row}"
        for table, rows in before.items()
        for row in rows
        if table != "access_tokens" and row not in after[table]
    ]


def _new(before: Rows, after: Rows, theirs: Iterable[str]) -> list[str]:
    """Return the rows that are new and name any of these ids."""
    ids = list(theirs)
    new = [f"{table}: {row}" for table, rows in after.items() for row in rows if row not in before[table]]
    return [row for row in new if any(one in row for one in ids)]
