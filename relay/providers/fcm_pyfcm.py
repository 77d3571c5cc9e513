"""pyfcm's end point and payload over aiohttp: a connection for each push that is under way, as a comparison and a way back.

pyfcm's own transport is not used: it is synchronous, sleeps on Retry-After and throws FCM's error code away. Its sessions know
nothing of the faults that `relay.http2` tells apart, so what aiohttp raises is sorted here.
"""

import ssl
from typing import Any, Final

import aiohttp
import msgspec
from pyfcm import FCMNotification  # type: ignore[import-untyped]  # pyfcm has no types

from relay.config import FcmProject
from relay.http2 import LARGEST_ANSWER, Fault, Request, Response
from relay.providers.coroutines import Exchanges, Failed
from relay.providers.provider import Delivery

CONNECTIONS: Final = 256
KEPT_SECONDS: Final = 60


class Messages(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """For one project at one address. The credentials are not pyfcm's business here, and it wants some."""

    def __init__(self, project: FcmProject) -> None:
        super().__init__(credentials=object(), project_id=project.project)
        self.FCM_END_POINT_BASE = f"{project.endpoint}/v1/projects"

    def json_dumps(self, data: Any) -> bytes:
        # pyfcm adds `validate_only: false`, which is the default and no part of the protocol's payload.
        return msgspec.json.encode({"message": data["message"]})

    def write(self, delivery: Delivery) -> bytes:
        android = {"priority": "HIGH" if delivery.high else "NORMAL", "ttl": f"{delivery.ttl}s"}
        # A wake is an empty envelope: FCM delivers no message without data.
        data = delivery.data or {"hp": ""}
        written: bytes = self.parse_payload(
            fcm_token=delivery.token, data_payload=data, android_config=android
        )
        return written


class AiohttpTransport:
    def __init__(self, url: str, context: ssl.SSLContext, in_flight: int) -> None:
        self._url = url
        self._exchanges = Exchanges(self._post, in_flight)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS, keepalive_timeout=KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def submit(self, request: Request) -> None:
        self._exchanges.submit(request)

    async def close(self) -> None:
        await self._exchanges.close()
        await self._session.close()

    async def _post(self, request: Request) -> Response:
        # The first is `:authority`, which aiohttp takes from the address.
        headers = {name.decode(): value.decode() for name, value in request.repeating[1:] + request.varying}
        try:
            async with self._session.post(
                self._url, data=request.body, headers=headers, allow_redirects=False
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            raise Failed(_fault(error)) from None


async def _read(response: aiohttp.ClientResponse) -> Response:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= LARGEST_ANSWER:
            break
    headers = tuple(
        (name.lower().encode(), value.encode("utf-8", "surrogateescape"))
        for name, value in response.headers.items()
    )
    return Response(response.status, headers, bytes(body[:LARGEST_ANSWER]))


def _fault(error: Exception) -> Fault:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Fault.DNS
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Fault.TLS
        case aiohttp.ClientConnectorError():
            return Fault.CONNECT
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return Fault.CONNECTION_LOST
    return Fault.PROTOCOL
