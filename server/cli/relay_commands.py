"""`hushpost relay`: runs it; and what its operator does beside that."""

import os
import resource
import signal
import sys
from typing import Annotated, Final, NoReturn

import typer

from server.cli import relay_pass
from server.cli.terminal import ConfigOption

commands = typer.Typer(invoke_without_command=True)
commands.add_typer(relay_pass.commands, name="pass")

_RETURNED = 131_072
"""Bytes from which on a piece of memory is the system's again as soon as it is free. That is where glibc begins, but it learns
from what is freed to keep ever larger pieces: the buffers of connections and bodies, in holes that nobody uses again."""
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(_RETURNED), "MALLOC_TRIM_THRESHOLD_": str(_RETURNED)}

WorkersOption = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, max=256, help="How many processes share the address."),
]


@commands.callback()
def relay(context: typer.Context, config: ConfigOption = None, workers: WorkersOption = 1) -> None:
    """Run the relay: it passes ciphertext on to Apple, Google and Web Push services, and keeps nothing.

    SIGHUP reads who may push and the epoch keys anew, without dropping a request.
    """
    if context.invoked_subcommand is None:
        _become(workers, config)


_FILES: Final = 65_536


def _become(workers: int, config: str | None) -> NoReturn:
    """Make room: what the commands have loaded is three quarters of what a relay's process needs.

    What is set here holds for the relay and for each of its processes.
    """
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # one that comes before the relay can answer it does not end it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would have keys and tokens in it
    soft, hard = resource.getrlimit(
        resource.RLIMIT_NOFILE
    )  # the usual 1,024 is less than many servers and apps need
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _FILES)), hard))
    os.environ |= {**_ALLOCATOR, **os.environ}
    arguments = [str(workers), *([] if config is None else [config])]
    os.execv(  # noqa: S606 - our own interpreter and module
        sys.executable, [sys.executable, "-P", "-m", "server.cli.relay_main", *arguments]
    )
