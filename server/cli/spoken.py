"""What a person or a log is told where a process of ours fails: sentences and an exit code, never a trace."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from relay.config import ConfigError
from server.cli.configfile import ConfigFaults
from server.cli.keyfiles import KeyFileError
from server.cli.saying import FAILED, USAGE, CommandError, complain


@contextmanager
def failures_spoken() -> Iterator[None]:
    """End the process with an exit code where what is done within fails."""
    try:
        yield
    except CommandError as error:
        complain(error.sentences)
        raise SystemExit(error.code) from None
    except ConfigFaults as error:
        complain(tuple(map(str, error.faults)))
        raise SystemExit(USAGE) from None
    except (ConfigError, KeyFileError) as error:
        complain((str(error),))
        raise SystemExit(USAGE) from None
    except Exception as error:  # noqa: BLE001 - whoever types a command is told where it failed, in one sentence
        place = traceback.extract_tb(error.__traceback__)[-1]
        complain(
            (f"a fault in Hushpost itself: {type(error).__name__} in {place.name}, line {place.lineno}",)
        )
        raise SystemExit(FAILED) from None
