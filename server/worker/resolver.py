"""Asks the servers of tenants for the texts of their messages (`server.domain.resolver`), with signed requests.

What comes back is put into the messages that are shown, or pushed, and is kept for ten seconds in memory only. It is in no log: not even
where a tenant is asked is, since a secret may stand in that address.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import orjson

from server.commands.resolving import is_unresolved, people_of, wanted_for
from server.commands.vault import NotOpened, Vault
from server.commands.webhooks import headers_for
from server.domain.headline import Headline, wrong_headline
from server.domain.ids import new_id
from server.domain.message import Message
from server.domain.outgoing import Attempt, Reason
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Endpoint, Wanted
from server.domain.texts import Texts, put_in, read_answer, with_actor
from server.worker.asker import Answer, Asker, Manner, Named, Post, Without
from server.worker.metrics import ResolverMetrics
from server.worker.recent import Recent
from server.worker.web import Failed, Web

TRY_SECONDS = 5.0
LARGEST_ANSWER = 1 << 20  # bytes
READING = Manner(tries=3, seconds=20.0, patient=False)
PUSHING = Manner(tries=1, seconds=9.0, patient=True)
_MOST_KEPT = 1000  # texts
_MOST_ASKERS = 1000  # besides those who have something to do; there may be a million tenants


@dataclass(frozen=True, slots=True)
class Asked:
    """A message with its texts, or why it is without."""

    message: Message = field(repr=False)
    without: Without | None


class TextResolver:
    """One for a process. `clock` is in milliseconds, `monotonic` in seconds; a try may take `try_seconds`. `log` is a structlog logger."""

    def __init__(
        self,
        db: Database,
        web: Web,
        vault: Vault,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        random: Random,
        metrics: ResolverMetrics,
        log: Any,
        try_seconds: float = TRY_SECONDS,
    ) -> None:
        self._db = db
        self._web = web
        self._vault = vault
        self._clock = clock
        self._monotonic = monotonic
        self._random = random
        self._metrics = metrics
        self._log = log
        self._try_seconds = try_seconds
        self._recent = Recent(monotonic, _MOST_KEPT)
        self._askers: dict[str, tuple[Endpoint, Asker]] = {}  # by the tenant's id

    async def fill(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages with their texts, as somebody reads them: up to three tries."""
        return [asked.message for asked in await self._ask(messages, READING)]

    async def ask_once(self, messages: Sequence[Message]) -> list[Asked]:
        """Return messages with their texts, or why they are without, after one try."""
        return await self._ask(messages, PUSHING)

    async def close(self) -> None:
        """End what is under way. Whoever opened `web` closes it."""
        for _, asker in list(self._askers.values()):
            await asker.close()

    async def _ask(self, messages: Sequence[Message], manner: Manner) -> list[Asked]:
        without = [is_unresolved(message) for message in messages]
        wanted = await wanted_for(self._db, list(compress(messages, without))) if any(without) else []
        found = await self._find(wanted, manner)
        titles = await self._titles(wanted, found)
        return [
            _asked(message, found, titles) if unresolved else Asked(message, None)
            for message, unresolved in zip(messages, without, strict=True)
        ]

    async def _find(self, wanted: Sequence[Wanted], manner: Manner) -> dict[str, Texts | Without]:
        """Return texts of messages by their ids, of every tenant at the same time."""
        grouped = _by_endpoint(wanted).items()
        found = await asyncio.gather(*(self._texts(endpoint, of_it, manner) for endpoint, of_it in grouped))
        return {id_: texts for some in found for id_, texts in some.items()}

    async def _texts(
        self, endpoint: Endpoint, wanted: Sequence[Wanted], manner: Manner
    ) -> dict[str, Texts | Without]:
        """Return what a tenant's server says of messages, by their ids."""
        asker = await self._asker(endpoint)
        named = [Named(one.name, one.message_id) for one in wanted]
        found = await asker.texts(named, manner, self._poster(endpoint, wanted[0].tenant))
        return {one.message_id: texts for one, texts in found.items()}

    async def _asker(self, endpoint: Endpoint) -> Asker:
        """Return who asks there: somebody new where that has changed, who knows nothing of the other's answers."""
        known, asker = self._askers.get(endpoint.tenant_id, (None, None))
        if asker is not None and known == endpoint:
            return asker
        made = Asker(
            endpoint, self._recent, self._monotonic, self._metrics, self._log.bind(tenant=endpoint.tenant_id)
        )
        if len(self._askers) >= _MOST_ASKERS:
            self._askers = {whose: one for whose, one in self._askers.items() if not one[1].is_idle}
        self._askers[endpoint.tenant_id] = (endpoint, made)
        if asker is not None:
            await asker.close()
        return made

    def _poster(self, endpoint: Endpoint, tenant: str) -> Post:
        async def post(named: Sequence[Named]) -> Answer:
            names = list(dict.fromkeys(one.name for one in named))
            body = orjson.dumps({"organizationId": tenant, "notificationIds": names})
            now = self._clock()
            headers = headers_for(self._key(endpoint), new_id(now, self._random), body, now)
            answer = await self._web.ask(
                endpoint.url, headers, body, seconds=self._try_seconds, most=LARGEST_ANSWER
            )
            texts = read_answer(answer, names)
            return {one: texts[one.name] for one in named if one.name in texts}

        return post

    def _key(self, endpoint: Endpoint) -> bytes:
        try:
            return self._vault.open(endpoint.sealed_secret, endpoint.tenant_id)
        except NotOpened as error:
            self._log.error(str(error), tenant=endpoint.tenant_id)
            raise Failed(Attempt(Reason.ATTEMPT_FAILED)) from None

    async def _titles(self, wanted: Sequence[Wanted], found: Mapping[str, Texts | Without]) -> dict[str, str]:
        """Return the rendered headlines of messages, by their ids, with stored names for those whom they mention without one."""
        titles: dict[str, str] = {}
        for endpoint, of_it in _by_endpoint(wanted).items():
            headlines = {one.message_id: headline for one in of_it if (headline := _headline(one, found))}
            nameless = {key: None for headline in headlines.values() for key in headline.nameless()}
            people = await people_of(self._db, endpoint.tenant_id, list(nameless))
            titles |= {id_: headline.render(people) for id_, headline in headlines.items()}
        return titles


def _by_endpoint(wanted: Sequence[Wanted]) -> dict[Endpoint, list[Wanted]]:
    grouped: dict[Endpoint, list[Wanted]] = defaultdict(list)
    for one in wanted:
        grouped[one.endpoint].append(one)
    return grouped


def _headline(wanted: Wanted, found: Mapping[str, Texts | Without]) -> Headline | None:
    texts = found[wanted.message_id]
    return with_actor(texts.headline, wanted.details) if isinstance(texts, Texts) else None


def _asked(message: Message, found: Mapping[str, Texts | Without], titles: Mapping[str, str]) -> Asked:
    texts = found.get(message.id, Without.NOBODY)
    if isinstance(texts, Without):
        return Asked(message, texts)
    title = titles[message.id]
    if wrong_headline(title) is not None:
        return Asked(message, Without.FAILED)
    return Asked(replace(message, content=put_in(message.content or {}, texts, title)), None)
