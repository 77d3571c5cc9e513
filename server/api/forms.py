"""Forms: their fields as texts, in the order in which they came."""

from urllib.parse import parse_qsl

from aiohttp import web

from server.api.reading import read_body
from server.domain.errors import Fault, Invalid

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MOST_FIELDS = 200

Pairs = list[tuple[str, str]]


async def read_urlencoded(request: web.Request) -> Pairs:
    """Return the fields of a form; Invalid."""
    body = await read_body(request)
    try:
        # Undecoded bytes that are no ASCII are what a client meant as UTF-8.
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise bad_form("is not UTF-8", "send the form in UTF-8") from None
    except ValueError:
        raise bad_form(f"has more than {MOST_FIELDS} fields", "send fewer") from None
    return without_empty(pairs)


def without_empty(pairs: Pairs) -> Pairs:
    """Leave out what was not filled in: a form sends its empty fields too."""
    return [(name, text) for name, text in pairs if text]


def bad_form(reason: str, fix: str) -> Invalid:
    """Return the error of a form that cannot be read."""
    return Invalid(f"the form {reason}", code="bad_form", faults=[Fault("", reason, fix)])
