"""One of several relay processes behind one socket, as the supervisor starts it: `python -m server.cli.relay_child`."""

import sys

from server.cli.lean import without_rich


def main() -> None:
    without_rich()
    from server.cli.relay_crew import child  # noqa: PLC0415 - after that

    child()


if __name__ == "__main__":
    main()
    sys.exit()
