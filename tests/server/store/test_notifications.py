"""What reading notifications costs: what is read, whatever else there is."""

import re
from functools import partial

import asyncpg
import pytest

from server.domain.ports import Database
from server.store import notifications
from server.store.database import open_database
from tests.harness import databases
from tests.server.store.test_inbox_pages import Ask, plan_of

PLAN, BEN, NAMES = "plan-1", "user-1", ["n-1", "0-00000001"]
READING: dict[str, Ask] = {
    "a tenant's": lambda tx: notifications.list_sent(tx, "acme", None, 20),
    "a document's": lambda tx: notifications.list_about(tx, "acme", PLAN, None, 20),
    "a user's": lambda tx: notifications.list_received(tx, BEN, None, 20),
    "a user's about a document": lambda tx: notifications.list_received_about(
        tx, BEN, "acme", PLAN, None, 20
    ),
    "a tenant's by name": lambda tx: notifications.find_sent(tx, "acme", NAMES, PLAN),
    "a user's by name": lambda tx: notifications.find_received(tx, BEN, "acme", NAMES, PLAN),
    "who has read them": lambda tx: notifications.find_readers(tx, ["0-00000001", "0-00000002"]),
}
LARGE = "messages|inbox_items|subjects"
# Half of all messages are acme's, a third of them about one document; ben has some.
FILL = """
INSERT INTO tenants (id, name, created_at) VALUES ('acme', 'acme', 0);
INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)
    SELECT 'user-' || n, 'acme', 'user-' || n, 'user', '{}', 0 FROM generate_series(1, 200) n;
INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ('direct', 'acme', '', '', 0), ('news', 'acme', 'news', 'news', 0);
INSERT INTO documents (id, tenant_id, key, created_at) SELECT 'document-' || n, 'acme', 'plan-' || n, 0 FROM generate_series(0, 2) n;
INSERT INTO messages (id, tenant_id, bucket_id, delivery_type, content, notifications, created_at, sent_at, expires_at)
    SELECT '0-' || lpad(n::text, 8, '0'), 'acme', CASE WHEN n % 2 = 0 THEN 'direct' ELSE 'news' END, 'NORMAL', repeat('x', 300), 1, 1, 1, 1
    FROM generate_series(1, 20000) n;
INSERT INTO subjects (message_id, tenant_id, document_id, name, details)
    SELECT '0-' || lpad(n::text, 8, '0'), 'acme', 'document-' || n % 3, 'n-' || n, '{}' FROM generate_series(1, 20000) n;
INSERT INTO inbox_items (id, message_id, user_id, bucket_id, created_at, changed_at, read_at)
    SELECT '1-' || lpad(n::text, 8, '0'), '0-' || lpad(n::text, 8, '0'), 'user-' || 1 + n % 200, 'direct', 1, 1, CASE WHEN n % 2 = 0 THEN 1 END
    FROM generate_series(1, 20000) n;
"""


@pytest.mark.parametrize("what", READING)
async def test_only_what_is_shown_is_read_on_sqlite(sqlite_url: str, what: str) -> None:
    database = await open_database(sqlite_url)
    plan = await database.read(lambda tx: plan_of(tx, READING[what], "EXPLAIN QUERY PLAN"))
    await database.close()
    tables = f"{LARGE}|users|documents|buckets"
    assert not [step for step in plan if re.match(rf"SCAN ({tables})\b", step)], plan
    # Of an inbox only a page in its order, or one item at a time.
    items = [step for step in plan if "inbox_items" in step]
    assert all(
        "(user_id=? AND id<?)" in step
        or "(message_id=?" in step
        or "message_id=?)" in step
        or "(id=?)" in step
        for step in items
    ), plan


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL here")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_only_what_is_shown_is_read_on_postgresql(database: Database, postgres_url: str) -> None:
    """With what it knows of many, of which each page is a small part that lies at the end."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(FILL)
    for table in LARGE.split("|"):
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.close()
    for what, ask in READING.items():
        plan = "\n".join(await database.read(partial(plan_of, ask=ask, explain="EXPLAIN")))
        assert not re.findall(rf"Seq Scan on ({LARGE})\b", plan), (what, plan)
        assert not re.findall(r"Scan Backward using pk_", plan), (what, plan)
