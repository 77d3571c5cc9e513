"""Tenants, users, what they sign in with and what they want, and their devices."""

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
)

from server.store.schema.columns import id_column, metadata, of_some, ref_column, time_column

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, unique=True),  # the operator's own; "default" on a fresh server
    Column("display_name", Text),  # as people are shown it
    time_column("created_at"),
    time_column("closed_at", optional=True),  # its name is free then, and what was in it is being deleted
)

users = Table(
    "users",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    Column("external_id", Text),  # unique in its tenant; an account's is its id until an admin sets one
    Column("username", Text),
    Column("email", Text),  # as typed; matched by email_key
    Column("email_key", Text),  # case-folded
    Column("username_key", Text),
    Column("password_hash", Text),  # argon2id; null for users that no person signs in as
    Column("role", Text, nullable=False),  # "admin" | "user"
    Column("profile", Text, nullable=False),  # JSON: firstName, lastName, phone, locale, timezone
    time_column("created_at"),
    time_column("deleted_at", optional=True),  # nothing is left then but the id, to which deliveries refer
    UniqueConstraint("tenant_id", "external_id"),
    UniqueConstraint("tenant_id", "username_key"),
    UniqueConstraint("tenant_id", "email_key"),
)

sessions = Table(  # one row for each sign-in: a family of refresh tokens of which only the newest is good
    "sessions",
    metadata,
    id_column(),
    ref_column("user_id", "users"),
    Column("refresh_hash", LargeBinary, nullable=False),
    time_column("created_at"),
    time_column("refreshed_at"),
    time_column("expires_at"),
    Index(None, "user_id"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    id_column(),
    ref_column("user_id", "users"),
    ref_column(
        "tenant_id", "tenants", optional=True
    ),  # null: its owner's tenant, or every tenant for gateway and admin
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # JSON list
    time_column("created_at"),
    time_column("expires_at", optional=True),
    time_column("last_used_at", optional=True),
    Index(None, "user_id"),
)

opt_outs = Table(  # what users do not want; without a row they do
    "opt_outs",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("category", Text, primary_key=True),  # "" for the whole channel
    time_column("created_at"),
)

devices = Table(
    "devices",
    metadata,
    id_column(),
    ref_column("user_id", "users"),
    Column("name", Text, nullable=False),
    Column(
        "platform", Text, nullable=False
    ),  # "ios" | "android" | "web" | …: the device's own word, shown to people
    Column("suite", Integer),  # null with public_key: a device without a key gets wakes
    Column("public_key", LargeBinary),
    time_column("key_set_at", optional=True),
    Column("handle", Text),  # sealed by the relay; null after the device had none or it was retired
    time_column("handle_set_at", optional=True),
    Column("handle_fault", Text),  # why the last handle was retired: "unregistered", "handle_expired", …
    Column("external_id", Text),  # the app's own name for it, unique for its user
    Column("push_hash", LargeBinary),  # HMAC of a push token: one owner in a tenant
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # of the hpd_… token
    Column("head", BigInteger, nullable=False),  # the last sequence number given to a delivery for it
    time_column("created_at"),
    time_column("last_seen_at", optional=True),
    time_column("last_woken_at", optional=True),  # wakes go out at most every 30 s
    Column("last_fault", Text),  # the reason in its newest "failed" receipt
    time_column("last_fault_at", optional=True),
    Index(None, "user_id", "id"),  # a fan-out reads devices in this order
    Index(None, "user_id", "external_id", unique=True),
    Index(None, "push_hash", unique=True),
)

pairing_codes = Table(
    "pairing_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    ref_column("user_id", "users"),
    time_column("created_at"),
    time_column("expires_at"),
)

of_some(users, "there", users.c.deleted_at.is_(None), "tenant_id", "id")
