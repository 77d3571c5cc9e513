"""Firebase Cloud Messaging, HTTP v1, with a service account.

pyfcm gives the address and the payload's shape; its transport is not used, since it is synchronous, sleeps on
Retry-After and throws FCM's error code away. Requests go through aiohttp, answers through the table in
`fcm_reasons`. The payload is that of PROTOCOL.md, section 2: data only, no collapse key, since FCM keeps four
for a device at most.
"""

import json
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec
from google.oauth2.service_account import Credentials as ServiceAccount
from pyfcm import FCMNotification  # type: ignore[import-untyped]  # pyfcm has no types

from relay.config import FcmProject
from relay.providers.fcm_credentials import SCOPE, AccessToken, NoAccess
from relay.providers.fcm_reasons import ACCESS_REFUSED, message_name, verdict
from relay.providers.provider import (
    SEND_SECONDS,
    TIMEOUT,
    UNREACHABLE,
    UNUSABLE,
    Attempts,
    Credentials,
    Delivery,
    Done,
    Verdict,
    read_retry_after,
)
from relay.wire import App

CONNECTIONS: Final = 256
KEPT_SECONDS: Final = 60
LARGEST_ANSWER: Final = 65_536
_OK: Final = 200


class _Messages(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """pyfcm's end point and payload, for one project at one address."""

    def __init__(self, project: FcmProject, account: ServiceAccount) -> None:
        super().__init__(credentials=account, project_id=project.project)
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


class FcmProvider:
    def __init__(self, project: FcmProject, *, in_flight: int, clock: Callable[[], float]) -> None:
        self.app = App(provider="fcm", app=project.project, environment="production")
        self._project = project
        self._clock = clock
        self._credentials = Credentials()
        self._attempts = Attempts(self._attempt, in_flight)
        self._account = _load(project)
        self._messages = None if self._account is None else _Messages(project, self._account)
        self._access: AccessToken | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def trouble(self) -> str | None:
        if self._account is None:
            return "the service account does not load: it must be Google's JSON key file"
        return self._credentials.trouble(self._clock())

    async def open(self) -> None:
        if self._account is None:
            return
        context = ssl.create_default_context(cadata=self._project.roots)
        self._access = AccessToken(self._account, context, self._clock)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS, keepalive_timeout=KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=SEND_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._attempts.close()
        if self._session is not None and self._access is not None:
            await self._session.close()
            await self._access.close()

    def send(self, delivery: Delivery, done: Done) -> None:
        self._attempts.begin(delivery, done)

    async def _attempt(self, delivery: Delivery) -> Verdict:
        try:
            found = await self._send(delivery)
        except NoAccess as error:
            found = error.verdict
        except TimeoutError:
            return TIMEOUT
        except (aiohttp.ClientError, OSError):
            return UNREACHABLE
        self._credentials.saw(found, self._clock())
        return found

    async def _send(self, delivery: Delivery) -> Verdict:
        if self._session is None or self._access is None or self._messages is None:
            return UNUSABLE
        token = await self._access.get()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = self._session.post(
            self._messages.fcm_end_point,
            data=self._messages.write(delivery),
            headers=headers,
            allow_redirects=False,
        )
        async with request as response:
            found = await self._read(response)
        if found.reason == ACCESS_REFUSED.reason:
            self._access.refused(token)
        return found

    async def _read(self, response: aiohttp.ClientResponse) -> Verdict:
        body = await _read_body(response)
        if response.status == _OK:
            return Verdict("accepted", provider_id=message_name(body))
        found = verdict(response.status, body)
        if found.status != "retry":
            return found
        return found.after(read_retry_after(response.headers.get("Retry-After"), self._clock()))


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """At most `LARGEST_ANSWER` bytes; Google's answers have a few hundred."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= LARGEST_ANSWER:
            break
    return bytes(body[:LARGEST_ANSWER])


def _load(project: FcmProject) -> ServiceAccount | None:
    try:
        info = json.loads(project.service_account) | {"project_id": project.project}
        return ServiceAccount.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-untyped-call, no-any-return]  # google-auth is typed in part
    except (ValueError, TypeError, KeyError):
        return None
