"""Members' quiet, invitations, retention; options, changes and attachments of messages; outgoing requests."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_attachments_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    with op.batch_alter_table("attachments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attachments_owner_id_id"), ["owner_id", "id"], unique=False)

    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("bucket_id", sa.Text(), nullable=True),
        sa.Column("permissions", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["accepted_by"], ["users.id"], name=op.f("fk_invitations_accepted_by"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["bucket_id"], ["buckets.id"], name=op.f("fk_invitations_bucket_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_invitations_created_by"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_invitations_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("hash", name=op.f("uq_invitations_hash")),
    )
    with op.batch_alter_table("invitations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invitations_accepted_by"), ["accepted_by"], unique=False)
        batch_op.create_index(batch_op.f("ix_invitations_bucket_id"), ["bucket_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_invitations_created_by_id"), ["created_by", "id"], unique=False)

    op.create_table(
        "attachment_claims",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("attachment_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("frame_id", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attachment_id"],
            ["attachments.id"],
            name=op.f("fk_attachment_claims_attachment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_attachment_claims_device_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_attachment_claims_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment_claims")),
        sa.UniqueConstraint(
            "frame_id",
            "device_id",
            "attachment_id",
            name=op.f("uq_attachment_claims_frame_id_device_id_attachment_id"),
        ),
    )
    with op.batch_alter_table("attachment_claims", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_attachment_claims_attachment_id"), ["attachment_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_attachment_claims_device_id"), ["device_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_attachment_claims_message_id"), ["message_id"], unique=False)

    op.create_table(
        "message_attachments",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("attachment_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attachment_id"],
            ["attachments.id"],
            name=op.f("fk_message_attachments_attachment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_message_attachments_message_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", "attachment_id", name=op.f("pk_message_attachments")),
    )
    with op.batch_alter_table("message_attachments", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_message_attachments_attachment_id"), ["attachment_id"], unique=False
        )

    op.create_table(
        "outgoing_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_outgoing_requests_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_outgoing_requests_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_requests")),
        sa.UniqueConstraint("key", name=op.f("uq_outgoing_requests_key")),
    )
    with op.batch_alter_table("outgoing_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outgoing_requests_message_id"), ["message_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_outgoing_requests_settled_at"), ["settled_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_outgoing_requests_user_id"), ["user_id"], unique=False)
        batch_op.create_index(
            "ix_outgoing_requests_waiting",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("state IN ('queued', 'leased')"),
            sqlite_where=sa.text("state IN ('queued', 'leased')"),
        )

    with op.batch_alter_table("bucket_members", schema=None) as batch_op:
        batch_op.add_column(sa.Column("snoozed_until", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("quiet_times", sa.Text(), nullable=True))

    with op.batch_alter_table("buckets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("retention_days", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("retention_count", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("swept_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("swept", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("webhook_epoch", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index(
            "ix_buckets_retained",
            ["id"],
            unique=False,
            postgresql_where=sa.text("retention_days IS NOT NULL OR retention_count IS NOT NULL"),
            sqlite_where=sa.text("retention_days IS NOT NULL OR retention_count IS NOT NULL"),
        )

    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("quiet", sa.Text(), nullable=True))

    with op.batch_alter_table("inbox_items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("postponed_until", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("changed_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("bucket_id", sa.Text(), nullable=True))
    op.execute(
        "UPDATE inbox_items SET changed_at = COALESCE(read_at, created_at),"
        " bucket_id = (SELECT m.bucket_id FROM messages m WHERE m.id = inbox_items.message_id)"
    )
    op.execute(
        "UPDATE inbox_items SET deleted_at = m.retracted_at, changed_at = m.retracted_at"
        " FROM messages m WHERE m.id = inbox_items.message_id AND m.retracted_at IS NOT NULL"
    )
    with op.batch_alter_table("inbox_items", schema=None) as batch_op:
        batch_op.alter_column("changed_at", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("bucket_id", existing_type=sa.Text(), nullable=False)
        batch_op.drop_index(batch_op.f("ix_inbox_items_user_id_id"))
        for name, columns, some in (
            ("ix_inbox_items_there", ["user_id", "id", "deleted_at"], "deleted_at IS NULL"),
            ("ix_inbox_items_bucket", ["user_id", "bucket_id", "id"], "deleted_at IS NULL"),
            (
                "ix_inbox_items_unread",
                ["user_id", "id", "bucket_id", "read_at", "deleted_at"],
                "read_at IS NULL AND deleted_at IS NULL",
            ),
        ):
            batch_op.create_index(
                name, columns, unique=False, postgresql_where=sa.text(some), sqlite_where=sa.text(some)
            )
        batch_op.create_index(
            batch_op.f("ix_inbox_items_user_id_changed_at_id"),
            ["user_id", "changed_at", "id"],
            unique=False,
        )

    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("options", sa.Text(), server_default="{}", nullable=False))
        batch_op.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=True))
