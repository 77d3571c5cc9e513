"""Texts that are kept by a tenant's own server: where that is asked, and messages, inboxes and parcels that are shown with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from server.commands.people import load_named
from server.commands.vault import Vault
from server.commands.webhooks import show_key
from server.domain.account import User
from server.domain.delivery import Parcel
from server.domain.inbox import InboxItem
from server.domain.message import UNRESOLVED, Message
from server.domain.ports import Database
from server.domain.resolver import Endpoint, Resolver, Wanted
from server.store import messages, resolvers

PURPOSE = "resolvers"
"""Of the vault that the keys are kept in with which tenants know who asks them."""
_KEY_BYTES = 32
_WORD = f'"{UNRESOLVED}"'


@dataclass(frozen=True)
class Endpoints:
    """Says where tenants are asked."""

    db: Database
    vault: Vault

    async def set(self, tenant_id: str, url: str, key: bytes | None, now: int) -> str:
        """Have a tenant be asked at a URL and return the key that requests are signed with; None has one made."""
        key = key or self.vault.random(_KEY_BYTES)
        endpoint = Endpoint(tenant_id, url, self.vault.seal(key, tenant_id), now)
        await self.db.write(lambda tx: resolvers.set_endpoint(tx, endpoint))
        return show_key(key)

    async def remove(self, tenant_id: str) -> bool:
        """Have a tenant not be asked any more; False where it was not."""
        return await self.db.write(lambda tx: resolvers.drop_endpoint(tx, tenant_id))

    async def find(self, tenant_id: str) -> Endpoint | None:
        return await self.db.read(lambda tx: resolvers.find_endpoint(tx, tenant_id))


async def people_of(db: Database, tenant_id: str, keys: Sequence[str]) -> dict[str, User]:
    """Return users of a tenant by names of theirs; who is unknown is left out."""
    return await db.read(lambda tx: load_named(tx, tenant_id, keys)) if keys else {}


async def wanted_for(db: Database, unresolved: Sequence[Message]) -> list[Wanted]:
    """Return what there is to ask for messages, of those whose tenants can be asked."""
    return await db.read(lambda tx: resolvers.list_wanted(tx, [message.id for message in unresolved]))


def is_unresolved(message: Message) -> bool:
    """Say whether the texts of a message are to be asked for."""
    return message.content is not None and UNRESOLVED in message.content


async def fill_one(resolver: Resolver, message: Message) -> Message:
    """Return a message with its texts, as far as they are to be had (`Resolver`)."""
    [filled] = await resolver.fill([message])
    return filled


def unresolved_in(parcels: Sequence[Parcel]) -> list[Parcel]:
    """Return the deliveries that would go out without their texts."""
    return [parcel for parcel in parcels if parcel.message_id is not None and _is_without(parcel.body)]


async def messages_of(db: Database, parcels: Sequence[Parcel]) -> list[Message]:
    """Return the messages of deliveries, each once; what is gone by now is left out."""
    ids = {parcel.message_id for parcel in parcels if parcel.message_id is not None}
    return await db.read(lambda tx: messages.load_messages(tx, ids))


def fill_parcel(parcel: Parcel, message: Message | None) -> Parcel:
    """Return a delivery with the texts that its message has by now, if it has any."""
    if message is None or message.content is None or is_unresolved(message):
        return parcel
    return replace(parcel, body=orjson.dumps(message.content).decode(), fleeting=True)


async def fill_parcels(db: Database, resolver: Resolver, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Return deliveries with the texts of their messages, as far as these are to be had (`Resolver`)."""
    without = unresolved_in(parcels)
    if not without:
        return list(parcels)
    filled = {message.id: message for message in await resolver.fill(await messages_of(db, without))}
    ids = {parcel.id for parcel in without}
    return [
        fill_parcel(parcel, filled.get(parcel.message_id or "")) if parcel.id in ids else parcel
        for parcel in parcels
    ]


def _is_without(body: str | None) -> bool:
    """Say whether a content is without its texts; it is read only where the word stands in it."""
    return body is not None and _WORD in body and UNRESOLVED in orjson.loads(body)


async def fill_items(resolver: Resolver, items: Sequence[InboxItem]) -> list[InboxItem]:
    """Return inbox items whose messages have their texts, as far as these are to be had (`Resolver`)."""
    filled = await resolver.fill([item.message for item in items])
    return [replace(item, message=message) for item, message in zip(items, filled, strict=True)]
