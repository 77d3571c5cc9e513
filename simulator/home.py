"""A paired device's calls to its own server (PROTOCOL §6): that origin only, and no redirects, ever.

The device's token goes nowhere else. Whatever the server answers is judged by its status; the text of an error is not
trusted further than its `code`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from simulator.mail import Receipt

TIMEOUT = aiohttp.ClientTimeout(total=20)
LIMIT = 100
LARGEST_CLAIM = 64 << 20
CHUNK = 1 << 16


class Refused(Exception):
    """The other side answered, and not with what was asked for. `code` is its problem document's."""

    def __init__(self, what: str, status: int, code: str) -> None:
        super().__init__(f"{what}: {status} {code}".rstrip())
        self.status = status
        self.code = code


async def refusal(what: str, answer: aiohttp.ClientResponse) -> Refused:
    """Make the error for an answer of a status that was not hoped for."""
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    code = body.get("code") if isinstance(body, dict) else None
    return Refused(what, answer.status, str(code or ""))


@dataclass(frozen=True)
class Home:
    session: aiohttp.ClientSession
    url: str
    token: str = field(repr=False)

    async def messages(self, after: int) -> dict[str, Any]:
        async with self._ask("GET", f"device/messages?after={after}&limit={LIMIT}") as answer:
            return await _json("device/messages", answer)

    async def claim(self, claim_id: str) -> bytes:
        async with self._ask("GET", f"device/claims/{quote(claim_id, safe='')}") as answer:
            if answer.status != HTTPStatus.OK:
                raise await refusal("device/claims", answer)
            blob = bytearray()
            async for chunk in answer.content.iter_chunked(CHUNK):
                blob += chunk
                if len(blob) > LARGEST_CLAIM:
                    raise Refused("device/claims", answer.status, "too_large")
            return bytes(blob)

    async def receipts(self, receipts: Sequence[Receipt]) -> None:
        await self._tell(
            "POST", "device/receipts", {"receipts": [_show(one) for one in receipts]}, HTTPStatus.ACCEPTED
        )

    async def press(self, message_id: str, which: str, key: str) -> str:
        """Have the server run a button's action; return its type."""
        path = f"notifications/{quote(message_id, safe='')}/actions/{which}"
        async with self._ask("POST", path, headers={"Idempotency-Key": key}) as answer:
            if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
                raise await refusal(path, answer)
            body = await answer.json(content_type=None)
            return str(body.get("type")) if isinstance(body, dict) else ""

    async def put_handle(self, handle: str) -> None:
        await self._tell("PUT", "device/handle", {"handle": handle}, HTTPStatus.NO_CONTENT)

    async def put_key(self, suite: int, public_key: str) -> None:
        await self._tell(
            "PUT", "device/key", {"suite": suite, "publicKey": public_key}, HTTPStatus.NO_CONTENT
        )

    async def unpair(self) -> None:
        await self._tell("DELETE", "device", None, HTTPStatus.NO_CONTENT)

    def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self.session.request(
            method,
            URL(f"{self.url}/api/v1/{path}", encoded=True),
            json=body,
            headers={"Authorization": f"Bearer {self.token}", **(headers or {})},
            allow_redirects=False,
            timeout=TIMEOUT,
        )

    async def _tell(self, method: str, path: str, body: Any, status: int) -> None:
        async with self._ask(method, path, body) as answer:
            if answer.status != status:
                raise await refusal(path, answer)


async def _json(what: str, answer: aiohttp.ClientResponse) -> dict[str, Any]:
    if answer.status != HTTPStatus.OK:
        raise await refusal(what, answer)
    body = await answer.json(content_type=None)
    if not isinstance(body, dict):
        raise Refused(what, answer.status, "not_an_object")
    return body


def _show(receipt: Receipt) -> dict[str, Any]:
    shown = {
        "messageId": receipt.message_id,
        "event": receipt.event,
        "reason": receipt.reason,
        "at": receipt.at,
    }
    return {name: value for name, value in shown.items() if value is not None}
