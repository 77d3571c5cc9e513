"""What `hushpost relay` becomes: `python -m server.cli.relay_main WORKERS [FILE]`.

A program of its own, since what the other commands need would be three quarters of a relay's memory.
"""

import sys

from server.cli.lean import without_rich


def main() -> None:
    without_rich()
    from server.cli.relay_crew import run  # noqa: PLC0415 - after that

    _, workers, *config = sys.argv
    run(config[0] if config else None, int(workers))


if __name__ == "__main__":
    main()
    sys.exit()
