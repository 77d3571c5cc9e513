"""The `hushpost` command: its subcommands, and what becomes of their errors."""

from importlib import metadata
from typing import Annotated

import typer

from server.cli import (
    account,
    backup,
    conformance,
    database,
    deliveries,
    devices,
    doctor,
    elsewhere,
    keys,
    processes,
    relay_commands,
    send,
    settings,
)
from server.cli.spoken import failures_spoken
from server.cli.terminal import result, speak_utf8

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Self-hosted push notifications, encrypted end to end.",
)
app.command(rich_help_panel="Run")(processes.up)
app.command(rich_help_panel="Run")(processes.server)
app.add_typer(relay_commands.commands, name="relay", rich_help_panel="Run")
app.add_typer(keys.commands, name="keys", rich_help_panel="Run")
app.add_typer(settings.commands, name="config", rich_help_panel="Run")
app.command(rich_help_panel="Operate")(doctor.doctor)
app.command(rich_help_panel="Operate")(conformance.conformance)
app.command(rich_help_panel="Operate")(backup.backup)
app.command(rich_help_panel="Operate")(backup.restore)
app.add_typer(database.commands, name="db", rich_help_panel="Operate")
app.add_typer(deliveries.commands, name="deliveries", rich_help_panel="Operate")
app.command(rich_help_panel="Use")(account.register)
app.command(rich_help_panel="Use")(account.login)
app.add_typer(account.tokens, name="tokens", rich_help_panel="Use")
app.add_typer(devices.commands, name="devices", rich_help_panel="Use")
app.command(rich_help_panel="Use")(send.send)
app.command(rich_help_panel="Try", **elsewhere.AS_IT_IS)(elsewhere.demo)
app.command(rich_help_panel="Try", **elsewhere.AS_IT_IS)(elsewhere.simulator)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
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
