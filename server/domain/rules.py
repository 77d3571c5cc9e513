"""The rules for single values: each says why a text is refused and what would be right, or None where it is fine.

Lengths count characters. Control characters are refused everywhere (PostgreSQL cannot store NUL, and a line break in a
name forges lines in whatever lists it), except tabs and line breaks in texts that people write.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from server.domain.schedule import is_zone

Wrong = tuple[str, str]  # the reason, the fix
Rule = Callable[[str], Wrong | None]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_BREAKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@(?:[^\W_](?:[\w-]*[^\W_])?\.)*[^\W_](?:[\w-]*[^\W_])?")
_PHONE = re.compile(r"\+[1-9][0-9]{1,14}")  # ITU-T E.164, section 6.2.1: at most 15 digits
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\]")
_RUNNABLE = frozenset(
    {"javascript", "data", "file", "vbscript", "blob", "about", "filesystem", "view-source"}
)

_CALL_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

# RFC 5646, section 2.1: language, script, region, variants, extensions, private use; or private use alone
_LANGUAGE_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+",
    re.IGNORECASE,
)


def is_id(text: str) -> bool:
    """Say whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def uuid(text: str) -> Wrong | None:
    """Check an id of this server's."""
    return None if is_id(text) else ("is not an id", "give a UUID as this server gave it")


def prose(text: str) -> Wrong | None:
    """Check a text that people read, of one line or more."""
    if _CONTROL_BUT_BREAKS.search(text):
        return "holds a control character", "leave out control characters other than tabs and line breaks"
    return None


def label(text: str) -> Wrong | None:
    """Check a short text of one line: a name, a sound, a group."""
    if _CONTROL.search(text):
        return "holds a control character or a line break", "write it on one line"
    if text != text.strip():
        return "begins or ends with a space", "remove the spaces around it"
    return None


def bucket_name(text: str) -> Wrong | None:
    """Check a bucket's name: it stands where an id may stand, so it must not look like one."""
    if is_id(text):
        return "looks like an id", "choose a name that is not a UUID"
    return label(text)


def username(text: str) -> Wrong | None:
    """Check a username: it stands in lists, in CSV and where an id may stand."""
    if is_id(text):
        return "looks like an id", "choose a name that is not a UUID"
    if not _USERNAME.fullmatch(text):
        return (
            "has characters that a username cannot have",
            "use letters a-z, digits, dot, hyphen and underscore, with a letter or digit first and last",
        )
    return None


def email(text: str) -> Wrong | None:
    """Check the form of an email address; only a message to it would prove more."""
    local, _, _ = text.partition("@")
    if not _EMAIL.fullmatch(text) or ".." in local or local.startswith(".") or local.endswith("."):
        return "is not an email address", "write it like name@example.com"
    if len(local) > 64:  # noqa: PLR2004 - RFC 5321, section 4.5.3.1.1
        return "has more than 64 characters before the @", "use a shorter address"
    return None


def phone(text: str) -> Wrong | None:
    """Check a telephone number that can be called from anywhere."""
    fix = "write it with its country code and digits only, like +4915112345678 (E.164)"
    return None if _PHONE.fullmatch(text) else ("is not an international telephone number", fix)


def color(text: str) -> Wrong | None:
    return None if _COLOR.fullmatch(text) else ("is not a colour", "write it like #1E88E5")


def clock(text: str) -> Wrong | None:
    """Check a time on the clock."""
    return None if _CLOCK.fullmatch(text) else ("is not a time on the clock", "write it like 07:30")


def zone(text: str) -> Wrong | None:
    """Check the name of a time zone."""
    return None if is_zone(text) else ("is not a time zone", "name one like Europe/Berlin (IANA)")


def language_tag(text: str) -> Wrong | None:
    if _LANGUAGE_TAG.fullmatch(text):
        return None
    return "is not a language tag (BCP 47)", "write it like en, en-GB or zh-Hant-TW"


def web_url(text: str) -> Wrong | None:
    """Check an http(s) URL. What a browser would skip over (tabs, line breaks) could hide another scheme."""
    fix = "write a whole http:// or https:// address without spaces"
    if _SPACE_OR_CONTROL.search(text):
        return "holds a space, a backslash or a control character", fix
    try:
        parts = urlsplit(text)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a URL", fix
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_one:
        return "is not an http or https URL", fix
    return None


def call_url(text: str) -> Wrong | None:
    """Check an http(s) URL that is called: neither the server nor a browser calls one with a user name in it."""
    wrong = web_url(text)
    if wrong is None and "@" in urlsplit(text).netloc:
        return "has a user name or password", "leave out what stands before the @; put a secret into the path"
    return wrong


def tap_url(text: str) -> Wrong | None:
    """Check where a tap leads: an http(s) URL, a path in the app, or an app's own scheme; nothing that runs."""
    if _SPACE_OR_CONTROL.search(text):
        return "holds a space, a backslash or a control character", "percent-encode it"
    scheme, colon, rest = text.partition(":")
    if text.startswith("/") and not text.startswith("//"):
        return None
    fix = "write an http(s) URL, a path like /orders/123 or an app's URL like myapp://orders/123"
    if not colon or not _SCHEME.fullmatch(scheme):
        return "is neither a URL nor a path", fix
    if scheme.lower() in {"http", "https"}:
        return web_url(text)
    if scheme.lower() in _RUNNABLE or not rest:
        return "has a scheme that a tap must not open", fix
    return None


def background_call(text: str) -> Wrong | None:
    """Check a call that a device makes: `METHOD::url`."""
    method, separator, url = text.partition("::")
    if not separator or method not in _CALL_METHODS:
        return "does not begin with a method and ::", "write it like POST::https://example.com/done"
    return call_url(url)


def is_deeper(value: Any, levels: int) -> bool:
    """Say whether a value has more levels; it looks no further than that."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return False
    return levels == 0 or any(is_deeper(one, levels - 1) for one in inner)
