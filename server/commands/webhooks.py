"""Webhooks: what is sent when somebody presses a button, and how its receiver knows whom it is from (Standard Webhooks 1.0).

Each bucket has a key. It is not stored: it is made from the server's secret, the bucket, and a number that rises when the key is
replaced. So a backup of the database has none, and a key that leaked is of no use for other buckets.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.commands.buckets import administered, find, only
from server.commands.derive import webhook_key
from server.domain.account import User
from server.domain.bucket import Bucket, Permission
from server.domain.delivery import SECOND
from server.domain.errors import Forbidden
from server.domain.outgoing import Request
from server.domain.ports import Database, Transaction
from server.store import buckets

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)  # Standard Webhooks 1.0


@dataclass(frozen=True)
class WebhookSecrets:
    """Makes the keys; `secret` is the server's."""

    db: Database
    secret: bytes = field(repr=False)

    async def show(self, user: User, reference: str) -> str:
        """Return the key of a bucket that the user is ADMIN of, as receivers are given it; NotFound, Conflict, Forbidden."""

        async def job(tx: Transaction) -> tuple[Bucket, int]:
            bucket = only(await find(tx, user.id, reference))
            if not bucket.lets(Permission.ADMIN):
                raise Forbidden("only who is ADMIN in this bucket may do that", code="bucket_forbidden")
            return bucket, await buckets.webhook_epoch(tx, bucket.id)

        return self._text(*await self.db.read(job))

    async def rotate(self, user: User, reference: str) -> str:
        """Replace a bucket's key, from the next request on, and return the new one; NotFound, Conflict, Forbidden."""

        async def job(tx: Transaction) -> tuple[Bucket, int]:
            bucket = await administered(tx, user, reference)
            await buckets.raise_webhook_epoch(tx, bucket.id)
            return bucket, await buckets.webhook_epoch(tx, bucket.id)

        return self._text(*await self.db.write(job))

    def _text(self, bucket: Bucket, epoch: int) -> str:
        return show_key(webhook_key(self.secret, bucket.id, epoch))


def show_key(key: bytes) -> str:
    """Write a key as receivers are given it."""
    return _PREFIX + base64.b64encode(key).decode()


def read_key(text: str) -> bytes | None:
    """Return the key that a text stands for; None where it is none."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return None
    return key if text.startswith(_PREFIX) and len(key) in _KEY_BYTES else None


def signed_headers(secret: bytes, request: Request, body: bytes, now: int) -> Mapping[str, str]:
    """Return the headers of one attempt at a time (milliseconds), signed with the key of the request's bucket."""
    return headers_for(webhook_key(secret, request.bucket_id or "", request.epoch), request.id, body, now)


def headers_for(key: bytes, id_: str, body: bytes, now: int) -> Mapping[str, str]:
    """Return the headers of a request with an id, signed over exactly this body; `now` in milliseconds."""
    timestamp = str(now // SECOND)
    signed = b".".join((id_.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
