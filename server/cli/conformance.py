"""`hushpost conformance`: whether a relay does what the protocol says, check by check (docs/conformance.md)."""

from pathlib import Path
from typing import Annotated

import typer

from server.cli.terminal import JsonOption


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
    from server.cli.conformance_run import check, given_by  # noqa: PLC0415 - brings aiohttp and all the checks

    given = given_by(
        key=key,
        own_pass=own_pass,
        denied_key=denied_key,
        pass_key=pass_key,
        relay_keys=relay_keys,
        tokens=token or (),
    )
    check(url, connect, given, only=only, made=key is None, as_json=as_json)
