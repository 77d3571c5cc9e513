"""Calls to a server by the commands that are its clients: HUSHPOST_URL says where it is, HUSHPOST_TOKEN who calls.

What the server refuses is shown in its own words: its problem documents name what is wrong, where, and what would be right.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from server.cli.terminal import USAGE, CommandError, say
from server.domain.host import is_loopback

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"

# aiohttp, which takes longest, is imported where a server is called: `--help` and what is wrong use need none.

UrlOption = Annotated[
    str, typer.Option("--url", envvar="HUSHPOST_URL", metavar="URL", help="Where the server is.")
]


@dataclass(frozen=True)
class Api:
    session: "aiohttp.ClientSession"
    url: str
    token: str | None = field(repr=False)

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded answer, None where it is empty; `CommandError` for anything but success. `body`: JSON's values, or a form."""
        import aiohttp  # noqa: PLC0415 - see above

        sent = dict(headers or {})
        content = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        url = f"{self.url.rstrip('/')}/api/v1/{path}"
        try:
            async with self.session.request(
                method, url, headers=sent, allow_redirects=False, **content
            ) as answer:
                return await _read(answer)
        except aiohttp.InvalidURL:
            raise CommandError(
                f"{self.url} is not an address; it looks like {DEFAULT_URL}", code=USAGE
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CommandError(
                f"no server answers at {self.url} ({_cause(error)}); HUSHPOST_URL or --url says where it is"
            ) from None


def run(url: str, work: Callable[[Api], Awaitable[T]], *, signed_in: bool = True) -> T:
    """Run a command's calls. Where somebody must be signed in, HUSHPOST_TOKEN is asked for."""
    token = os.environ.get("HUSHPOST_TOKEN") or None
    if signed_in and token is None:
        raise CommandError(
            "HUSHPOST_TOKEN is not set; `hushpost login` or `hushpost register` print one", code=USAGE
        )

    if sent_in_the_clear(url):
        say(f"{url} is not https: whoever is on the way reads what is sent, the password or token too")

    import asyncio  # noqa: PLC0415 - see above

    import aiohttp  # noqa: PLC0415 - see above

    async def main() -> T:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60, connect=10)) as session:
            return await work(Api(session, url, token if signed_in else None))

    return asyncio.run(main())


def sent_in_the_clear(url: str) -> bool:
    """Whether calls to this address leave the machine without TLS."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # no address at all, which the call itself will say
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


async def _read(answer: "aiohttp.ClientResponse") -> Any:
    if answer.status == HTTPStatus.NO_CONTENT:
        return None
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    if 200 <= answer.status < 300 and body is not None:  # noqa: PLR2004 - the class of success
        return body
    raise CommandError(*_refusal(answer, body))


def _refusal(answer: "aiohttp.ClientResponse", body: Any) -> tuple[str, ...]:
    if not isinstance(body, dict) or "detail" not in body:
        return (f"the server answered {answer.status}, and not as Hushpost does; is HUSHPOST_URL right?",)
    faults = [f"{fault['path']}: {fault['reason']}; {fault['fix']}" for fault in body.get("errors", [])]
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return (f"{body['detail']}; `hushpost login` prints a new HUSHPOST_TOKEN",)
    wait = answer.headers.get("Retry-After")
    again = f"; try again in {wait} s" if wait else ""
    return tuple(faults) or (f"{body['detail']}{again}",)


def _cause(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or getattr(error, "message", None)
    return str(reason or type(error).__name__).lower()
