"""The second net under the rule that nobody logs secrets: they are known by their shape."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from server.cli.logs import redact, start_logging
from server.config import LogFormat, LogLevel, LogSettings

KEY = IdentityKey.from_seed(bytes(range(32)))
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlc2lnbmF0dXJl"
SECRETS = [
    "zat_" + b64u(bytes(range(32))),
    "hpd_" + b64u(bytes(range(32))),
    JWT,
    KEY.text,
    b64u(bytes(range(100))),
    "a1" * 32,
    "hushpost://pair?s=https%3A%2F%2Fa&c=AAAA",
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
]


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging is a process's; the next test starts with it as it was."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_hidden_wherever_it_stands(secret: str) -> None:
    line = redact(
        None,
        "",
        {"event": f"got {secret}", "deep": {"a": [secret, {secret: 1}]}, "error": ValueError(secret)},
    )
    assert secret not in repr(line)
    assert str(line["event"]).startswith("got [hidden]")


def test_bytes_are_hidden_whatever_they_are() -> None:
    assert redact(None, "", {"event": "x", "body": b"content"})["body"] == "[hidden]"


def test_what_is_no_secret_stays() -> None:
    line = {"event": "pushed", "server": KEY.public.id, "ms": 1.5, "ok": True, "none": None, "ids": ["a"]}
    assert redact(None, "", dict(line)) == line


@pytest.mark.usefixtures("restored")
def test_a_line_is_written_even_of_what_is_no_text() -> None:
    """A lone surrogate, which stands for a byte of an argument or a file's name that is not UTF-8."""
    stream = io.StringIO()
    start_logging(LogSettings(level=LogLevel.INFO, format=LogFormat.JSON), stream)
    structlog.get_logger("server").info("odd", file="\udcff", name="Zoë", counts={1: 2})
    [line] = stream.getvalue().splitlines()
    assert json.loads(line).items() >= {"file": "\udcff", "name": "Zoë", "counts": {"1": 2}}.items()


@pytest.mark.usefixtures("restored")
def test_lines_are_json_from_their_level_on_and_libraries_end_in_them() -> None:
    stream = io.StringIO()
    start_logging(LogSettings(level=LogLevel.WARNING, format=LogFormat.JSON), stream)
    structlog.get_logger("relay").info("unseen")
    structlog.get_logger("relay").warning("seen", pushes=3, token=SECRETS[0])
    logging.getLogger("aiohttp.server").error("Error handling request", exc_info=ValueError(JWT))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["pushes"], first["token"]) == ("seen", 3, "[hidden]")
    assert (second["event"], second["logger"], second["error"]) == (
        "Error handling request",
        "aiohttp.server",
        "ValueError",
    )
    assert JWT not in stream.getvalue()


@pytest.mark.usefixtures("restored")
def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as stream:
        start_logging(LogSettings(level=LogLevel.WARNING, format=LogFormat.JSON), stream)
        structlog.get_logger("server").error("the disk is full")
        with suppress(OSError):
            stream.close()


@pytest.mark.usefixtures("restored")
async def test_what_asyncio_says_of_an_exception_is_not_what_the_exception_says() -> None:
    """Nor what a task or a callback was given."""
    stream = io.StringIO()
    start_logging(LogSettings(format=LogFormat.JSON), stream)
    loop = asyncio.get_running_loop()
    fault = ValueError("CANARY")
    for message in ("Task exception was never retrieved", "Exception in callback give('CANARY')"):
        loop.default_exception_handler({"message": message, "exception": fault, "given": "CANARY"})
    loop.default_exception_handler({"message": "Unclosed", "given": "CANARY"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("error")) for line in lines] == [
        ("Task exception was never retrieved", "ValueError"),
        ("Exception in callback give", "ValueError"),
        ("Unclosed", None),
    ]
    assert "CANARY" not in stream.getvalue()


@pytest.mark.usefixtures("restored")
def test_whoever_sends_garbage_does_not_fill_the_log() -> None:
    """Nor does their address stand in it."""
    stream = io.StringIO()
    start_logging(LogSettings(format=LogFormat.JSON), stream)
    fault = BadStatusLine("CANARY")
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "203.0.113.9", exc_info=fault)
    assert stream.getvalue() == ""
