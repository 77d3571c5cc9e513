"""A clock that tests set."""

from datetime import datetime


class SettableClock:
    """Milliseconds since the epoch; moves only when told to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds


def at(text: str) -> int:
    """Return an instant, given in RFC 3339, in milliseconds since the epoch."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)
