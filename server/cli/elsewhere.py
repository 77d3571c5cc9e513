"""`hushpost demo` and `hushpost simulator`: handed over to the simulator's own programs, which share no code with the server."""

import os
import sys
from typing import Any, NoReturn

import typer

AS_IT_IS: dict[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
}


def demo(context: typer.Context) -> None:
    """Send a message through server, relay and simulated providers to three simulated phones, and show every hop."""
    _become("simulator.demo", context.args)


def simulator(context: typer.Context) -> None:
    """Run APNs, FCM and phones that speak the real protocols on this machine, to develop and test against."""
    _become("simulator", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own interpreter and module
