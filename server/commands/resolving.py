"""Texts that are kept by a tenant's own server: where that is asked, and messages, inboxes and parcels that are shown with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from server.commands.vault import Vault
from server.commands.webhooks import show_key
from server.domain.inbox import InboxItem
from server.domain.message import UNRESOLVED, Message
from server.domain.ports import Database
from server.domain.resolver import Endpoint, Resolver
from server.store import resolvers

PURPOSE = "resolvers"
"""Of the vault that the keys are kept in with which tenants know who asks them."""
_KEY_BYTES = 32


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


def is_unresolved(message: Message) -> bool:
    """Say whether the texts of a message are to be asked for."""
    return message.content is not None and UNRESOLVED in message.content


async def fill_one(resolver: Resolver, message: Message) -> Message:
    """Return a message with its texts, as far as they are to be had (`Resolver`)."""
    return (await resolver.fill([message]))[0] if is_unresolved(message) else message


async def fill_items(resolver: Resolver, items: Sequence[InboxItem]) -> list[InboxItem]:
    """Return inbox items whose messages have their texts, as far as these are to be had (`Resolver`)."""
    without = [is_unresolved(item.message) for item in items]
    if not any(without):
        return list(items)
    filled = iter(await resolver.fill([item.message for item in compress(items, without)]))
    return [
        replace(item, message=next(filled)) if asked else item
        for item, asked in zip(items, without, strict=True)
    ]
