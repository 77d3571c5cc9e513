"""Something was committed, here or by another process: whoever acts on it is called, and finds out by looking what it was.

A hint may be lost, and may be for nothing. So those who are called also look by themselves now and then, and return at once.
"""

from collections.abc import Callable


class Hint:
    """Calls everybody who listens."""

    def __init__(self, *listeners: Callable[[], None]) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def __call__(self) -> None:
        for listener in self._listeners:
            listener()
