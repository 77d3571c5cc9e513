"""What the model knows of (`model.py`): devices, messages, deliveries and tasks."""

from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]
"""What a delivery is known by: kind, user, device ("" for the inbox), and the message, or the ids that it tells of."""


NO_DEVICE = "-"
"""Stands in the key for the device of a push to a user who has none."""


@dataclass
class Device:
    id: str
    user: str
    web: bool
    handle: str | None
    fault: str | None = None
    head: int = 0
    woken: int | None = None
    last_fault: str | None = None
    last_fault_at: int | None = None
    forgotten: set[int] = field(default_factory=set)  # the numbers of what was pruned


@dataclass
class Message:
    id: str
    bucket: str
    sender: str
    kind: str
    only: list[str] | None
    title: str
    created: int
    scheduled: int | None
    sent: int | None
    expires: int
    notifications: int = 0
    retracted: int | None = None


@dataclass
class Delivery:
    key: Key
    user: str
    device: str
    message: str | None
    state: str
    created: int
    due: int
    turn: int
    expires: int
    sequence: int | None = None
    reason: str | None = None
    attempts: int = 0
    settled: int | None = None
    lease: str | None = None
    relayed: int | None = None
    receipts: dict[str, int] = field(default_factory=dict)
    trouble: str | None = None

    @property
    def kind(self) -> int:
        return int(self.key[0])

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the queue; those of one device in the order of their numbers."""
        return self.turn, self.sequence or 0


@dataclass
class Task:
    kind: str
    message: str | None
    due: int
    after: tuple[str, str] = ("", "")
    gates: list[Key] = field(default_factory=list)
    since: int = 0
