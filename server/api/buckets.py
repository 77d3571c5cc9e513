"""`/api/v1/buckets`: create, list, get by id or name."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.api.answers import show
from server.api.reading import Fields, read_json
from server.commands.buckets import CreateBucket, create_bucket, get_bucket, list_buckets
from server.domain import rules
from server.domain.account import LONGEST_NAME, Caller
from server.domain.bucket import LONGEST_DESCRIPTION, Bucket, Permission
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time


@dataclass(frozen=True)
class Buckets:
    db: Database
    clock: Clock
    random: Random

    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        command = read_bucket(await read_json(request))
        bucket = await create_bucket(self.db, caller.user, command, now=self.clock(), random=self.random)
        return show(show_bucket(bucket), status=201, headers={"Location": f"/api/v1/buckets/{bucket.id}"})

    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        return show({"buckets": [show_bucket(bucket) for bucket in await list_buckets(self.db, caller.user)]})

    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        bucket = await get_bucket(self.db, caller.user, request.match_info["bucket"])
        return show(show_bucket(bucket))


def read_bucket(values: dict[str, Any]) -> CreateBucket:
    fields = Fields(values)
    command = CreateBucket(
        name=fields.required("name", most=LONGEST_NAME, rule=rules.bucket_name),
        description=fields.optional("description", most=LONGEST_DESCRIPTION, rule=rules.prose),
        icon=fields.optional("icon", most=LONGEST_NAME),
        color=fields.optional("color", most=7, least=7, rule=rules.color),
        protected=fields.flag("protected"),
        public=fields.flag("public"),
    )
    fields.check()
    return command


def show_bucket(bucket: Bucket) -> dict[str, Any]:
    return {
        "id": bucket.id,
        "name": bucket.name,
        "description": bucket.description,
        "icon": bucket.icon,
        "color": bucket.color,
        "protected": bucket.protected_at is not None,
        "public": bucket.public_at is not None,
        "ownerId": bucket.owner_id,
        "permissions": [permission.value for permission in Permission if permission in bucket.permissions],
        "createdAt": show_time(bucket.created_at),
    }
