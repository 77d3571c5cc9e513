"""Documents and who has access, templates, where texts are asked for, and what messages are about."""

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from server.store.schema.columns import id_column, metadata, ref_column, time_column

documents = Table(
    "documents",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    Column("key", Text, nullable=False),  # the app's own name for it
    Column("name", Text),  # as people are shown it
    time_column("created_at"),
    UniqueConstraint("tenant_id", "key"),
)

document_access = Table(  # a document's access list
    "document_access",
    metadata,
    Column("document_id", Text, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    time_column("created_at"),
    Index(None, "user_id"),
)

document_fields = Table(  # to which values of which fields of it somebody on that list has access
    "document_fields",
    metadata,
    Column("document_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("value", Text, primary_key=True),  # numbers as their decimal text
    Column("user_id", Text, primary_key=True),  # last: a fan-out reads those of a value in this order
    Index(None, "document_id", "user_id"),
    ForeignKeyConstraint(
        ("document_id", "user_id"),
        ("document_access.document_id", "document_access.user_id"),
        ondelete="CASCADE",
    ),
)

templates = Table(
    "templates",
    metadata,
    id_column(),
    ref_column("tenant_id", "tenants"),
    Column("key", Text, nullable=False),
    Column("label", Text),  # what its messages are sorted under, a word of the app's own
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("channels", Text, nullable=False),  # JSON list
    time_column("actionable_at", optional=True),
    time_column("created_at"),
    time_column("updated_at", optional=True),
    UniqueConstraint("tenant_id", "key"),
)

resolvers = Table(  # where a tenant's server is asked for texts that are not kept here
    "resolvers",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # that requests are signed with, encrypted
    time_column("set_at"),
)

subjects = Table(  # what a message is about, for the APIs whose notifications are found by it; gone when it is taken back
    "subjects",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("document_id", Text, ForeignKey("documents.id", ondelete="SET NULL")),
    Column("name", Text),  # the app's own id of the notification, unique in its tenant
    Column("fingerprint", LargeBinary),  # of what was asked for under that name
    Column("template_key", Text),
    Column("label", Text),
    Column("entity_type", Text),
    Column("entity_id", Text),
    Column("details", Text, nullable=False),  # JSON: what its API shows of it again
    Index(None, "tenant_id", "message_id"),
    Index(None, "tenant_id", "name", unique=True),
    Index(None, "document_id", "message_id"),
)
