"""What goes out, what is asked of others, what is due, and the book of all that."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from server.store.schema.columns import id_column, metadata, of_some, ref_column, time_column

outgoing_requests = (
    Table(  # what the server asks of others over HTTP: webhooks, and files that it keeps a copy of
        "outgoing_requests",
        metadata,
        id_column(),  # a webhook's id, the same at every attempt
        Column("kind", Text, nullable=False),  # "webhook" | "save"
        ref_column("message_id", "messages", optional=True),
        ref_column("user_id", "users", optional=True),  # who pressed the button
        Column("host", Text, nullable=False),  # that is asked: one that is slow holds up no other
        Column("key", LargeBinary, unique=True),  # what must not be asked twice; null where it may
        Column("payload", Text, nullable=False),  # JSON of its kind; once settled, without what was asked
        Column("state", Text, nullable=False),  # "queued" | "leased" | "done" | "failed"
        Column("reason", Text),  # of the last attempt, in snake case
        Column("status", Integer),  # HTTP's, of the last answer
        Column("attempts", Integer, nullable=False),
        Column("lease", Text),
        time_column("created_at"),
        time_column("due_at"),  # of one that is leased, when its lease ends
        time_column("settled_at", optional=True),
        Index(None, "message_id"),
        Index(None, "user_id"),
        Index(None, "settled_at"),
    )
)

deliveries = Table(  # the outbox: one row for each recipient and channel, for push one for each device
    "deliveries",
    metadata,
    id_column(),  # UUIDv4: the push id and apns-id, the same at every attempt
    ref_column("message_id", "messages", optional=True),  # null for kinds 2 and 3, whose body is their own
    ref_column("user_id", "users"),
    ref_column("device_id", "devices", optional=True),
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
    time_column("created_at"),
    time_column("due_at"),  # not claimed before; of one that is leased, when its lease ends
    time_column("turn"),  # of those that are due, the lowest is claimed first
    time_column("expires_at"),
    Column("quiet", Text),  # why it goes without a sound: "snoozed" | "quiet_time"
    Column("lease", Text),  # a fresh id for each claim: an outcome settles only the lease that it belongs to
    time_column("sealed_at", optional=True),  # of the last attempt
    time_column("relayed_at", optional=True),  # when the relay was asked, of the last attempt
    time_column("settled_at", optional=True),
    time_column("received_at", optional=True),  # the device's receipts
    time_column("shown_at", optional=True),
    time_column("read_at", optional=True),
    time_column("failed_at", optional=True),
    Column("fault", Text),  # the reason in the device's "failed" receipt
    Index(None, "message_id", "id"),
    Index(None, "device_id", "sequence"),
    Index(None, "frame_id", "device_id"),
)

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
    id_column(),
    Column("kind", Text, nullable=False),  # server/domain/task.py
    ref_column("message_id", "messages", optional=True),
    Column("payload", Text, nullable=False),  # JSON of its kind
    time_column("due_at"),
    Column("attempts", Integer, nullable=False),  # failures since it last went well
    time_column("created_at"),
    Index(None, "due_at"),
    Index(None, "message_id"),
)

relays = Table(  # the keys of the relays that this server has trusted, by their URL
    "relays",
    metadata,
    Column("url", Text, primary_key=True),
    Column("keys", Text, nullable=False),  # a JWKS
    time_column("trusted_at"),
    time_column("changed_at"),
)

of_some(deliveries, "queued", deliveries.c.state == "queued", "turn", "due_at")
of_some(deliveries, "leased", deliveries.c.state == "leased", "device_id", "due_at")
of_some(
    deliveries,
    "activity",
    deliveries.c.tenant_id.is_not(None),
    "tenant_id",
    "channel",
    "category",
    "created_at",
    "id",
)

of_some(deliveries, "lease", deliveries.c.lease.is_not(None), "lease")

of_some(outgoing_requests, "waiting", outgoing_requests.c.state.in_(("queued", "leased")), "due_at")
of_some(deliveries, "dead", deliveries.c.state.in_(("failed", "expired", "gone")), "settled_at", "id")
