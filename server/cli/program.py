"""The `hushpost` command: its subcommands, and what becomes of their errors."""

from typing import Annotated, ClassVar

import typer

from server.cli.elsewhere import AS_IT_IS
from server.cli.late import LateGroup, Place
from server.cli.spoken import failures_spoken
from server.cli.terminal import result, speak_utf8


class _Commands(LateGroup):
    places: ClassVar = {
        "up": Place("Run", "processes", "up"),
        "server": Place("Run", "processes", "server"),
        "relay": Place("Run", "relay_commands", "commands"),
        "keys": Place("Run", "keys", "commands"),
        "config": Place("Run", "settings", "commands"),
        "doctor": Place("Operate", "doctor", "doctor"),
        "conformance": Place("Operate", "conformance", "conformance"),
        "backup": Place("Operate", "backup", "backup"),
        "restore": Place("Operate", "backup", "restore"),
        "db": Place("Operate", "database", "commands"),
        "deliveries": Place("Operate", "deliveries", "commands"),
        "register": Place("Use", "account", "register"),
        "login": Place("Use", "account", "login"),
        "send": Place("Use", "send", "send"),
        "tokens": Place("Use", "account", "tokens"),
        "devices": Place("Use", "devices", "commands"),
        "demo": Place("Try", "elsewhere", "demo", AS_IT_IS),
        "simulator": Place("Try", "elsewhere", "simulator", AS_IT_IS),
    }


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Self-hosted push notifications, encrypted end to end.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - brings the e-mail package, and only this needs it

        result(f"hushpost {metadata.version('hushpost')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run what the command line asks for. Ends the process where that failed."""
    speak_utf8()
    with failures_spoken():
        app()
