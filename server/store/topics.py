"""Topics as a tenant's own servers see them: by key, with whoever is subscribed."""

from collections.abc import Sequence

from server.domain.pages import MOST_COUNTED
from server.domain.ports import Row, Transaction
from server.domain.topic import Subscription, Topic
from server.store.dialect import chunks, holes


async def lock_topic(tx: Transaction, tenant_id: str, key: str, *, to_close: bool) -> str | None:
    """Return the id of a topic that nobody closes until the end of the transaction, or changes where it is to be closed."""
    row = await tx.one(
        "SELECT id FROM buckets WHERE tenant_id = $1 AND topic_key = $2 FOR"
        f" {'NO KEY UPDATE' if to_close else 'SHARE'}",
        tenant_id,
        key,
    )
    return None if row is None else str(row["id"])


async def close_topic(tx: Transaction, topic_id: str) -> None:
    """Make a bucket no topic any more, and free its key and name. What is in it is still there."""
    await tx.run("UPDATE buckets SET topic_key = NULL, name = id WHERE id = $1", topic_id)


async def list_topics(tx: Transaction, tenant_id: str, *, after: str, limit: int) -> list[Topic]:
    """Return a tenant's topics by key, from the one after `after` on; with DIRECT from the first one on."""
    rows = await tx.all(
        "SELECT id, topic_key, created_at FROM buckets WHERE tenant_id = $1 AND topic_key > $2"
        " ORDER BY topic_key LIMIT $3",
        tenant_id,
        after,
        limit,
    )
    return [Topic(row["id"], row["topic_key"], row["created_at"]) for row in rows]


async def list_subscriptions(
    tx: Transaction, topic_id: str, *, offset: int, limit: int
) -> list[Subscription]:
    """Return who is subscribed to a topic in the order in which they came; who comes now is last."""
    rows = await tx.all(
        "SELECT p.user_id, COALESCE(u.external_id, u.id) AS name, p.created_at FROM (SELECT user_id, created_at"
        " FROM bucket_members WHERE bucket_id = $1 ORDER BY created_at, user_id LIMIT $2 OFFSET $3) p"
        " JOIN users u ON u.id = p.user_id ORDER BY p.created_at, p.user_id",
        topic_id,
        limit,
        offset,
    )
    return [_subscription_of(row) for row in rows]


async def list_subscriptions_after(
    tx: Transaction, topic_id: str, *, after: str, limit: int
) -> list[Subscription]:
    """Return who is subscribed to a topic by user id, from the one after `after` on."""
    rows = await tx.all(
        "SELECT p.user_id, COALESCE(u.external_id, u.id) AS name, p.created_at FROM (SELECT user_id, created_at"
        " FROM bucket_members WHERE bucket_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3) p"
        " JOIN users u ON u.id = p.user_id ORDER BY p.user_id",
        topic_id,
        after,
        limit,
    )
    return [_subscription_of(row) for row in rows]


async def count_subscriptions(tx: Transaction, topic_id: str) -> int:
    """Return how many are subscribed to a topic; what is more than MOST_COUNTED is MOST_COUNTED + 1."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM (SELECT user_id FROM bucket_members WHERE bucket_id = $1"
        f" LIMIT {MOST_COUNTED + 1}) AS counted",
        topic_id,
    )
    return 0 if row is None else int(row["n"])


async def remove_subscriptions(tx: Transaction, topic_id: str, user_ids: Sequence[str]) -> int:
    """End the subscriptions of users; return how many had one."""
    removed = 0
    for chunk in chunks(sorted(set(user_ids))):
        removed += await tx.run(
            f"DELETE FROM bucket_members WHERE bucket_id = $1 AND user_id IN ({holes(len(chunk), after=1)})",
            topic_id,
            *chunk,
        )
    return removed


async def drop_subscriptions(tx: Transaction, topic_id: str, limit: int) -> int:
    """End at most so many subscriptions to a topic; return how many."""
    return await tx.run(
        "DELETE FROM bucket_members WHERE bucket_id = $1 AND user_id IN"
        " (SELECT user_id FROM bucket_members WHERE bucket_id = $1 ORDER BY user_id LIMIT $2)",
        topic_id,
        limit,
    )


def _subscription_of(row: Row) -> Subscription:
    return Subscription(row["user_id"], row["name"], row["created_at"])
