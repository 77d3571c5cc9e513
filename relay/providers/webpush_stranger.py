"""One push to a machine that a stranger named: as much HTTP/1.1 as a status needs, and not a byte more.

A general client reads on where it is given more: interim answers without end cost it seconds of the event loop, and
hundreds of megabytes, for a single push. Here at most `LARGEST_HEAD` bytes are read of each answer's head and a few interim
answers passed over; a body is not read at all, and the connection is closed behind the status.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp.abc import ResolveResult

from relay.guard import GuardedResolver, Inside
from relay.http2 import Fault
from relay.providers.provider import Verdict
from relay.providers.transport import FAULTS
from relay.providers.webpush_reasons import BAD_ENDPOINT

LARGEST_HEAD: Final = 8_192
INTERIM: Final = 4
_HTTPS: Final = 443
_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    retry_after: str | None


class Failed(Exception):
    """There is no answer; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass(frozen=True)
class Stranger:
    """Who answers for names, and what their certificates are judged by."""

    resolver: GuardedResolver
    context: ssl.SSLContext

    async def post(self, endpoint: str, host: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Raises `Failed`."""
        reader, writer = await self._connect(host)
        try:
            writer.write(_request(endpoint, host, headers, body or b""))
            return await _answer(reader)
        except asyncio.LimitOverrunError:
            raise Failed(FAULTS[Fault.PROTOCOL]) from None
        except (OSError, EOFError):
            raise Failed(FAULTS[Fault.CONNECTION_LOST]) from None
        finally:
            writer.transport.abort()

    async def _connect(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failed = FAULTS[Fault.CONNECT]
        for address in await self._resolve(host):
            try:
                return await asyncio.open_connection(
                    address["host"],
                    address["port"],
                    ssl=self.context,
                    server_hostname=host,
                    limit=LARGEST_HEAD,
                )
            except ssl.SSLError:
                failed = FAULTS[Fault.TLS]
            except OSError:
                failed = FAULTS[Fault.CONNECT]
        raise Failed(failed)

    async def _resolve(self, host: str) -> Sequence[ResolveResult]:
        try:
            return await self.resolver.resolve(host, _HTTPS)
        except Inside:
            raise Failed(BAD_ENDPOINT) from None
        except OSError:
            raise Failed(FAULTS[Fault.DNS]) from None


def _request(endpoint: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    # An endpoint's grammar (`relay.subscription`) has a path, and neither white space nor line ends.
    target = "/" + endpoint.split("/", maxsplit=3)[3]
    fields = {"Host": host, "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("ascii") + _HEAD_END + body


async def _answer(reader: asyncio.StreamReader) -> Answer:
    for _ in range(INTERIM + 1):
        head = await reader.readuntil(_HEAD_END)
        found = _STATUS.match(head)
        if found is None:
            break
        if not found[1].startswith(b"1"):
            wait = _RETRY_AFTER.search(head)
            return Answer(int(found[1]), None if wait is None else wait[1].decode("latin-1"))
    raise Failed(FAULTS[Fault.PROTOCOL])
