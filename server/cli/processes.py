"""`hushpost server`, and `hushpost up`, which is server and relay in one process on one machine."""

from typing import Annotated

import typer

from server.cli.roles import Role
from server.cli.terminal import ConfigOption

DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="Where everything is kept; made where it is missing."),
]
ListenOption = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one."),
]
RoleOption = Annotated[
    Role,
    typer.Option(
        "--role", help="What it does: answer requests, deliver what was accepted, or all. PostgreSQL only."
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=256,
        help="How many processes share the address. PostgreSQL only.",
    ),
]

# `launch` is imported where it is needed: it brings all of server and relay, and `hushpost send` should not wait for them.


def server(config: ConfigOption = None, role: RoleOption = Role.ALL, workers: WorkersOption = 1) -> None:
    """Run the server: it keeps messages, encrypts them for each device and hands them to its relay."""
    if workers > 1:
        from server.cli import server_crew  # noqa: PLC0415 - it has no need of all of the server

        server_crew.serve(config, role, workers)
    else:
        from server.cli import launch  # noqa: PLC0415 - see above

        launch.server(config, role)


def up(data: DataOption = None, listen: ListenOption = None, config: ConfigOption = None) -> None:
    """Run server and relay together on this machine. Makes everything that is missing, needs no other file."""
    from server.cli import launch  # noqa: PLC0415 - see above

    launch.up(data, listen, config)
