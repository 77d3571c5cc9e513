"""A server that talks to a relay, written from PROTOCOL.md, sections 3 to 5, on the second implementation alone."""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.harness import second_http
from tests.harness.foreign_client import Http, Reply
from tests.harness.second import b64u, ed25519_sign, identity_public, keyid_raw, unb64u
from tests.harness.second_http import COMPONENTS, Message

EMPTY = b'{"pushes":[]}'
STARTING_SECONDS = 5


def seed() -> bytes:
    return secrets.token_bytes(32)


def keyid(key: bytes) -> str:
    """The key id of a seed's public key."""
    return b64u(keyid_raw(identity_public(key)))


@dataclass(frozen=True)
class Request:
    """A signed request."""

    message: Message
    body: bytes | None

    def with_headers(self, **headers: str) -> "Request":
        """Headers added; `_` stands for `-`."""
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        message = self.message
        return Request(Message(message.headers | added, message.method, message.target_uri), self.body)


@dataclass
class Server:
    """Signs as the key of `seed`. `relay` is the key that answers must be signed with."""

    http: Http
    seed: bytes = field(repr=False)
    relay: bytes

    def push_request(self, body: bytes = EMPTY, *, age: int = 0) -> Request:
        """A signed `POST /v1/push`."""
        headers = {"Content-Type": "application/json", "Content-Digest": second_http.digest(body)}
        message = Message(headers, "POST", self.http.url + "/v1/push")
        signed = second_http.sign(message, COMPONENTS["push"], self._params("push", age), self.seed)
        return self._complete(message, signed, body)

    def status_request(self) -> Request:
        message = Message({}, "GET", self.http.url + "/v1/status")
        signed = second_http.sign(message, COMPONENTS["status"], self._params("status"), self.seed)
        return self._complete(message, signed, None)

    def _params(self, profile: str, age: int = 0) -> dict[str, str]:
        created = int(time.time()) - age
        return second_http.parameters(profile, self.seed, created, created + 60, secrets.token_bytes(16))

    def _complete(self, message: Message, signed: dict[str, str], body: bytes | None) -> Request:
        key = {"Hushpost-Key": b64u(identity_public(self.seed))}
        return Request(
            Message(message.headers | signed | key, message.method, message.target_uri),
            body,
        )

    async def send(self, request: Request) -> Reply:
        """Send it as it is; the answer has RateLimit fields whatever it is."""
        message = request.message
        path = "/v1/" + message.target_uri.rpartition("/v1/")[2]
        reply = await self.http.call(message.method, path, request.body, headers=message.headers)
        assert '";r=' in reply.headers["Ratelimit"], reply.headers
        assert '";q=' in reply.headers["Ratelimit-Policy"], reply.headers
        if reply.status in {429, 503}:
            assert int(reply.headers["Retry-After"]) >= 1
        return reply

    def check_signed(self, request: Request, reply: Reply, profile: str = "outcome") -> None:
        """The relay signed this very answer to this very request."""
        answer = Message(reply.headers, status=reply.status, request=request.message)
        second_http.check_answer(profile, answer, reply.body, self.relay, int(time.time()))

    async def push(self, *pushes: Any) -> list[dict[str, Any]]:
        """The outcomes; signed anew where the relay is still starting."""
        request = self.push_request(json.dumps({"pushes": pushes}).encode())
        reply = await self.send(request)
        assert reply.status == 200, reply.body
        assert reply.headers["Content-Type"] == "application/json"
        self.check_signed(request, reply)
        assert reply.json.keys() == {"outcomes"}
        return list(reply.json["outcomes"])


def push(handle: str, /, **changes: Any) -> dict[str, Any]:
    """A push that is right, but for `changes`; a change to None leaves the field out."""
    right = {
        "id": str(uuid4()),
        "handle": handle,
        "envelope": b64u(secrets.token_bytes(768)),
        "priority": "high",
        "ttl": 86_400,
        "collapse": b64u(secrets.token_bytes(16)),
        "type": "alert",
    }
    return {name: value for name, value in (right | changes).items() if value is not None}


def make_pass(signer: bytes, *, server: str, audience: str, **changes: Any) -> str:
    """A pass as section 5 has it: EdDSA JWT."""
    header = {"alg": "EdDSA", "typ": "hushpost-pass"}
    claims = {"sub": server, "aud": audience, "exp": int(time.time()) + 3600} | changes
    signed = ".".join(b64u(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{b64u(ed25519_sign(signer, signed.encode()))}"


async def relay_key(http: Http) -> bytes:
    """The relay's key, from its own directory."""
    reply = await http.call("GET", "/.well-known/http-message-signatures-directory")
    assert reply.status == 200, reply.body
    public = unb64u(reply.json["keys"][0]["x"])
    asked = Message({}, "GET", http.url + "/.well-known/http-message-signatures-directory")
    answer = Message(reply.headers, status=reply.status, request=asked)
    second_http.check_directory(answer, reply.body, [public], int(time.time()))
    return public


def altered(signature: str) -> str:
    """A Signature header with one bit turned, still of the right form."""
    label, _, value = signature.partition("=")
    data = bytearray(base64.b64decode(value.strip(":")))
    data[0] ^= 1
    return f"{label}=:{base64.b64encode(data).decode()}:"
