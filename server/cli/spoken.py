"""What a person or a log is told where a process of ours fails: sentences and an exit code, never a trace."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from server.cli.saying import FAILED, USAGE, CommandError, complain


@contextmanager
def failures_spoken() -> Iterator[None]:
    """End the process with an exit code where what is done within fails."""
    try:
        yield
    except CommandError as error:
        complain(error.sentences)
        raise SystemExit(error.code) from None
    except Exception as error:  # noqa: BLE001 - whoever types a command is told where it failed, in one sentence
        if faults := _of_settings(error):
            complain(faults)
            raise SystemExit(USAGE) from None
        place = traceback.extract_tb(error.__traceback__)[-1]
        complain(
            (f"a fault in Hushpost itself: {type(error).__name__} in {place.name}, line {place.lineno}",)
        )
        raise SystemExit(FAILED) from None


def _of_settings(error: Exception) -> tuple[str, ...]:
    """What is wrong with the settings or the keys, if that is what failed."""
    # Here, because a command that reads neither would wait for msgspec and cryptography.
    from relay.config import ConfigError  # noqa: PLC0415 - see above
    from server.cli.configfile import ConfigFaults  # noqa: PLC0415
    from server.cli.keyfiles import KeyFileError  # noqa: PLC0415

    match error:
        case ConfigFaults():
            return tuple(map(str, error.faults))
        case ConfigError() | KeyFileError():
            return (str(error),)
        case _:
            return ()
