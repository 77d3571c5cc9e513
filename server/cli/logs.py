"""The log: structured lines on standard error.

Nobody logs content, tokens, handles or keys; `redact` is the second net under that rule. It knows secrets by their shape and
replaces them wherever they stand in a line, so that a mistake elsewhere costs a line of the log and not a secret.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog

from server.config import LogFormat, LogSettings

_SHAPES = re.compile(
    r"(?:zat|hpd)_[A-Za-z0-9_-]{8,}"  # access tokens, device tokens
    r"|hushpost-(?:identity|device|epoch|secret)-\d:[A-Za-z0-9_:-]+"  # typed keys
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # JWTs
    r"|hushpost://\S+"  # pairing links
    r"|-----BEGIN [A-Z ]+-----[\s\S]*"  # PEM
    # Handles, envelopes, push tokens. A key id has 43 characters and may be logged.
    r"|[A-Za-z0-9_+/-]{60,}={0,2}"
)
_SHORTEST = 12  # characters: none of the shapes is shorter
_HIDDEN = "[hidden]"
_LIBRARIES = logging.WARNING
_NOT_HTTP = "HttpProcessingError"  # aiohttp's, by its name: a supervisor logs too, and has no need of aiohttp


def redact(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    for name, value in line.items():
        line[name] = _clean(value)
    return line


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) < _SHORTEST else _SHAPES.sub(_HIDDEN, value)
        case bytes():
            return _HIDDEN
        case dict():
            return {_clean(name): _clean(inner) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(inner) for inner in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return _clean(str(value))


def start_logging(settings: LogSettings, stream: TextIO) -> None:
    """Set up structlog and let the libraries' own logging end in it. Once for a process."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_json = settings.format is LogFormat.JSON or (settings.format is LogFormat.AUTO and not stream.isatty())
    structlog.configure(
        processors=[
            redact,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _renderer(as_json=as_json, colors=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(stream))),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(level, _LIBRARIES))


class _Unfailing:
    """A stream on which a line may be lost: a full disk or a reader that went away must not stop what is logged about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _renderer(*, as_json: bool, colors: bool) -> Any:
    if as_json:
        return structlog.processors.JSONRenderer(_json)
    return structlog.dev.ConsoleRenderer(colors=colors)


def _json(line: Mapping[str, Any], **_options: Any) -> str:
    """Write a line; what is no text (a lone surrogate) is escaped by the slower of the two writers."""
    try:
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return json.dumps(line)


class _ToStructlog(logging.Handler):
    """Lines of libraries. Of an exception only the type is kept: its text and trace may quote what must not be logged.

    asyncio writes both into the message as well: on further lines, and as a callback's arguments behind its name.
    """

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        values = {"logger": record.name}
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None and any(base.__name__ == _NOT_HTTP for base in kind.__mro__):
            log.debug(
                "a request that is not HTTP", **values
            )  # anybody can send that, and it names their address
            return
        line = record.getMessage().partition("\n")[0]
        if kind is not None:
            values["error"] = kind.__name__
            line = line.partition("(")[0]
        log.log(record.levelno, line, **values)


def log_to_stderr(settings: LogSettings) -> None:
    start_logging(settings, sys.stderr)
