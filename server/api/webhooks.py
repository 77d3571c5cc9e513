"""`/api/v1/buckets/{bucket}/webhook-secret`: what receivers of a bucket's webhooks verify them with."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import show
from server.api.bodies import note
from server.api.describe import describes
from server.commands.webhooks import WebhookSecrets
from server.domain.account import Caller

_REFUSED = ("bucket_not_found", "bucket_ambiguous", "bucket_forbidden")


class SecretView(TypedDict):
    """What signs the webhooks of an account."""

    secret: Annotated[str, note("`whsec_` and the key in base64, as libraries of Standard Webhooks take it.")]


@dataclass(frozen=True)
class Webhooks:
    secrets: WebhookSecrets

    @describes(
        "Show a bucket's webhook secret",
        detail="Its webhooks are signed with it, by Standard Webhooks. For the ADMINs of the bucket.",
        gives=SecretView,
        errors=_REFUSED,
    )
    async def show(self, request: web.Request, caller: Caller) -> web.Response:
        return show(SecretView(secret=await self.secrets.show(caller.user, request.match_info["bucket"])))

    @describes(
        "Replace a bucket's webhook secret",
        detail="From the next attempt on everything is signed with the new one, and nothing with the old one. For the ADMINs of the"
        " bucket.",
        gives=SecretView,
        errors=_REFUSED,
    )
    async def rotate(self, request: web.Request, caller: Caller) -> web.Response:
        return show(SecretView(secret=await self.secrets.rotate(caller.user, request.match_info["bucket"])))
