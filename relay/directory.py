"""The relay's key directory: a JWKS signed by every key in it (PROTOCOL.md, section 1).

A server that trusts one of these keys learns the others from it; that is how keys rotate. Signing costs a
signature for each key, and anybody may ask, so an answer is used again for half of the time that it is valid.
"""

from collections.abc import Callable

import msgspec
from aiohttp import web

from crypto.httpsig import LIFETIME, sign_directory
from crypto.keys import jwks
from relay.config import RelayConfig
from relay.wire import DIRECTORY_PATH, DIRECTORY_TYPE


class Directory:
    def __init__(self, config: RelayConfig, clock: Callable[[], float]) -> None:
        self._keys = config.identities
        self._target = config.public_url + DIRECTORY_PATH
        self._clock = clock
        self._body = msgspec.json.encode(jwks(key.public for key in config.identities))
        self._headers: dict[str, str] = {}
        self._signed_at = float("-inf")

    def answer(self) -> web.Response:
        now = self._clock()
        if not 0 <= now - self._signed_at < LIFETIME / 2:
            self._headers = sign_directory(
                self._keys,
                status=200,
                body=self._body,
                target_uri=self._target,
                created=int(now),
                lifetime=LIFETIME,
            )
            self._signed_at = now
        return web.Response(body=self._body, headers={"Content-Type": DIRECTORY_TYPE, **self._headers})
