"""Topics: a tenant's named audiences, without owner or presentation. Each is a bucket whose members are its subscribers.

One more bucket of a tenant, of the key DIRECT, has as its members whoever was ever sent a message by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.commands.people import ensure_people, find_person
from server.domain.audience import identify
from server.domain.bucket import DIRECT, DIRECT_NAME, Bucket
from server.domain.errors import Conflict, Fault, NotFound
from server.domain.ids import new_id
from server.domain.pages import Numbered
from server.domain.ports import Database, Random, Transaction
from server.domain.rules import label
from server.domain.task import Kind, Task
from server.domain.topic import Subscription, Topic
from server.store import accounts, buckets, members, tasks, topics

_ENDED_AT_ONCE = 1000  # subscriptions


@dataclass(frozen=True)
class TopicPage:
    topics: Sequence[Topic]
    more: bool


@dataclass(frozen=True)
class SubscriptionPage:
    subscriptions: Sequence[Subscription]
    more: bool


async def create_topic(db: Database, tenant_id: str, key: str, *, now: int, random: Random) -> Bucket:
    """Make a topic; Conflict where there is one of that key."""
    topic = _new_topic(tenant_id, key, key, now, random)
    if not await db.write(lambda tx: buckets.add_topic(tx, topic)):
        fault = Fault("topicKey", "is the key of another topic", "use that topic, or choose another key")
        raise Conflict("there is a topic of this key", code="topic_exists", faults=[fault])
    return topic


async def get_topic(db: Database, tenant_id: str, key: str) -> Bucket:
    """Return a topic; NotFound."""
    return await db.read(lambda tx: found_topic(tx, tenant_id, key))


async def list_topics(db: Database, tenant_id: str, *, after: str, limit: int) -> TopicPage:
    """Return a tenant's topics by key, from the one after `after` on."""
    found = await db.read(
        lambda tx: topics.list_topics(tx, tenant_id, after=after or DIRECT, limit=limit + 1)
    )
    return TopicPage(found[:limit], len(found) > limit)


async def delete_topic(
    db: Database, tenant_id: str, key: str, *, now: int, random: Random, wake: Callable[[], None]
) -> None:
    """End a topic and every subscription to it: its key is free, and what was sent stays where it is. NotFound.

    Of very many subscriptions the rest is ended by a task: nobody else's requests wait for that.
    """

    async def job(tx: Transaction) -> None:
        topic_id = await topics.lock_topic(tx, tenant_id, _sound(key), to_close=True)
        if topic_id is None:
            raise _no_topic()
        await topics.close_topic(tx, topic_id)
        task = Task(new_id(now, random), Kind.DISBAND, None, {"topic": topic_id}, now, 0, now)
        rest = await disband(tx, task, now, random)
        if rest is not None:
            await tasks.add_task(tx, rest)

    await db.write(job)
    wake()


async def disband(tx: Transaction, task: Task, now: int, _random: Random) -> Task | None:
    """End the next subscriptions to a topic that was deleted; return the task as it goes on, None where that was all."""
    ended = await topics.drop_subscriptions(tx, task.payload["topic"], _ENDED_AT_ONCE)
    return task.at(now) if ended == _ENDED_AT_ONCE else None


async def subscribe(
    db: Database, tenant_id: str, key: str, names: Sequence[str], *, now: int, random: Random
) -> int:
    """Subscribe users to a topic and return for how many that is new; a topic and users that are not there are made."""

    async def job(tx: Transaction) -> int:
        topic_id = await _settled(tx, tenant_id, key, now, random)
        user_ids = await ensure_people(tx, tenant_id, names, now, random)
        return await buckets.ensure_readers(tx, topic_id, user_ids, now)

    return await db.write(job)


async def unsubscribe(db: Database, tenant_id: str, key: str, names: Sequence[str]) -> int:
    """End subscriptions and return how many there were; NotFound for an unknown topic, or naming every unknown user: then none ends."""

    async def job(tx: Transaction) -> int:
        topic = await found_topic(tx, tenant_id, key)
        user_ids = await _find_all(tx, tenant_id, names)
        return await topics.remove_subscriptions(tx, topic.id, user_ids)

    return await db.write(job)


async def end_subscription(db: Database, tenant_id: str, key: str, name: str) -> None:
    """End the subscription of one user; NotFound for an unknown topic or user, and where there is none."""

    async def job(tx: Transaction) -> int:
        topic = await found_topic(tx, tenant_id, key)
        user_id = await find_person(tx, tenant_id, name)
        return await topics.remove_subscriptions(tx, topic.id, [user_id])

    if not await db.write(job):
        raise NotFound("this user is not subscribed to the topic", code="subscription_not_found")


async def is_subscribed(db: Database, tenant_id: str, key: str, name: str) -> bool:
    """Say whether a user is subscribed to a topic; NotFound for an unknown one of either."""

    async def job(tx: Transaction) -> bool:
        topic = await found_topic(tx, tenant_id, key)
        user_id = await find_person(tx, tenant_id, name)
        return await members.load_member(tx, topic.id, user_id) is not None

    return await db.read(job)


async def list_subscriptions(
    db: Database, tenant_id: str, key: str, *, offset: int, limit: int
) -> Numbered[Subscription]:
    """Return who is subscribed to a topic in the order in which they came; NotFound."""

    async def job(tx: Transaction) -> Numbered[Subscription]:
        topic = await found_topic(tx, tenant_id, key)
        found = await topics.list_subscriptions(tx, topic.id, offset=offset, limit=limit + 1)
        total = await topics.count_subscriptions(tx, topic.id)
        return Numbered(found[:limit], len(found) > limit, total)

    return await db.read(job)


async def list_subscriptions_after(
    db: Database, tenant_id: str, key: str, *, after: str, limit: int
) -> SubscriptionPage:
    """Return who is subscribed to a topic by user id, from the one after `after` on; NotFound."""

    async def job(tx: Transaction) -> list[Subscription]:
        topic = await found_topic(tx, tenant_id, key)
        return await topics.list_subscriptions_after(tx, topic.id, after=after, limit=limit + 1)

    found = await db.read(job)
    return SubscriptionPage(found[:limit], len(found) > limit)


async def direct_bucket(tx: Transaction, tenant_id: str, now: int, random: Random) -> Bucket:
    """Return a tenant's bucket for messages to users by name, which the first of them makes."""
    found = await buckets.find_topic(tx, tenant_id, DIRECT)
    if found is None:
        await buckets.add_topic(tx, _new_topic(tenant_id, DIRECT, DIRECT_NAME, now, random))
        found = await buckets.find_topic(tx, tenant_id, DIRECT)
    if found is None:
        raise LookupError("the bucket that this transaction, or the one that it waited for, has written")
    return found


async def found_topic(tx: Transaction, tenant_id: str, key: str) -> Bucket:
    """Return a topic; NotFound."""
    topic = await buckets.find_topic(tx, tenant_id, _sound(key))
    if topic is None:
        raise _no_topic()
    return topic


async def _settled(tx: Transaction, tenant_id: str, key: str, now: int, random: Random) -> str:
    """Return the id of a topic, made where there is none, which nobody deletes until the end of the transaction."""
    while (found := await topics.lock_topic(tx, tenant_id, key, to_close=False)) is None:
        await buckets.add_topic(tx, _new_topic(tenant_id, key, key, now, random))
    return found


async def _find_all(tx: Transaction, tenant_id: str, names: Sequence[str]) -> list[str]:
    """Return the ids of users by any of their names; NotFound names each name that nobody has."""
    found = identify(names, await accounts.find_people(tx, tenant_id, names))
    fix = "name users by the names that your servers know"
    faults = [
        Fault(f"subscriberIds[{index}]", f"no such user: {names[index]}", fix)
        for index, user_id in enumerate(found)
        if user_id is None
    ]
    if faults:
        detail = "; ".join(fault.reason for fault in faults)
        raise NotFound(detail, code="user_not_found", faults=faults)
    return [user_id for user_id in found if user_id is not None]


def _sound(key: str) -> str:
    """Return a key that may be a topic's; NotFound: DIRECT is none, and PostgreSQL cannot even look for a NUL."""
    if key == DIRECT or label(key) is not None:
        raise _no_topic()
    return key


def _no_topic() -> NotFound:
    return NotFound("no such topic", code="topic_not_found")


def _new_topic(tenant_id: str, key: str, name: str, now: int, random: Random) -> Bucket:
    return Bucket(
        id=new_id(now, random),
        tenant_id=tenant_id,
        owner_id=None,
        name=name,
        description=None,
        icon=None,
        color=None,
        protected_at=None,
        public_at=None,
        created_at=now,
        permissions=frozenset(),
        topic_key=key,
    )
