"""What the commands have in common: results on standard output, words for people on standard error, three exit codes.

0 is done, 1 failed, 2 asked for wrongly (usage, settings, key files). An error is one sentence for each thing that is
wrong; a trace is for nobody who types a command.
"""

import json
import sys
from typing import Annotated, Any

import typer

FAILED = 1
USAGE = 2

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="The configuration file; else HUSHPOST_CONFIG names it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class CommandError(Exception):
    """Ends a command with these sentences and this exit code."""

    def __init__(self, *sentences: str, code: int = FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.code = code


def result(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def result_json(value: Any) -> None:
    result(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def complain(sentences: tuple[str, ...]) -> None:
    for sentence in sentences:
        say(f"hushpost: {sentence}")


def speak_utf8() -> None:
    """What is printed is UTF-8 whatever the locale: a message must not be lost for a C locale."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
