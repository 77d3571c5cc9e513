"""Which keys may sign for a relay (PROTOCOL.md, section 1).

Either they are given by configuration, or those of the first directory that is seen are trusted, which the log says, and
kept in the database. From there on a directory may bring new keys only under the signature of one that is trusted already.
An answer signed by an unknown key makes the directory be read again, at most once a minute: whoever can send such answers
could otherwise make the server ask for ever.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
from yarl import URL

from crypto.httpsig import SignatureFault, verify_directory
from crypto.keys import IdentityPublicKey, jwks, read_jwks
from relay.wire import DIRECTORY_PATH
from server.domain.ports import Clock, Database
from server.store.relays import find_relay_keys, keep_relay_keys
from server.worker.gateway import GatewayFault
from server.worker.http import read_body

_AGAIN_AFTER = 60_000
_LARGEST = 65_536
_OK = 200


class RelayKeys:
    """The trusted keys of the relay whose public URL is `url` and which is connected to at `reach`.

    `given` is empty where the first that are seen are to be trusted. `log` is a structlog logger.
    """

    def __init__(
        self,
        url: str,
        *,
        reach: str,
        given: Sequence[IdentityPublicKey],
        db: Database,
        session: aiohttp.ClientSession,
        clock: Clock,
        log: Any,
    ) -> None:
        self._url = url
        self._target = url + DIRECTORY_PATH
        self._reach = URL(reach + DIRECTORY_PATH, encoded=True)
        self._given = bool(given)
        self._db = db
        self._session = session
        self._clock = clock
        self._log = log
        self._trusted: Sequence[IdentityPublicKey] = given
        self._stored: str | None = None
        self._asked: int | None = None
        self._turn = asyncio.Lock()

    async def trusted(self) -> Sequence[IdentityPublicKey]:
        """Return the keys, asking the relay the first time where none are known; GatewayFault where that fails."""
        async with self._turn:
            if not self._trusted:
                await self._load()
            if not self._trusted:
                await self._learn()
        return self._trusted

    async def refresh(self, unknown: Sequence[IdentityPublicKey]) -> bool:
        """Read the directory again because the keys in `unknown` were not enough; say whether there are others now."""
        async with self._turn:
            if self._trusted != unknown:  # another batch was here before
                return True
            if self._asked is not None and 0 <= self._clock() - self._asked < _AGAIN_AFTER:
                return False
            await self._learn()
        return self._trusted != unknown

    async def _load(self) -> None:
        self._stored = await self._db.read(lambda tx: find_relay_keys(tx, self._url))
        if self._stored is not None:
            self._trusted = read_jwks(json.loads(self._stored))

    async def _learn(self) -> None:
        self._asked = self._clock()
        listed = await self._fetch()
        ids = [key.id for key in listed]
        if {key.id for key in self._trusted} == set(ids):
            return
        if self._trusted:
            self._log.info(
                "the relay has new keys, vouched for by one trusted before", relay=self._url, keys=ids
            )
        else:
            self._log.warning("trusting the keys that this relay shows first", relay=self._url, keys=ids)
        self._trusted = listed if self._given else await self._keep(listed)

    async def _keep(self, listed: Sequence[IdentityPublicKey]) -> Sequence[IdentityPublicKey]:
        text = json.dumps(jwks(listed), separators=(",", ":"))
        over, now = self._stored, self._clock()
        self._stored = await self._db.write(
            lambda tx: keep_relay_keys(tx, self._url, text, over=over, now=now)
        )
        return read_jwks(json.loads(self._stored))

    async def _fetch(self) -> list[IdentityPublicKey]:
        try:
            async with self._session.get(
                self._reach, headers={"Accept-Encoding": "identity"}, allow_redirects=False
            ) as answer:
                body = await read_body(answer, _LARGEST)
                if answer.status != _OK:
                    raise GatewayFault("relay_directory_unreachable", general=True)
                return verify_directory(
                    trusted=self._trusted,
                    status=answer.status,
                    headers=answer.headers.items(),
                    body=body,
                    target_uri=self._target,
                    now=self._clock() / 1000,
                )
        except SignatureFault as fault:
            self._log.error("the relay's key directory is refused", relay=self._url, fault=fault.code)
            raise GatewayFault("relay_directory_refused", general=True) from None
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            self._log.warning(
                "the relay's key directory cannot be read", relay=self._url, error=type(error).__name__
            )
            raise GatewayFault("relay_directory_unreachable", general=True) from None
