"""A bar on standard error for what takes a while: what is being done, how far it is, how long it took so far.

It is drawn where a terminal is there, and gone when the work is done: what remains are the command's own words.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

Report = Callable[[str, str, int], None]


@contextmanager
def rows_bar(total: int) -> Iterator[Report]:
    """Show how many of `total` rows are done; what is yielded is told of each batch: what, of which table, how many."""
    with _progress(MofNCompleteColumn()) as progress:
        task = progress.add_task("", total=total)

        def report(doing: str, table: str, count: int) -> None:
            progress.update(task, description=f"{doing} {table}", advance=count)

        yield report


@contextmanager
def steps_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far one step is; what is yielded is told how much is done, and of how much."""
    with _progress(TaskProgressColumn()) as progress:
        task = progress.add_task(doing, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


def _progress(count: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
