"""What lists of users cost: their page is found in an index, whoever else there is in the database."""

import pytest

from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.store import accounts, buckets, subscribers, topics
from tests.server.store.test_inbox_pages import Ask, plan_of

TENANTS = 20
USERS = 250  # of each tenant

lists = pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda tx: subscribers.list_subscribers(tx, "7", offset=20, limit=20), "ix_users_there"),
        (lambda tx: subscribers.list_subscribers_after(tx, "7", after="0", limit=20), "ix_users_there"),
        (lambda tx: subscribers.count_subscribers(tx, "7"), "users"),
        (
            lambda tx: topics.list_subscriptions(tx, "7", offset=20, limit=20),
            "ix_bucket_members_bucket_id_created_at_user_id",
        ),
        (lambda tx: topics.list_subscriptions_after(tx, "7", after="0", limit=20), "bucket_members"),
        (lambda tx: buckets.count_members(tx, ["7", "8"]), "bucket_members"),
        (lambda tx: topics.list_topics(tx, "7", after="", limit=20), "ix_buckets_tenant_id_topic_key"),
    ],
)


@pytest.fixture
async def filled(database: Database, random: Random) -> Database:
    """Tenants with as many users, all of them subscribed to a topic, one of many that there are."""

    async def job(tx: Transaction) -> None:
        named = [(str(number),) for number in range(TENANTS)]
        await tx.many("INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", named)
        keys = [(one[0], one[0], "news") for one in named]
        keys += [(f"{one[0]}-{key}", one[0], f"news-{key}") for one in named for key in range(20)]
        topic = "INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ($1, $2, $3, $3, 1)"
        await tx.many(topic, keys)
        users = [
            (new_id(number, random), one[0], f"user-{number}") for one in named for number in range(USERS)
        ]
        user = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)"
        await tx.many(f"{user} VALUES ($1, $2, $3, 'user', '{{}}', 1)", users)
        member = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at)"
        await tx.many(f"{member} VALUES ($2, $1, '[\"READ\"]', 1)", [one[:2] for one in users])
        if not database.exclusive:
            await tx.run("ANALYZE")

    await database.write(job)
    return database


async def planned(database: Database, ask: Ask) -> list[str]:
    """Return the plan of a question; PostgreSQL would read few rows as they lie there."""

    async def job(tx: Transaction) -> list[str]:
        if not database.exclusive:
            for way in ("seqscan", "bitmapscan"):
                await tx.run(f"SET LOCAL enable_{way} = off")
        return await plan_of(tx, ask, "EXPLAIN QUERY PLAN" if database.exclusive else "EXPLAIN")

    return await database.write(job)


@lists
async def test_a_page_is_found_in_an_index(filled: Database, ask: Ask, index: str) -> None:
    """No table is read through, and what is on the page needs no sorting of what is not."""
    plan = await planned(filled, ask)
    assert any(index in step for step in plan), plan
    read_through = ("SCAN users", "SCAN bucket_members", "SCAN buckets", "Seq Scan")
    assert not [step for step in plan if any(word in step for word in read_through)], plan


async def test_the_members_of_many_buckets_are_counted_in_one_question_and_not_for_ever(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["7", "8", "7-1", "nobody's"]
    found = await filled.read(lambda tx: buckets.count_members(tx, ids))
    assert found == {"7": USERS, "8": USERS, "7-1": 0}
    monkeypatch.setattr(buckets, "MOST_COUNTED", 10)
    assert await filled.read(lambda tx: buckets.count_members(tx, ids)) == {"7": 10, "8": 10, "7-1": 0}


async def test_names_are_looked_for_by_their_own_indexes(filled: Database) -> None:
    """Not among everybody of the tenant, of whom there may be very many."""
    people = await planned(filled, lambda tx: accounts.find_people(tx, "7", ["user-1"]))
    found = [step for step in people if step.startswith("SEARCH") or "Index Scan using" in step]
    assert len(found) == 3, people
    assert not [step for step in found if "(tenant_id=?)" in step], people
