"""The header `Idempotency-Key`: any visible ASCII, with or without the quotes of a structured field (RFC 9651)."""

import re

from aiohttp import web

from server.commands.repeats import HEADER, LONGEST_KEY
from server.domain.errors import invalid

KEY_HEADER = {
    HEADER: f"The caller's name for this request, 1 to {LONGEST_KEY} visible ASCII characters, such as a UUID: sent again with it,"
    " the request does nothing a second time."
}
"""What a handler that reads it says of it."""

_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


def read_key(request: web.Request) -> str | None:
    """Return a request's key, None where it has none; Invalid."""
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(given) > 1 or _KEY.fullmatch(key) is None:
        fix = f"send one key of 1 to {LONGEST_KEY} visible ASCII characters, such as a UUID"
        raise invalid(HEADER, "is no key", fix)
    return key
