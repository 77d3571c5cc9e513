"""The tables, once: migrations are generated from and checked against this metadata; queries are raw SQL.

Conventions. Ids are UUIDv7 in lowercase text, made by the application; a delivery's id is the UUIDv4 that the relay
and the provider see as the push id. Times are milliseconds since the Unix epoch, UTC. JSON is text. There are no
booleans: what can happen is the time when it happened, or null. Secrets that only have to be recognised are SHA-256.
"""

from server.store.schema import documents, messages, outbox, people
from server.store.schema.columns import metadata

TABLES = (people, messages, documents, outbox)
"""Where the tables are; a module that is loaded has put them into the metadata."""

__all__ = ["TABLES", "metadata"]
