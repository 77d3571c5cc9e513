"""Turns and times of deliveries, tallies, tasks, scheduled messages, idempotency keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


_PARTIAL = (
    ("ix_deliveries_queued", ["turn", "due_at"], "state = 'queued'"),
    ("ix_deliveries_leased", ["device_id", "due_at"], "state = 'leased'"),
    ("ix_deliveries_dead", ["settled_at", "id"], "state IN ('failed', 'expired', 'gone')"),
)
_STATES = ("accepted", "gone", "expired", "failed", "cancelled", "suppressed")
_OPENING = (  # what is there already, as the first entry of the books
    f"INSERT INTO delivery_tallies (book, created, waiting, {', '.join(_STATES)})"
    " SELECT 'live', COUNT(*),"
    " COALESCE(SUM(CASE WHEN state IN ('queued', 'leased') THEN 1 ELSE 0 END), 0), "
    + ", ".join(f"COALESCE(SUM(CASE WHEN state = '{state}' THEN 1 ELSE 0 END), 0)" for state in _STATES)
    + " FROM deliveries"
)


def upgrade() -> None:
    op.create_table(
        "delivery_tallies",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("suppressed", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_idempotency_keys_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_idempotency_keys")),
    )
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_keys_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_idempotency_keys_message_id"), ["message_id"], unique=False)

    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_tasks_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tasks_due_at"), ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_tasks_message_id"), ["message_id"], unique=False)

    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("turn", sa.BigInteger(), nullable=True))
        deliveries.add_column(sa.Column("sealed_at", sa.BigInteger(), nullable=True))
        deliveries.add_column(sa.Column("relayed_at", sa.BigInteger(), nullable=True))
        deliveries.drop_index(op.f("ix_deliveries_message_id"))
        deliveries.drop_index("ix_deliveries_waiting")
    op.execute("UPDATE deliveries SET turn = due_at")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("turn", existing_type=sa.BigInteger(), nullable=False)
        deliveries.create_index(op.f("ix_deliveries_message_id_id"), ["message_id", "id"])
        for name, columns, condition in _PARTIAL:
            where = sa.text(condition)
            deliveries.create_index(name, columns, postgresql_where=where, sqlite_where=where)
    with op.batch_alter_table("devices") as devices:
        devices.drop_index(op.f("ix_devices_user_id"))
        devices.create_index(op.f("ix_devices_user_id_id"), ["user_id", "id"])
    with op.batch_alter_table("messages") as messages:
        messages.add_column(sa.Column("notifications", sa.BigInteger(), nullable=True))
        messages.add_column(sa.Column("scheduled_at", sa.BigInteger(), nullable=True))
        messages.add_column(sa.Column("sent_at", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE messages SET sent_at = created_at, notifications ="
        " (SELECT COUNT(*) FROM inbox_items WHERE inbox_items.message_id = messages.id)"
    )
    with op.batch_alter_table("messages") as messages:
        messages.alter_column("notifications", existing_type=sa.BigInteger(), nullable=False)
    op.execute(_OPENING)
    if op.get_bind().dialect.name == "postgresql":
        # Every row is written a few times within a second: vacuumed before a queue's worth of dead ones lies about.
        for table in ("deliveries", "tasks", "delivery_tallies"):
            op.execute(
                f"ALTER TABLE {table} SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,"
                " autovacuum_vacuum_cost_delay = 0)"
            )
