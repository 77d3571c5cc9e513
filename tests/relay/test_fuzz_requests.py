"""Any bytes on the socket of a running relay: an answer or a closed connection, never a fault of its own, never silence.

What is sent is a signed request, its head taken apart and put together wrongly, or its bytes changed, in pieces. Behind it goes one that is in order
and ends the connection, so that a relay that understood where the first one ends closes by itself; to one that waits for more the end
is shown, and it has to let go. For a long search with new examples each time:

    HUSHPOST_TEST_EXAMPLES=100000 .venv/bin/python -m pytest tests/relay/test_fuzz_requests.py
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.http import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import APPS_PATH, DIRECTORY_PATH, HANDLES_PATH, PUSH_PATH, STATUS_PATH
from tests.harness.fuzz import almost, examples
from tests.relay.conftest import StartRelay
from tests.relay.running import Relay, body_of, push

PATIENCE = 0.2  # seconds until the end is shown to a relay that waits for more
HANG = 20  # seconds
LAST = b"GET /healthz HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
DOCUMENTED = {b"503"}

METHODS = st.sampled_from(
    [b"POST", b"GET", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"post", b"\xff", b"", b"P" * 9000]
)
PATHS = [PUSH_PATH, STATUS_PATH, HANDLES_PATH, APPS_PATH, DIRECTORY_PATH, "/readyz", "/metrics", "/", "*"]
TARGETS = st.sampled_from([path.encode() for path in PATHS]) | st.sampled_from(
    [
        b"/v1/push?a=b",
        b"/v1/push?",
        b"/v1/push#x",
        b"/v1//push",
        b"/v1/../v1/push",
        b"/v1/%70ush",
        b"/v1/push%00",
        b"/%",
        b"http://[::1/v1/push",
        b"http://relay.test:99999/v1/push",
        b"//relay.test/v1/push",
        b"relay.test:443",
        b"/\xff\xfe",
        b"/" + b"a" * 9000,
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b""])
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b"\0"])
VALUE = st.binary(max_size=40) | st.sampled_from(
    [b"-1", b"0", b"+5", b"5, 5", b"99999999999999999999", b"chunked", b"gzip, chunked", b"identity", b"chunked, chunked",
     b"100-continue", b"close", b"keep-alive, Upgrade", b"h2c", b"websocket", b"gzip", b"a" * 9000, b"\xff\x80",
     b"multipart/form-data; boundary=x", b"application/json; charset=\xff", b"application/json; charset=nonsense", b"1.2.3.4, nonsense",
     b"::ffff:1.2.3.4", b"bytes=0-", b"*/*", b""]
)  # fmt: skip
NAMES = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"Upgrade", b"Host", b"Content-Type", b"Content-Digest",
     b"Content-Encoding", b"Signature", b"Signature-Input", b"Hushpost-Key", b"Hushpost-Pass", b"X-Forwarded-For", b"Trailer",
     b"TE", b"Cookie", b"Authorization", b"Accept-Encoding", b"HTTP2-Settings", b"Bad Name", b":authority", b"", b"\xe9"]
)  # fmt: skip
CHUNKS = st.sampled_from(
    [b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"5;ext=1\r\nhello\r\n", b"-5\r\nhello\r\n", b"ffffffffffffffffff\r\n", b"0\r\nTrailer: x\r\n\r\n", b"5\r\nhel"]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, fields: Mapping[str, str], body: bytes) -> bytes:
    """A request line, the signed fields, some more, and a body that may be framed in another way than it says."""
    wrong = draw(st.booleans())
    line = (
        (draw(METHODS), draw(TARGETS), draw(VERSIONS))
        if wrong
        else (b"POST", PUSH_PATH.encode(), b"HTTP/1.1")
    )
    lines = [(b"Host", b"relay.test"), *((name.encode(), text.encode()) for name, text in fields.items())]
    if draw(st.sampled_from([True] * 4 + [False])):
        lines.append(
            (b"Content-Length", b"%d" % (len(body) + draw(st.sampled_from([0] * 8 + [-1, 1, 5000]))))
        )
    lines += draw(st.lists(st.tuples(NAMES, VALUE), max_size=3))
    if draw(st.booleans()):
        lines = draw(st.permutations(lines))
    head = b" ".join(line) + draw(ENDS)
    head += b"".join(b"%s: %s%s" % (name, value, draw(ENDS)) for name, value in lines)
    return head + draw(ENDS) + draw(st.sampled_from([body] * 4 + [b""]) | CHUNKS)


class Conversation:
    """With a relay that runs in the loop, from a thread beside it."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
        host, _, port = relay.url.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))
        self._loop = loop

    def check(self, sent: bytes, pieces: int) -> None:
        answer = asyncio.run_coroutine_threadsafe(self._exchange(sent, pieces), self._loop).result(2 * HANG)
        for status in STATUS.findall(answer):
            assert status < b"500" or status in DOCUMENTED, (answer, sent[-300:], sent[:200])

    async def _exchange(self, sent: bytes, pieces: int) -> bytes:
        async with asyncio.timeout(HANG):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                return await _talk(reader, writer, sent, pieces)
            except OSError:
                return b""  # it closed while we were still talking
            finally:
                writer.transport.abort()


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, pieces: int
) -> bytes:
    size = len(sent) // pieces + 1
    for start in range(0, len(sent), size):
        writer.write(sent[start : start + size])
        await writer.drain()
    writer.write(LAST)
    answer = b""
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(PATIENCE):
                data = await reader.read(65_536)
            if not data:
                return answer
            answer += data
    writer.write_eof()
    return answer + await reader.read()


@pytest_asyncio.fixture
async def faults(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """What the loop and the HTTP library complained of."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faulty.append(context))
    faulty: list[Any] = []

    def found() -> list[Any]:
        return faulty + [record.exc_info for record in caplog.records if _is_fault(record)]

    return found


def _is_fault(record: logging.LogRecord) -> bool:
    """What is not HTTP is logged as an error too, by the library; the product's log leaves that out."""
    error = record.exc_info[1] if record.exc_info else None
    return record.levelno >= logging.ERROR and not isinstance(error, HttpProcessingError)


@pytest.mark.parametrize("kind", ["request", "bytes"])
async def test_whatever_comes_is_answered_or_the_connection_is_closed(
    start_relay: StartRelay, faults: Callable[[], list[Any]], kind: str
) -> None:
    relay = await start_relay(issue_unconfigured=True)
    body = body_of([push("handle")])
    right = relay.sign(body)
    whole = requests(right, body)
    sent = whole if kind == "request" else almost(whole, st.binary(max_size=5)) | st.binary(max_size=300)
    conversation = Conversation(relay, asyncio.get_running_loop())

    @examples(150)
    @given(sent, st.sampled_from([1, 1, 2, 5]))
    def check(data: bytes, pieces: int) -> None:
        conversation.check(data, pieces)

    await asyncio.to_thread(check)
    assert (await relay.post(b'{"pushes":[]}')).status == 200
    assert faults() == []


async def test_whoever_signs_may_send_any_body_and_fields(
    start_relay: StartRelay, faults: Callable[[], list[Any]]
) -> None:
    """What is signed gets further than what is not: past the signature there is still nothing that breaks."""
    relay = await start_relay()
    right = body_of([push(relay.handle("ab" * 32), number) for number in range(2)])
    loop = asyncio.get_running_loop()

    @examples(150)
    @given(
        almost(st.just(right), st.binary(max_size=4)) | st.binary(max_size=60),
        st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20),
    )
    def check(body: bytes, content_type: str) -> None:
        asked = relay.post(body, content_type=content_type.strip() or "x")
        answer = asyncio.run_coroutine_threadsafe(asked, loop).result(HANG)
        assert answer.status < 500, answer.body

    await asyncio.to_thread(check)
    assert faults() == []
