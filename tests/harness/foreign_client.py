"""A person's HTTP client and a phone, written from PROTOCOL.md, sections 1, 2 and 6, on the second implementation alone."""

import io
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import aiohttp

from tests.harness import second, second_http
from tests.harness.second import b64u, unb64u
from tests.harness.second_http import Message

PASSWORD = "a long and quiet password"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        return str(self.json["code"])


@dataclass(frozen=True)
class Http:
    """Calls to one origin; `token` goes into every one of them."""

    session: aiohttp.ClientSession
    url: str
    token: str = field(repr=False, default="")

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Reply:
        """Ask; `body` is JSON, or bytes as they are."""
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        data = None if body is None else io.BytesIO(body)  # bytes as they are would be warned of when many
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            return Reply(answer.status, _joined(answer), await answer.read())


def _joined(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Headers with those of one name joined, as RFC 9110 has it; names as in `Content-Type`."""
    joined: dict[str, str] = {}
    for name, value in answer.headers.items():
        usual = name.title()
        joined[usual] = f"{joined[usual]}, {value}" if usual in joined else value
    return joined


async def sign_up(session: aiohttp.ClientSession, url: str) -> Http:
    """Make an account of one's own and sign in."""
    name = f"user{secrets.token_hex(6)}"
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    http = Http(session, url)
    made = await http.call("POST", "/api/v1/auth/register", account)
    assert made.status == 201, made.body
    del account["username"]
    entered = await http.call("POST", "/api/v1/auth/login", account)
    assert entered.status == 200, entered.body
    return Http(session, url, entered.json["accessToken"])


async def send(person: Http, **message: Any) -> str:
    """Send to the default bucket; the message's id."""
    minimal = {"title": "Welcome!", "bucketId": "default", "deliveryType": "NORMAL"}
    sent = await person.call("POST", "/api/v1/messages", minimal | message)
    assert sent.status == 201, sent.body
    return str(sent.json["id"])


@dataclass(frozen=True)
class Link:
    """What the pairing link carries."""

    server: str
    keyid: str
    code: str
    relay: str

    @classmethod
    def read(cls, text: str) -> "Link":
        parts = urlsplit(text)
        values = parse_qs(parts.query, strict_parsing=True)
        assert (parts.scheme, parts.netloc) == ("hushpost", "pair")
        assert {name: len(given) for name, given in values.items()} == dict.fromkeys("skcr", 1)
        assert len(unb64u(values["c"][0])) == 16
        return cls(values["s"][0], values["k"][0], values["c"][0], values["r"][0])


async def new_link(person: Http) -> Link:
    made = await person.call("POST", "/api/v1/devices/pairing-codes", {})
    assert made.status == 201, made.body
    link = Link.read(made.json["link"])
    assert link.code == made.json["code"]
    return link


async def server_key(session: aiohttp.ClientSession, link: Link) -> bytes:
    """The server's raw key, proved by it for a nonce of ours."""
    path = f"/api/v1/identity?nonce={b64u(secrets.token_bytes(16))}"
    reply = await Http(session, link.server).call("GET", path)
    assert reply.status == 200, reply.body
    public = unb64u(reply.json["serverKey"])
    assert b64u(second.keyid_raw(public)) == link.keyid
    asked = Message({}, "GET", link.server + path)
    _check("identity", asked, reply, public)
    return public


async def new_handle(session: aiohttp.ClientSession, link: Link, **claims: str) -> str:
    """A handle from the relay, bound to the server of the link."""
    wanted = {
        "provider": "apns",
        "app": "org.hushpost.app",
        "environment": "production",
        "token": secrets.token_hex(32),
        "server": link.keyid,
        "request": b64u(secrets.token_bytes(16)),
    }
    made = await Http(session, link.relay).call("POST", "/v1/handles", wanted | claims)
    assert made.status == 201, made.body
    assert made.json["expiresAt"] > time.time() * 1000
    return str(made.json["handle"])


@dataclass
class Phone:
    """A paired device. `keys` are its key pairs, the newest last."""

    http: Http
    link: Link
    server: bytes
    suite: int
    keys: list[second.Device] = field(repr=False)
    head: int
    handle: str = field(repr=False)

    @property
    def id(self) -> UUID:
        return self.keys[-1].id

    def open(self, envelope: str) -> second.Said:
        """Open with the key that the envelope names."""
        data = unb64u(envelope)
        [key] = [key for key in self.keys if key.key_id == data[2:10]]
        return second.open_envelope(data, key, self.server)

    async def fetch(self, **query: int) -> Any:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        reply = await self.http.call("GET", f"/api/v1/device/messages?{asked}")
        assert reply.status == 200, reply.body
        assert reply.json.keys() == {"messages", "retracted", "read", "head", "more"}
        return reply.json


def pairing(link: Link, suite: int, seed: bytes, handle: str) -> dict[str, Any]:
    public = second.Device(suite, seed, UUID(int=0)).public
    return {
        "code": link.code,
        "name": "A stranger's phone",
        "platform": "ios",
        "suite": suite,
        "publicKey": b64u(public),
        "handle": handle,
    }


async def ask_to_pair(session: aiohttp.ClientSession, link: Link, wanted: dict[str, Any]) -> Reply:
    body, headers = signed_body(wanted)
    return await Http(session, link.server).call("POST", "/api/v1/devices/pair", body, headers=headers)


def signed_body(wanted: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(wanted).encode()
    return body, {"Content-Type": "application/json", "Content-Digest": second_http.digest(body)}


async def pair(session: aiohttp.ClientSession, link: Link, *, suite: int) -> Phone:
    """Pair as section 6 says, believing nothing that is not signed."""
    public = await server_key(session, link)
    handle = await new_handle(session, link)
    seed = secrets.token_bytes(32)
    wanted = pairing(link, suite, seed, handle)
    reply = await ask_to_pair(session, link, wanted)
    assert reply.status == 201, reply.body
    assert reply.json.keys() == {"deviceId", "deviceToken", "serverKey", "head"}
    assert unb64u(reply.json["serverKey"]) == public
    asked = Message(signed_body(wanted)[1], "POST", link.server + "/api/v1/devices/pair")
    _check("pair", asked, reply, public)
    assert reply.json["deviceToken"].startswith("hpd_")
    device = second.Device(suite, seed, UUID(reply.json["deviceId"]))
    http = Http(session, link.server, reply.json["deviceToken"])
    return Phone(http, link, public, suite, [device], reply.json["head"], handle)


def _check(profile: str, asked: Message, reply: Reply, public: bytes) -> None:
    answer = Message(reply.headers, status=reply.status, request=asked)
    second_http.check_answer(profile, answer, reply.body, public, int(time.time()))
