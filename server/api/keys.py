"""Who this server is: its identity for a device that is about to pair, and its key directory."""

from dataclasses import dataclass

import orjson
from aiohttp import web

from server.api.answers import JSON
from server.api.reading import Query
from server.commands.devices import ServerAddress
from server.commands.signing import Signer, is_nonce
from server.domain.ports import Clock

DIRECTORY_TYPE = "application/http-message-signatures-directory+json"


@dataclass(frozen=True)
class Keys:
    address: ServerAddress
    signer: Signer
    clock: Clock

    async def identity(self, request: web.Request) -> web.Response:
        query = Query(request)
        if not is_nonce(query.value("nonce") or ""):
            query.fault("nonce", "is missing or not one", "give 16 random bytes as base64url without padding")
        query.check()
        body = orjson.dumps({"serverKey": self.address.server_key_text})
        uri = self.address.target_uri(request.raw_path)
        headers = self.signer.identity_answer(uri, body, JSON, self.clock())
        return web.Response(body=body, headers={"Content-Type": JSON, **headers})

    async def directory(self, request: web.Request) -> web.Response:
        body = orjson.dumps(self.signer.key_set)
        headers = self.signer.directory(self.address.target_uri(request.raw_path), body, self.clock())
        return web.Response(body=body, headers={"Content-Type": DIRECTORY_TYPE, **headers})
