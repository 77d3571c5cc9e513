"""Buckets, messages, what is in inboxes, and files."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    or_,
)

from server.store.schema.columns import id_column, metadata, of_some, ref_column, time_column

buckets = Table(
    "buckets",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    ref_column("owner_id", "users", optional=True),  # null: the tenant's, a topic or its direct messages
    Column("topic_key", Text),  # of a topic; "" of the one bucket of a tenant for messages to users by name
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("icon", Text),
    Column("color", Text),
    time_column("protected_at", optional=True),
    time_column("public_at", optional=True),
    Column("retention_days", Integer),  # null: however old
    Column("retention_count", Integer),  # null: however many
    time_column("swept_at", optional=True),  # when retention last removed something
    Column("swept", BigInteger, nullable=False, server_default="0"),  # messages that it has removed so far
    Column("webhook_epoch", Integer, nullable=False, server_default="0"),  # which signing key is in force
    time_column("created_at"),
    UniqueConstraint("owner_id", "name"),
    Index(None, "tenant_id", "id"),
    Index(None, "tenant_id", "topic_key", unique=True),
)

bucket_members = Table(
    "bucket_members",
    metadata,
    Column("bucket_id", Text, ForeignKey("buckets.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("permissions", Text, nullable=False),  # JSON list of READ, WRITE, DELETE, ADMIN
    time_column("snoozed_until", optional=True),
    Column("quiet_times", Text),  # JSON list of weekly times in the user's time zone; null for none
    time_column("created_at"),
    Index(None, "user_id"),
    Index(None, "bucket_id", "created_at", "user_id"),  # new ones come last, so that pages stay as they are
)

invitations = Table(  # to a bucket, to the server, or both; accepted once
    "invitations",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    Column("hash", LargeBinary, nullable=False, unique=True),  # of the code
    ref_column("bucket_id", "buckets", optional=True),  # null: to the server alone
    Column("permissions", Text),  # JSON list, of the bucket
    ref_column("created_by", "users"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("accepted_at", optional=True),
    ref_column("accepted_by", "users", optional=True),
    Index(None, "created_by", "id"),
    Index(None, "bucket_id"),
    Index(None, "accepted_by"),
)

messages = Table(
    "messages",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    ref_column("bucket_id", "buckets"),
    ref_column("sender_id", "users", optional=True),
    Column("delivery_type", Text, nullable=False),  # NORMAL | SILENT | CRITICAL | NO_PUSH
    Column("channels", Text, nullable=False, server_default='["IN_APP", "PUSH"]'),  # JSON list
    Column("category", Text, nullable=False, server_default="TRANSACTIONAL"),
    Column("collapse_id", Text),
    Column("content", Text),  # JSON, the native API's names; null once retracted
    Column("options", Text, nullable=False, server_default="{}"),  # JSON: what the server does with it
    Column("notifications", BigInteger, nullable=False),  # how many users it goes to
    time_column("created_at"),
    time_column("scheduled_at", optional=True),  # when it is to be sent, where that is later than created_at
    time_column(
        "sent_at", optional=True
    ),  # when its deliveries began to be written; null while it is scheduled
    time_column("expires_at"),  # sent + ttl: what is not delivered by then is not delivered
    time_column("updated_at", optional=True),
    time_column("retracted_at", optional=True),
    # Of a retracted one: how many deliveries had gone out by then; -1 - n until that is final.
    Column("handed_over", BigInteger),
    Index(None, "bucket_id", "id"),
    Index(None, "sender_id", "id"),
)

inbox_items = Table(
    "inbox_items",
    metadata,
    id_column(),
    ref_column("message_id", "messages"),
    ref_column("user_id", "users"),
    # Its message's: a user reads what is of one bucket, or category, of a million items.
    Column("bucket_id", Text, nullable=False),
    Column("category", Text, nullable=False, server_default="TRANSACTIONAL"),
    time_column("created_at"),
    time_column("seen_at", optional=True),  # what is read is seen
    time_column("read_at", optional=True),
    time_column("deleted_at", optional=True),  # the row stays for those who were away when it was deleted
    time_column("postponed_until", optional=True),
    time_column("changed_at"),  # the last change that its user sees: streams resume by it
    UniqueConstraint("message_id", "user_id"),
    Index(None, "user_id", "message_id"),  # a user's messages in the order of the messages
    Index(None, "user_id", "changed_at", "id"),
)

attachments = (
    Table(  # files that were uploaded, or fetched for a message; the bytes lie in the data directory
        "attachments",
        metadata,
        id_column(),
        ref_column("owner_id", "users"),
        Column("name", Text, nullable=False),
        Column("content_type", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        time_column("created_at"),
        Index(None, "owner_id", "id"),
    )
)

message_attachments = Table(
    "message_attachments",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("attachment_id", Text, ForeignKey("attachments.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "attachment_id"),
)

idempotency_keys = (
    Table(  # sends that may be repeated: for each user, route and key, the message that it made
        "idempotency_keys",
        metadata,
        Column("hash", LargeBinary, primary_key=True),  # of user, route and key
        Column("fingerprint", LargeBinary, nullable=False),  # of what was asked for
        ref_column("message_id", "messages"),
        time_column("created_at"),
        time_column("expires_at"),
        Index(None, "message_id"),
        Index(None, "expires_at"),
    )
)

claims = (
    Table(  # what was too large for one push: sealed once, fetched by one device, deleted with its message
        "claims",
        metadata,
        id_column(),
        ref_column("message_id", "messages"),
        ref_column("device_id", "devices"),
        Column("frame_id", Text, nullable=False),  # of the frame that names it: part of what is authenticated
        Column("key", LargeBinary, nullable=False),
        Column("blob", LargeBinary, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("size", BigInteger, nullable=False),
        time_column("created_at"),
        UniqueConstraint("frame_id", "device_id"),
        Index(None, "message_id"),
        Index(None, "device_id"),
    )
)

attachment_claims = Table(  # what one device may fetch of an attachment: sealed while it is fetched, with the same key each time
    "attachment_claims",
    metadata,
    id_column(),
    ref_column("attachment_id", "attachments"),
    ref_column("message_id", "messages"),
    ref_column("device_id", "devices"),
    Column("frame_id", Text, nullable=False),  # of the frame that names it: part of what is authenticated
    Column("key", LargeBinary, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("sha256", LargeBinary, nullable=False),  # of the blob
    Column("size", BigInteger, nullable=False),
    time_column("created_at"),
    UniqueConstraint("frame_id", "device_id", "attachment_id"),
    Index(None, "message_id"),
    Index(None, "device_id"),
    Index(None, "attachment_id"),
)

of_some(
    buckets,
    "retained",
    or_(buckets.c.retention_days.is_not(None), buckets.c.retention_count.is_not(None)),
    "id",
)

_THERE = inbox_items.c.deleted_at.is_(None)
# With the columns of their conditions: SQLite counts in an index alone only where it holds all that is named.
of_some(inbox_items, "there", _THERE, "user_id", "id", "deleted_at", "category")
of_some(inbox_items, "bucket", _THERE, "user_id", "bucket_id", "id", "deleted_at", "category")
of_some(
    inbox_items,
    "unread",
    inbox_items.c.read_at.is_(None) & _THERE,
    "user_id",
    "id",
    "bucket_id",
    "seen_at",
    "read_at",
    "deleted_at",
)
of_some(inbox_items, "read", inbox_items.c.read_at.is_not(None), "message_id", "user_id")
