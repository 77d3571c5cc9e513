"""Topics, preferences, categories and channels of messages, the history of a tenant's deliveries, deleted users."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


_TENANT_OF = (  # a table is rewritten by an expression, which may ask a function, and not have a query in it
    "CREATE FUNCTION tenant_of_0004(TEXT) RETURNS TEXT LANGUAGE plpgsql STABLE"
    " AS 'BEGIN RETURN (SELECT tenant_id FROM messages WHERE id = $1); END'"
)


def upgrade() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_opt_outs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "channel", "category", name=op.f("pk_opt_outs")),
    )
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    _partial_index("users", "there", ["tenant_id", "id"], "deleted_at IS NULL")

    _change_buckets()
    with op.batch_alter_table("bucket_members", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_bucket_members_bucket_id_created_at_user_id"),
            ["bucket_id", "created_at", "user_id"],
            unique=False,
        )

    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("external_id", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("push_hash", sa.LargeBinary(), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_devices_user_id_external_id"), ["user_id", "external_id"], unique=True
        )
        batch_op.create_index(batch_op.f("ix_devices_push_hash"), ["push_hash"], unique=True)

    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("channels", sa.Text(), server_default='["IN_APP", "PUSH"]', nullable=False)
        )
        batch_op.add_column(sa.Column("category", sa.Text(), server_default="TRANSACTIONAL", nullable=False))
        batch_op.add_column(sa.Column("handed_over", sa.BigInteger(), nullable=True))
    op.execute("UPDATE messages SET channels = '[\"IN_APP\"]' WHERE delivery_type = 'NO_PUSH'")

    _change_inbox_items()
    _change_deliveries()


def _change_buckets() -> None:
    op.drop_index("ix_buckets_retained", table_name="buckets")
    with op.batch_alter_table("buckets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("topic_key", sa.Text(), nullable=True))
        batch_op.alter_column("owner_id", existing_type=sa.Text(), nullable=True)
        batch_op.drop_index(batch_op.f("ix_buckets_tenant_id"))
        batch_op.create_index(batch_op.f("ix_buckets_tenant_id_id"), ["tenant_id", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_buckets_tenant_id_topic_key"), ["tenant_id", "topic_key"], unique=True
        )
    retained = "retention_days IS NOT NULL OR retention_count IS NOT NULL"
    _partial_index("buckets", "retained", ["id"], retained)


def _change_inbox_items() -> None:
    for name in ("unread", "there", "bucket"):
        op.drop_index(f"ix_inbox_items_{name}", table_name="inbox_items")
    with op.batch_alter_table("inbox_items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("seen_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("category", sa.Text(), server_default="TRANSACTIONAL", nullable=False))
    if _on_postgresql():
        op.execute("ALTER TABLE inbox_items ALTER COLUMN seen_at TYPE BIGINT USING read_at")
    else:
        op.execute("UPDATE inbox_items SET seen_at = read_at WHERE read_at IS NOT NULL")
    there = ["user_id", "id", "deleted_at", "category"]
    _partial_index("inbox_items", "there", there, "deleted_at IS NULL")
    of_bucket = ["user_id", "bucket_id", "id", "deleted_at", "category"]
    _partial_index("inbox_items", "bucket", of_bucket, "deleted_at IS NULL")
    # The last: SQLite, which knows nothing of how many rows an index has, takes the newest of those that would do.
    _partial_index(
        "inbox_items",
        "unread",
        ["user_id", "id", "bucket_id", "seen_at", "read_at", "deleted_at"],
        "read_at IS NULL AND deleted_at IS NULL",
    )


def _change_deliveries() -> None:
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tenant_id", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("category", sa.Text(), nullable=True))
    if _on_postgresql():
        op.execute(_TENANT_OF)
        op.execute(
            "ALTER TABLE deliveries"
            " ALTER COLUMN tenant_id TYPE TEXT USING CASE WHEN frame_id = message_id THEN tenant_of_0004(message_id) END,"
            " ALTER COLUMN category TYPE TEXT USING CASE WHEN frame_id = message_id THEN 'TRANSACTIONAL' END"
        )
        op.execute("DROP FUNCTION tenant_of_0004")
    else:
        op.execute(
            "UPDATE deliveries SET category = 'TRANSACTIONAL', tenant_id = m.tenant_id FROM messages m"
            " WHERE m.id = deliveries.message_id AND deliveries.frame_id = deliveries.message_id"
        )
    _partial_index(
        "deliveries",
        "activity",
        ["tenant_id", "channel", "category", "created_at", "id"],
        "tenant_id IS NOT NULL",
    )


def _on_postgresql() -> bool:
    """Say whether tables can be written anew in one go.

    An UPDATE of every row would leave each of them there twice, and each index with both. What is worse, PostgreSQL does not use
    an index that is made over rows which the same transaction has updated before every older transaction has
    ended, be it the dump of another database: until then, a page of the activity reads all deliveries twenty times.
    """
    return op.get_bind().dialect.name == "postgresql"


def _partial_index(table: str, name: str, columns: list[str], some: str) -> None:
    op.create_index(
        f"ix_{table}_{name}",
        table,
        columns,
        unique=False,
        postgresql_where=sa.text(some),
        sqlite_where=sa.text(some),
    )
