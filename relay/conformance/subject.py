"""The relay that is asked: what is known of it, how it is asked, and what every one of its answers must have.

It is believed nothing: its keys are those of its directory, the time is its own `Date` where that differs from this machine's, and each answer that
must be signed is verified for the very request that was sent.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from crypto.httpsig import (
    OUTCOME,
    STATUS_ANSWER,
    RequestContext,
    SignatureFault,
    verify_answer,
    verify_directory,
)
from crypto.keys import IdentityKey, IdentityPublicKey, Random
from relay.conformance.answer import (
    Answer,
    Failed,
    check_every,
    check_not_limited,
    check_outcome,
    check_problem,
)
from relay.conformance.given import Given, Need
from relay.conformance.request import Draft, Request, status_draft
from relay.wire import (
    APPS_PATH,
    DIRECTORY_PATH,
    JSON_TYPE,
    STATUS_PATH,
    App,
)

SECONDS: Final = 15
DRIFT: Final = 2.0
"""Seconds by which two clocks may differ before the relay's own is gone by: a `Date` has no fractions."""
STARTING_SECONDS: Final = 65
_LARGEST: Final = 1024 * 1024
_DAY_MS: Final = 86_400_000


@dataclass
class Subject:
    """The relay whose public URL is `url`, connected to at `reach`. `clock` in seconds since the epoch."""

    url: str
    reach: str
    session: aiohttp.ClientSession = field(repr=False)
    given: Given
    clock: Callable[[], float]
    random: Random
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    keys: Sequence[IdentityPublicKey] = ()
    apps: Sequence[App] = ()
    admission: str = ""
    """Empty where the given key is admitted; otherwise what the relay said to it."""
    ahead: float = 0.0
    handles: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    """Those that the relay has issued, by provider and server."""

    # --- what is known before the first case

    async def look(self) -> None:
        """Learn its keys, its time, its apps, and whether it admits the given key. Raises `Failed` where nothing answers."""
        directory = await self._ask("GET", DIRECTORY_PATH)
        self._note(directory.value("date"))
        try:
            self.keys = self.listed(directory)
        except SignatureFault:
            self.keys = ()  # the case about the directory says so
        await self._learn_apps()
        self.admission = await self._ask_for_admission()

    def listed(self, directory: Answer) -> list[IdentityPublicKey]:
        """The keys of a directory, each of which has signed it; `SignatureFault` otherwise."""
        return verify_directory(
            trusted=(),
            status=directory.status,
            headers=directory.fields,
            body=directory.body,
            target_uri=self.url + DIRECTORY_PATH,
            now=self.now,
        )

    def _note(self, date: str) -> None:
        try:
            ahead = parsedate_to_datetime(date).timestamp() + 0.5 - self.clock()
        except (ValueError, TypeError):
            return
        self.ahead = ahead if abs(ahead) > DRIFT else 0.0

    async def _learn_apps(self) -> None:
        answer = await self._ask("GET", APPS_PATH)
        try:
            self.apps = msgspec.json.decode(answer.body, type=list[App])
        except msgspec.MsgspecError:
            self.apps = ()  # the case about the apps says so

    async def _ask_for_admission(self) -> str:
        """Past its start: until then a relay refuses what may be a replay."""
        async for _ in self._seconds(STARTING_SECONDS):
            answer = await self.send(status_draft(self.draft()).sign())
            if answer.code != "starting":
                return "" if answer.status == 200 else answer.said  # noqa: PLR2004 - OK
        return "503 starting"

    async def _seconds(self, most: int) -> AsyncIterator[None]:
        for _ in range(most):
            yield
            await self.wait(1)

    @property
    def now(self) -> float:
        """The relay's time."""
        return self.clock() + self.ahead

    def missing(self, needs: Collection[Need]) -> list[str]:
        has = {
            Need.ADMITTED: not self.admission,
            Need.DENIED: self.given.denied is not None,
            Need.PASS_KEY: self.given.pass_key is not None and self.admission in {"", "403 pass_invalid"},
            Need.EPOCH: bool(self.given.epochs),
            Need.DEVICE: bool(self.given.devices),
        }
        said = {Need.ADMITTED: f" (it answers {self.admission} to {self.given.key.public.id})"}
        return [need.value + said.get(need, "") for need in Need if need in needs and not has[need]]

    # --- asking

    def draft(self, key: IdentityKey | None = None) -> Draft:
        """A request without pushes, right in every part."""
        return Draft(key or self.given.key, self.url, int(self.now), self.random(16))

    def stranger(self) -> IdentityKey:
        return IdentityKey.generate(self.random)

    async def send(
        self, request: Request, *, path: str | None = None, anybody: bool = False, by_library: bool = False
    ) -> Answer:
        """Send a request as it is, with the given pass unless it is `anybody`'s; `path` is asked for in place of the signed one.

        `by_library`: what answers may be the relay's HTTP library, which is bound by less than a relay.
        """
        fields = list(request.fields)
        if self.given.own_pass and not anybody and not any(name == "Hushpost-Pass" for name, _ in fields):
            fields.append(("Hushpost-Pass", self.given.own_pass))
        answer = await self._ask(
            request.method, path or request.path, fields, request.body, chunked=request.chunked
        )
        if not by_library:
            check_every(answer)
        return answer

    async def ask(
        self, method: str, path: str, document: Any = None, *, fields: Mapping[str, str] | None = None
    ) -> Answer:
        """An unsigned request; `document` is JSON, or bytes as they are."""
        body = document if document is None or isinstance(document, bytes) else msgspec.json.encode(document)
        usual = {} if body is None else {"Content-Type": JSON_TYPE}
        answer = await self._ask(method, path, tuple({**usual, **(fields or {})}.items()), body)
        check_every(answer)
        check_not_limited(answer)
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        fields: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._exchange(method, path, fields, body, chunked=chunked)
        except aiohttp.InvalidURL:
            raise
        except TimeoutError:
            raise Failed(f"no answer within {SECONDS} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Failed(f"no answer ({type(error).__name__})") from None

    async def _exchange(
        self, method: str, path: str, fields: Sequence[tuple[str, str]], body: bytes | None, *, chunked: bool
    ) -> Answer:
        async with self.session.request(
            method,
            URL(self.reach + path, encoded=True),
            headers=[("Accept-Encoding", "identity"), *fields],
            skip_auto_headers=("Content-Type", "User-Agent"),
            data=None if body is None else _pieces(body) if chunked else BytesIO(body),
            allow_redirects=False,
        ) as answer:
            found = await answer.content.read(_LARGEST)
            return Answer(answer.status, tuple(answer.headers.items()), found)

    # --- what must come of it

    async def takes(
        self, request: Request, *, profile_answer: bool = False, path: str | None = None
    ) -> Answer:
        """A signed 200, or `Failed`."""
        answer = await self.send(request, path=path)
        check_not_limited(answer)
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise Failed(f"refused with {answer.said}")
        if answer.media_type != JSON_TYPE:
            raise Failed(f"the content type of a 200 must be {JSON_TYPE}")
        self.verify(answer, request.context, status=profile_answer)
        return answer

    async def refuses(
        self,
        request: Request,
        code: str,
        *,
        signed: bool,
        names: str = "",
        path: str | None = None,
        anybody: bool = False,
    ) -> Answer:
        """A problem document with this code and its status, signed or not; `names` is the field at fault."""
        answer = await self.send(request, path=path, anybody=anybody)
        if code != "limited":
            check_not_limited(answer)
        check_problem(answer, code, names=names)
        if signed:
            self.verify(answer, request.context, status=request.path == STATUS_PATH)
        elif answer.has("signature"):
            raise Failed(f"{answer.said} is signed, for somebody who has proved nothing yet")
        return answer

    def verify(self, answer: Answer, request: RequestContext, *, status: bool = False) -> None:
        """`Failed` unless one of the relay's keys signed this answer to this request."""
        if not self.keys:
            raise Failed("its answer cannot be verified, since its key directory does not verify")
        try:
            verify_answer(
                STATUS_ANSWER if status else OUTCOME,
                keys=self.keys,
                status=answer.status,
                headers=answer.fields,
                body=answer.body,
                request=request,
                now=self.now,
            )
        except SignatureFault as fault:
            raise Failed(f"the answer {answer.said} is not signed as it must be: {fault}") from None

    async def push(self, *items: Any) -> list[dict[str, Any]]:
        """The outcomes of a batch: one for each item, in order, each of the right form."""
        request = self.draft().but(body=msgspec.json.encode({"pushes": items})).sign()
        answer = await self.takes(request)
        document = answer.json
        if not isinstance(document, dict) or not isinstance(document.get("outcomes"), list):
            raise Failed('the answer must be {"outcomes": […]}')
        outcomes = document["outcomes"]
        if len(outcomes) != len(items):
            raise Failed(f"{len(outcomes)} outcomes for {len(items)} pushes")
        for outcome in outcomes:
            check_outcome(outcome)
        return list(outcomes)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]
