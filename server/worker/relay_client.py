"""Pushes through a relay: one signed request for each batch (PROTOCOL.md, section 4).

Only a 200 that a trusted key signed, for this very request, settles anything. All else means that nothing is known: what
stands in an unverified answer is a hint about when to try again and what to write into the log, and no more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from crypto.httpsig import (
    OUTCOME,
    PUSH,
    RequestContext,
    SignatureFault,
    request_context,
    sign_request,
    verify_answer,
)
from crypto.keys import IdentityKey
from relay.wire import (
    ERROR_STATUS,
    JSON_TYPE,
    MAX_BYTES,
    PUSH_PATH,
    Outcome,
    Push,
    decode_outcomes,
    encode_pushes,
)
from server.domain.ports import Clock, Random
from server.worker.gateway import GatewayFault
from server.worker.http import pass_header, read_body
from server.worker.relay_keys import RelayKeys
from server.worker.relay_limits import RelayLimits

ANSWER_SECONDS = 15
_LIFETIME = 60
_OK = 200
# Refusals of this server or of everybody, whatever was sent.
_GENERAL = frozenset(
    {
        "draining",
        "key_denied",
        "key_mismatch",
        "key_not_admitted",
        "limited",
        "nonce_replayed",
        "nonce_store_full",
        "pass_invalid",
        "signature_expired",
        "signature_invalid",
        "signature_missing",
        "signature_profile",
        "starting",
    }
)
# Signing anew, at the time that it is then, is all that these want.
_ANEW = frozenset({"starting", "nonce_replayed", "signature_expired"})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class Problem(msgspec.Struct, frozen=True):
    """The one field of a problem document that a program needs."""

    code: str = ""


class RelayClient:
    """The relay whose public URL is `url`, which requests are signed for; `reach` is where it is connected to.

    `relay_pass` is what its operator gave to this server, or empty. `log` is a structlog logger: whoever runs the server learns there why nothing goes out.
    """

    def __init__(
        self,
        url: str,
        *,
        reach: str,
        identity: IdentityKey,
        keys: RelayKeys,
        session: aiohttp.ClientSession,
        clock: Clock,
        random: Random,
        limits: RelayLimits,
        log: Any,
        relay_pass: str = "",
    ) -> None:
        self._target = url + PUSH_PATH
        self._reach = URL(reach + PUSH_PATH, encoded=True)
        self._identity = identity
        self._keys = keys
        self._session = session
        self._clock = clock
        self._random = random
        self._limits = limits
        self._log = log
        self._unsigned = {"Accept-Encoding": "identity", **pass_header(relay_pass)}

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):  # for the keys too, if they are still to be asked for
                return await self._push(pushes)
        except TimeoutError:
            self._log.warning("the relay did not answer in time", seconds=ANSWER_SECONDS)
            raise GatewayFault("relay_timeout") from None

    async def _push(self, pushes: Sequence[Push]) -> list[Outcome]:
        await self._keys.trusted()  # before anything is sent whose answer could not be believed
        body = encode_pushes(pushes)
        headers = sign_request(
            PUSH,
            key=self._identity,
            method="POST",
            target_uri=self._target,
            content_type=JSON_TYPE,
            body=body,
            created=self._clock() // 1000,
            lifetime=_LIFETIME,
            nonce=self._random(16),
        )
        answer = await self._ask(headers, body)
        self._limits.note(answer.headers)
        if answer.status != _OK:
            raise self._refused(answer)
        await self._verify(answer, request_context("POST", self._target, headers.items()))
        return self._outcomes(answer.body, pushes)

    async def _ask(self, headers: dict[str, str], body: bytes) -> Answer:
        try:
            async with self._session.post(
                self._reach,
                data=body,
                headers=headers | self._unsigned,
                allow_redirects=False,
            ) as answer:
                return Answer(
                    answer.status, tuple(answer.headers.items()), await read_body(answer, MAX_BYTES)
                )
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            self._log.warning("the relay cannot be reached", error=type(error).__name__)
            # A connection that was there and broke may have broken over what was sent.
            general = isinstance(error, aiohttp.ClientConnectorError)
            raise GatewayFault("relay_unreachable", general=general) from None

    def _refused(self, answer: Answer) -> GatewayFault:
        code = _code_of(answer.body) or f"http_{answer.status}"
        self._log.warning("the relay refused a batch", status=answer.status, code=code)
        after = answer.header("retry-after")
        seconds = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else None  # noqa: PLR2004 - an int
        return GatewayFault(
            f"relay_{code}", retry_after=seconds, anew=code in _ANEW, general=code in _GENERAL
        )

    async def _verify(self, answer: Answer, request: RequestContext) -> None:
        trusted = await self._keys.trusted()
        try:
            self._check(answer, request, trusted)
        except SignatureFault as fault:
            if fault.code != "key_mismatch" or not await self._keys.refresh(trusted):
                raise self._not_verified(fault) from None
            try:
                self._check(answer, request, await self._keys.trusted())
            except SignatureFault as again:
                raise self._not_verified(again) from None

    def _check(self, answer: Answer, request: RequestContext, trusted: Sequence[Any]) -> None:
        verify_answer(
            OUTCOME,
            keys=trusted,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            request=request,
            now=self._clock() / 1000,
        )

    def _not_verified(self, fault: SignatureFault) -> GatewayFault:
        self._log.error("an answer that the relay did not sign settles nothing", fault=fault.code)
        return GatewayFault("relay_answer_not_verified", general=True)

    def _outcomes(self, body: bytes, pushes: Sequence[Push]) -> list[Outcome]:
        try:
            outcomes = decode_outcomes(body)
        except msgspec.MsgspecError:
            outcomes = []
        if [outcome.id for outcome in outcomes] != [push.id for push in pushes]:
            self._log.error("the relay's answer does not fit its request", pushes=len(pushes))
            raise GatewayFault("relay_answer_malformed")
        return outcomes


def _code_of(body: bytes) -> str | None:
    try:
        code = msgspec.json.decode(body, type=Problem).code
    except msgspec.MsgspecError:
        return None
    return code if code in ERROR_STATUS else None
