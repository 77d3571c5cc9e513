"""Topics: a tenant's named audiences, as its own servers see them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A topic; `id` is that of its bucket."""

    id: str
    key: str
    created_at: int


@dataclass(frozen=True)
class Subscription:
    """A user who is subscribed to a topic. `name` is the one by which the tenant's own servers know them."""

    user_id: str
    name: str
    created_at: int
