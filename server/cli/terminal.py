"""What the commands that people type have in common: options, and JSON for scripts."""

import json
from typing import Annotated, Any

import typer

from server.cli.saying import FAILED, USAGE, CommandError, complain, result, say, speak_utf8

__all__ = [
    "FAILED",
    "USAGE",
    "CommandError",
    "ConfigOption",
    "JsonOption",
    "complain",
    "result",
    "result_json",
    "say",
    "speak_utf8",
]

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="The configuration file; else HUSHPOST_CONFIG names it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def result_json(value: Any) -> None:
    result(json.dumps(value, indent=2, ensure_ascii=False))
