"""Who this server is: its identity for a device that is about to pair, and its key directory."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import orjson
from aiohttp import web

from server.api.answers import JSON
from server.api.bodies import Body, note, own, read_query
from server.api.describe import describes
from server.api.reading import Fields
from server.commands.devices import ServerAddress
from server.commands.signing import Signer, is_nonce
from server.domain.ports import Clock

DIRECTORY_TYPE = "application/http-message-signatures-directory+json"


def _read_nonce(fields: Fields, name: str) -> None:
    if not is_nonce(fields.value(name) or ""):
        fields.fault(name, "is missing or not one", "give 16 random bytes as base64url without padding")


class IdentityQuery(Body, frozen=True, kw_only=True):
    """What makes an answer new."""

    nonce: Annotated[
        None,
        own(
            _read_nonce,
            "16 random bytes as base64url without padding, which the answer's signature covers.",
            type="string",
            pattern="^[A-Za-z0-9_-]{21}[AQgw]$",
        ),
    ]


class IdentityView(TypedDict):
    """Who the server is."""

    serverKey: Annotated[str, note("The server's public identity key, as base64url.")]


@dataclass(frozen=True)
class Keys:
    address: ServerAddress
    signer: Signer
    clock: Clock

    @describes(
        "Get the server's identity",
        detail="For a device that is about to pair: the answer is signed by the key that the pairing link names.",
        query=IdentityQuery,
        gives=IdentityView,
    )
    async def identity(self, request: web.Request) -> web.Response:
        read_query(IdentityQuery, request)
        body = orjson.dumps(IdentityView(serverKey=self.address.server_key_text))
        uri = self.address.target_uri(request.raw_path)
        headers = self.signer.identity_answer(uri, body, JSON, self.clock())
        return web.Response(body=body, headers={"Content-Type": JSON, **headers})

    @describes(
        "Get the server's key directory",
        detail="The keys that its requests to a relay are signed with (HTTP Message Signatures Directory).",
        gives=dict[str, Any],
        produces=DIRECTORY_TYPE,
    )
    async def directory(self, request: web.Request) -> web.Response:
        body = orjson.dumps(self.signer.key_set)
        headers = self.signer.directory(self.address.target_uri(request.raw_path), body, self.clock())
        return web.Response(body=body, headers={"Content-Type": DIRECTORY_TYPE, **headers})
