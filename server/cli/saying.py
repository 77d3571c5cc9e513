"""What every process of ours says and how it ends: results on standard output, words for people on standard error, three exit codes.

0 is done, 1 failed, 2 asked for wrongly (usage, settings, key files). An error is one sentence for each thing that is
wrong; a trace is for nobody who types a command. Apart from `terminal`, whose options bring typer: a relay's processes have
no need of that.
"""

import sys

FAILED = 1
USAGE = 2


class CommandError(Exception):
    """Ends a command with these sentences and this exit code."""

    def __init__(self, *sentences: str, code: int = FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.code = code


def result(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


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
