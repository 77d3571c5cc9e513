"""Requests that no client library sends, byte by byte: they are refused, or answered as any other, and none is a failure."""

import asyncio
import json

import pytest
from yarl import URL

from tests.server.conftest import PASSWORD, House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter

IDENTITY = b"/api/v1/identity?nonce=" + b"A" * 22


async def ask(house: House, head: bytes, body: bytes = b"") -> tuple[int, str]:
    """Send a request as it is written and return the status and code of its answer."""
    url = URL(house.api.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    status, _, content = answer.partition(b"\r\n\r\n")
    return int(status.split()[1]), json.loads(content).get("code", "")


@pytest.mark.parametrize("token", [b"\xff\xfe", b"\xff.\xff.\xff", b"zat_\xff", b"hpd_\xff"])
async def test_a_token_of_bytes_that_are_no_text_is_a_bad_token(house: House, token: bytes) -> None:
    """And no failure of the server."""
    head = b"GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n"
    assert await ask(house, head) == (401, "token_invalid")


@pytest.mark.parametrize("host", [b"[::1:x", b"a:99999999", b"\xff\xfe"])
async def test_a_host_that_is_none_is_not_this_machine(house: House, host: bytes) -> None:
    """The first account needs its code then."""
    assert await register(house, b"HTTP/1.1", host) == (403, "first_account_code_required")


@pytest.mark.parametrize(
    ("version", "expected"),
    [(b"HTTP/1.1", (201, "")), (b"HTTP/1.0", (403, "first_account_code_required"))],
)
async def test_what_a_bare_proxy_passes_on_is_not_this_machine(
    house: House, version: bytes, expected: tuple[int, str]
) -> None:
    """It calls from loopback, for a loopback name, and forwards no header that tells of anyone."""
    assert await register(house, version, b"127.0.0.1") == expected


@pytest.mark.parametrize("other", [b"http://other.example", b"m://other.example"])
async def test_nothing_is_signed_for_an_address_that_the_request_names(house: House, other: bytes) -> None:
    """What is signed begins with the server's own address and goes on with a path."""
    head = b"GET " + other + IDENTITY + b" HTTP/1.1\r\nHost: x\r\n"
    assert await ask(house, head) == (400, "invalid")
    assert (await ask(house, b"GET " + IDENTITY + b" HTTP/1.1\r\nHost: x\r\n"))[0] == 200


async def register(house: House, version: bytes, host: bytes) -> tuple[int, str]:
    head = b"POST /api/v1/auth/register " + version + b"\r\nHost: " + host + b"\r\n"
    body = json.dumps({"email": "a@example.com", "username": "ann", "password": PASSWORD}).encode()
    return await ask(house, head + b"Content-Type: application/json\r\n", body)
