"""Access tokens in the database: what every request that brings one costs."""

import re

import pytest

from server.domain.ports import Database, Transaction
from server.store import tokens
from server.store.database import open_database
from tests.harness import databases

_MANY = (
    "INSERT INTO tenants (id, name, created_at) SELECT n::text, n::text, 1 FROM generate_series(1, 3000) n",
    (
        "INSERT INTO users (id, tenant_id, role, profile, created_at) SELECT n::text, n::text, 'user', '{}', 1"
        " FROM generate_series(1, 3000) n"
    ),
    (
        "INSERT INTO access_tokens (id, user_id, tenant_id, name, hash, scopes, created_at)"
        " SELECT n::text, n::text, n::text, 'CI', n::text::bytea, '[]', 1 FROM generate_series(1, 3000) n"
    ),
    "ANALYZE tenants, users, access_tokens",
)


async def test_a_token_is_found_by_unique_keys_on_sqlite(sqlite_url: str) -> None:
    """The token by its hash, its owner and its tenant by their ids; no table is read through."""
    database = await open_database(sqlite_url)
    plan = await database.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {tokens._FIND}", b"hash", 1))
    await database.close()
    steps = [row["detail"] for row in plan]
    assert [re.sub(r" \(.*", "", step) for step in steps] == [
        "SEARCH t USING INDEX sqlite_autoindex_access_tokens_2",
        "SEARCH u USING INDEX sqlite_autoindex_users_1",
        "SEARCH n USING INDEX sqlite_autoindex_tenants_1",
    ]


@pytest.mark.skipif("postgresql" not in databases.engines(), reason="there is no PostgreSQL here")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_token_is_found_by_unique_keys_on_postgresql(database: Database) -> None:
    """Among many rows, of which the planner knows: with few it reads what there is."""

    async def explain(tx: Transaction) -> list[str]:
        for sql in _MANY:
            await tx.run(sql)
        rows = await tx.all(f"EXPLAIN {tokens._FIND}", b"hash", 1)
        return [row["QUERY PLAN"] for row in rows]

    plan = "\n".join(await database.write(explain))
    assert re.findall(r"using (\w+) on", plan) == ["uq_access_tokens_hash", "pk_users", "pk_tenants"]
    assert "Seq Scan" not in plan
