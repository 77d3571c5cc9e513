"""The tables, once: migrations are generated from and checked against this metadata; queries are raw SQL.

Conventions. Ids are UUIDv7 in lowercase text, made by the application; a delivery's id is the UUIDv4 that the relay
and the provider see as the push id. Times are milliseconds since the Unix epoch, UTC. JSON is text. There are no
booleans: what can happen is the time when it happened, or null. Secrets that only have to be recognised are SHA-256.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    or_,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _ref(name: str, target: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=optional)


def _time(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),  # "default" on a fresh server
    _time("created_at"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    Column("external_id", Text),  # unique in its tenant; an account's is its id until an admin sets one
    Column("username", Text),
    Column("email", Text),  # as typed; matched by email_key
    Column("email_key", Text),  # case-folded
    Column("username_key", Text),
    Column("password_hash", Text),  # argon2id; null for users that no person signs in as
    Column("role", Text, nullable=False),  # "admin" | "user"
    Column("profile", Text, nullable=False),  # JSON: firstName, lastName, phone, locale, timezone
    _time("created_at"),
    _time("deleted_at", optional=True),  # nothing is left then but the id, to which deliveries refer
    UniqueConstraint("tenant_id", "external_id"),
    UniqueConstraint("tenant_id", "username_key"),
    UniqueConstraint("tenant_id", "email_key"),
)

sessions = Table(  # one row for each sign-in: a family of refresh tokens of which only the newest is good
    "sessions",
    metadata,
    _id(),
    _ref("user_id", "users"),
    Column("refresh_hash", LargeBinary, nullable=False),
    _time("created_at"),
    _time("refreshed_at"),
    _time("expires_at"),
    Index(None, "user_id"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    _id(),
    _ref("user_id", "users"),
    _ref(
        "tenant_id", "tenants", optional=True
    ),  # null: its owner's tenant, or every tenant for gateway and admin
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # JSON list
    _time("created_at"),
    _time("expires_at", optional=True),
    _time("last_used_at", optional=True),
    Index(None, "user_id"),
)

buckets = Table(
    "buckets",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    _ref("owner_id", "users", optional=True),  # null: the tenant's, a topic or its direct messages
    Column("topic_key", Text),  # of a topic; "" of the one bucket of a tenant for messages to users by name
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("icon", Text),
    Column("color", Text),
    _time("protected_at", optional=True),
    _time("public_at", optional=True),
    Column("retention_days", Integer),  # null: however old
    Column("retention_count", Integer),  # null: however many
    _time("swept_at", optional=True),  # when retention last removed something
    Column("swept", BigInteger, nullable=False, server_default="0"),  # messages that it has removed so far
    Column("webhook_epoch", Integer, nullable=False, server_default="0"),  # which signing key is in force
    _time("created_at"),
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
    _time("snoozed_until", optional=True),
    Column("quiet_times", Text),  # JSON list of weekly times in the user's time zone; null for none
    _time("created_at"),
    Index(None, "user_id"),
    Index(None, "bucket_id", "created_at", "user_id"),  # new ones come last, so that pages stay as they are
)

opt_outs = Table(  # what users do not want; without a row they do
    "opt_outs",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("category", Text, primary_key=True),  # "" for the whole channel
    _time("created_at"),
)

invitations = Table(  # to a bucket, to the server, or both; accepted once
    "invitations",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    Column("hash", LargeBinary, nullable=False, unique=True),  # of the code
    _ref("bucket_id", "buckets", optional=True),  # null: to the server alone
    Column("permissions", Text),  # JSON list, of the bucket
    _ref("created_by", "users"),
    _time("created_at"),
    _time("expires_at"),
    _time("accepted_at", optional=True),
    _ref("accepted_by", "users", optional=True),
    Index(None, "created_by", "id"),
    Index(None, "bucket_id"),
    Index(None, "accepted_by"),
)

devices = Table(
    "devices",
    metadata,
    _id(),
    _ref("user_id", "users"),
    Column("name", Text, nullable=False),
    Column(
        "platform", Text, nullable=False
    ),  # "ios" | "android" | "web" | …: the device's own word, shown to people
    Column("suite", Integer),  # null with public_key: a device without a key gets wakes
    Column("public_key", LargeBinary),
    _time("key_set_at", optional=True),
    Column("handle", Text),  # sealed by the relay; null after the device had none or it was retired
    _time("handle_set_at", optional=True),
    Column("handle_fault", Text),  # why the last handle was retired: "unregistered", "handle_expired", …
    Column("external_id", Text),  # the app's own name for it, unique for its user
    Column("push_hash", LargeBinary),  # HMAC of a push token: one owner in a tenant
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # of the hpd_… token
    Column("head", BigInteger, nullable=False),  # the last sequence number given to a delivery for it
    _time("created_at"),
    _time("last_seen_at", optional=True),
    _time("last_woken_at", optional=True),  # wakes go out at most every 30 s
    Column("last_fault", Text),  # the reason in its newest "failed" receipt
    _time("last_fault_at", optional=True),
    Index(None, "user_id", "id"),  # a fan-out reads devices in this order
    Index(None, "user_id", "external_id", unique=True),
    Index(None, "push_hash", unique=True),
)

pairing_codes = Table(
    "pairing_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    _ref("user_id", "users"),
    _time("created_at"),
    _time("expires_at"),
)

messages = Table(
    "messages",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    _ref("bucket_id", "buckets"),
    _ref("sender_id", "users", optional=True),
    Column("delivery_type", Text, nullable=False),  # NORMAL | SILENT | CRITICAL | NO_PUSH
    Column("channels", Text, nullable=False, server_default='["IN_APP", "PUSH"]'),  # JSON list
    Column("category", Text, nullable=False, server_default="TRANSACTIONAL"),
    Column("collapse_id", Text),
    Column("content", Text),  # JSON, the native API's names; null once retracted
    Column("options", Text, nullable=False, server_default="{}"),  # JSON: what the server does with it
    Column("notifications", BigInteger, nullable=False),  # how many users it goes to
    _time("created_at"),
    _time("scheduled_at", optional=True),  # when it is to be sent, where that is later than created_at
    _time("sent_at", optional=True),  # when its deliveries began to be written; null while it is scheduled
    _time("expires_at"),  # sent + ttl: what is not delivered by then is not delivered
    _time("updated_at", optional=True),
    _time("retracted_at", optional=True),
    # Of a retracted one: how many deliveries had gone out by then; -1 - n until that is final.
    Column("handed_over", BigInteger),
    Index(None, "bucket_id", "id"),
    Index(None, "sender_id", "id"),
)

inbox_items = Table(
    "inbox_items",
    metadata,
    _id(),
    _ref("message_id", "messages"),
    _ref("user_id", "users"),
    # Its message's: a user reads what is of one bucket, or category, of a million items.
    Column("bucket_id", Text, nullable=False),
    Column("category", Text, nullable=False, server_default="TRANSACTIONAL"),
    _time("created_at"),
    _time("seen_at", optional=True),  # what is read is seen
    _time("read_at", optional=True),
    _time("deleted_at", optional=True),  # the row stays for those who were away when it was deleted
    _time("postponed_until", optional=True),
    _time("changed_at"),  # the last change that its user sees: streams resume by it
    UniqueConstraint("message_id", "user_id"),
    Index(None, "user_id", "message_id"),  # a user's messages in the order of the messages
    Index(None, "user_id", "changed_at", "id"),
)

attachments = (
    Table(  # files that were uploaded, or fetched for a message; the bytes lie in the data directory
        "attachments",
        metadata,
        _id(),
        _ref("owner_id", "users"),
        Column("name", Text, nullable=False),
        Column("content_type", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        _time("created_at"),
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

outgoing_requests = (
    Table(  # what the server asks of others over HTTP: webhooks, and files that it keeps a copy of
        "outgoing_requests",
        metadata,
        _id(),  # a webhook's id, the same at every attempt
        Column("kind", Text, nullable=False),  # "webhook" | "save"
        _ref("message_id", "messages", optional=True),
        _ref("user_id", "users", optional=True),  # who pressed the button
        Column("host", Text, nullable=False),  # that is asked: one that is slow holds up no other
        Column("key", LargeBinary, unique=True),  # what must not be asked twice; null where it may
        Column("payload", Text, nullable=False),  # JSON of its kind; once settled, without what was asked
        Column("state", Text, nullable=False),  # "queued" | "leased" | "done" | "failed"
        Column("reason", Text),  # of the last attempt, in snake case
        Column("status", Integer),  # HTTP's, of the last answer
        Column("attempts", Integer, nullable=False),
        Column("lease", Text),
        _time("created_at"),
        _time("due_at"),  # of one that is leased, when its lease ends
        _time("settled_at", optional=True),
        Index(None, "message_id"),
        Index(None, "user_id"),
        Index(None, "settled_at"),
    )
)

deliveries = Table(  # the outbox: one row for each recipient and channel, for push one for each device
    "deliveries",
    metadata,
    _id(),  # UUIDv4: the push id and apns-id, the same at every attempt
    _ref("message_id", "messages", optional=True),  # null for kinds 2 and 3, whose body is their own
    _ref("user_id", "users"),
    _ref("device_id", "devices", optional=True),
    Column("tenant_id", Text),  # of a message's first deliveries, its history; null of what follows them
    Column("category", Text),  # of those: the message's
    Column("channel", Text, nullable=False),  # "IN_APP" | "PUSH" | "EMAIL" | "SMS" | "CHAT"
    Column("kind", Integer, nullable=False),  # PROTOCOL.md §2: 1 message, 2 retract, 3 read, 4 update
    Column(
        "frame_id", Text, nullable=False
    ),  # the frame's message_id: the message's, or a new one for kinds 2 and 3
    Column("body", Text),  # JSON of kinds 2 and 3; null where it is the message's content
    Column("sequence", BigInteger),  # the device's number for kinds 1 and 4
    Column("state", Text, nullable=False),
    Column("reason", Text),  # of the last attempt or of the final state, in snake case
    Column("attempts", Integer, nullable=False),
    Column("provider_id", Text),
    _time("created_at"),
    _time("due_at"),  # not claimed before; of one that is leased, when its lease ends
    _time("turn"),  # of those that are due, the lowest is claimed first
    _time("expires_at"),
    Column("quiet", Text),  # why it goes without a sound: "snoozed" | "quiet_time"
    Column("lease", Text),  # a fresh id for each claim: an outcome settles only the lease that it belongs to
    _time("sealed_at", optional=True),  # of the last attempt
    _time("relayed_at", optional=True),  # when the relay was asked, of the last attempt
    _time("settled_at", optional=True),
    _time("received_at", optional=True),  # the device's receipts
    _time("shown_at", optional=True),
    _time("read_at", optional=True),
    _time("failed_at", optional=True),
    Column("fault", Text),  # the reason in the device's "failed" receipt
    Index(None, "message_id", "id"),
    Index(None, "device_id", "sequence"),
    Index(None, "frame_id", "device_id"),
)


def _of_some(table: Table, name: str, condition: ColumnElement[bool], *columns: str) -> None:
    """Index the few rows that are in some state, so that what is settled costs the others nothing."""
    listed = [table.c[column] for column in columns]
    Index(f"ix_{table.name}_{name}", *listed, postgresql_where=condition, sqlite_where=condition)


_of_some(
    buckets,
    "retained",
    or_(buckets.c.retention_days.is_not(None), buckets.c.retention_count.is_not(None)),
    "id",
)
_of_some(deliveries, "queued", deliveries.c.state == "queued", "turn", "due_at")
_of_some(deliveries, "leased", deliveries.c.state == "leased", "device_id", "due_at")
_of_some(
    deliveries,
    "activity",
    deliveries.c.tenant_id.is_not(None),
    "tenant_id",
    "channel",
    "category",
    "created_at",
    "id",
)
_of_some(users, "there", users.c.deleted_at.is_(None), "tenant_id", "id")
_of_some(deliveries, "lease", deliveries.c.lease.is_not(None), "lease")
_THERE = inbox_items.c.deleted_at.is_(None)
# With the columns of their conditions: SQLite counts in an index alone only where it holds all that is named.
_of_some(inbox_items, "there", _THERE, "user_id", "id", "deleted_at", "category")
_of_some(inbox_items, "bucket", _THERE, "user_id", "bucket_id", "id", "deleted_at", "category")
_of_some(
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
_of_some(outgoing_requests, "waiting", outgoing_requests.c.state.in_(("queued", "leased")), "due_at")
_of_some(deliveries, "dead", deliveries.c.state.in_(("failed", "expired", "gone")), "settled_at", "id")

# How deliveries were created and moved: one row of differences for each transaction.
delivery_tallies = Table(
    "delivery_tallies",  # without a key: the rows are added up and replaced by their sum
    metadata,
    Column("book", Text, nullable=False),  # "live", or "pruned": what was deleted, by its last state
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "created",
            "waiting",
            "accepted",
            "gone",
            "expired",
            "failed",
            "cancelled",
            "suppressed",
        )
    ),
)

tasks = Table(  # what is to be done at some time: run, and rescheduled or deleted, in one transaction
    "tasks",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),  # server/domain/task.py
    _ref("message_id", "messages", optional=True),
    Column("payload", Text, nullable=False),  # JSON of its kind
    _time("due_at"),
    Column("attempts", Integer, nullable=False),  # failures since it last went well
    _time("created_at"),
    Index(None, "due_at"),
    Index(None, "message_id"),
)

idempotency_keys = (
    Table(  # sends that may be repeated: for each user, route and key, the message that it made
        "idempotency_keys",
        metadata,
        Column("hash", LargeBinary, primary_key=True),  # of user, route and key
        Column("fingerprint", LargeBinary, nullable=False),  # of what was asked for
        _ref("message_id", "messages"),
        _time("created_at"),
        _time("expires_at"),
        Index(None, "message_id"),
        Index(None, "expires_at"),
    )
)

claims = (
    Table(  # what was too large for one push: sealed once, fetched by one device, deleted with its message
        "claims",
        metadata,
        _id(),
        _ref("message_id", "messages"),
        _ref("device_id", "devices"),
        Column("frame_id", Text, nullable=False),  # of the frame that names it: part of what is authenticated
        Column("key", LargeBinary, nullable=False),
        Column("blob", LargeBinary, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("size", BigInteger, nullable=False),
        _time("created_at"),
        UniqueConstraint("frame_id", "device_id"),
        Index(None, "message_id"),
        Index(None, "device_id"),
    )
)

attachment_claims = Table(  # what one device may fetch of an attachment: sealed while it is fetched, with the same key each time
    "attachment_claims",
    metadata,
    _id(),
    _ref("attachment_id", "attachments"),
    _ref("message_id", "messages"),
    _ref("device_id", "devices"),
    Column("frame_id", Text, nullable=False),  # of the frame that names it: part of what is authenticated
    Column("key", LargeBinary, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("sha256", LargeBinary, nullable=False),  # of the blob
    Column("size", BigInteger, nullable=False),
    _time("created_at"),
    UniqueConstraint("frame_id", "device_id", "attachment_id"),
    Index(None, "message_id"),
    Index(None, "device_id"),
    Index(None, "attachment_id"),
)

relays = Table(  # the keys of the relays that this server has trusted, by their URL
    "relays",
    metadata,
    Column("url", Text, primary_key=True),
    Column("keys", Text, nullable=False),  # a JWKS
    _time("trusted_at"),
    _time("changed_at"),
)
