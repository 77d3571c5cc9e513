"""Streams: what a client is told, in which words, and where that ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from server.api.sockets import CLOSE_CREDENTIAL
from server.domain.inbox import KEPT, OVERLAP
from tests.harness.native import Native
from tests.harness.streams import Known, Socket, event_stream, until, web_socket
from tests.server.conftest import PUBLIC_URL, House, Person

LIVE = "/api/v1/live"
STREAM = "/api/v1/messages/stream"
MINUTE = 60_000

Connect = Callable[..., AbstractAsyncContextManager[Any]]
either = pytest.mark.parametrize("connect", [event_stream, web_socket])


async def act(api: Native, method: str, item: str, mark: str = "") -> None:
    answer = await api.call(method, f"/api/v1/notifications/{item}{mark}")
    assert answer.status in (200, 204), answer.body


@either
async def test_what_happens_to_a_message_is_told_as_it_happens(
    house: House, admin: Person, connect: Connect
) -> None:
    bucket = await house.bucket(admin)
    async with connect(admin.api) as stream:
        assert (await stream.next()).data == {"total": 0, "unseen": 0, "unread": 0, "buckets": []}
        sent = await house.send(admin.api, bucket, title="Hello", deliveryType="NO_PUSH")
        told = await until(stream, "notification")
        item = told.data["id"]
        assert told.data == (await admin.api.get(f"/api/v1/notifications/{item}")).json
        assert told.id == f"{house.clock()}.{item}"
        assert (await until(stream, "counts")).data["unread"] == 1

        known = Known(stream)
        house.clock.advance(1)
        await act(admin.api, "PATCH", item, "/read")
        await known.until(lambda it: item in it.items and it.items[item]["readAt"] is not None)
        await known.until(lambda it: it.counts == (1, 0))

        await act(admin.api, "PATCH", item, "/unread")  # in the same millisecond
        await known.until(lambda it: it.items[item]["readAt"] is None)

        await act(admin.api, "DELETE", item)
        await known.until(lambda it: it.items[item].keys() == {"id", "messageId", "deletedAt"})
        await known.until(lambda it: it.counts == (0, 0))
        assert (known.items[item]["id"], known.items[item]["messageId"]) == (item, sent["id"])


@either
async def test_a_retracted_message_goes_from_the_streams_too(
    house: House, admin: Person, connect: Connect
) -> None:
    bucket = await house.bucket(admin)
    async with connect(admin.api) as stream:
        sent = await house.send(admin.api, bucket)
        await until(stream, "notification")
        await admin.api.delete(f"/api/v1/messages/{sent['id']}")
        assert "deletedAt" in (await until(stream, "notification")).data


@either
async def test_who_comes_again_is_told_what_has_changed_since(
    house: House, admin: Person, connect: Connect
) -> None:
    """Each item once, as it is now, in the order of the changes; what changed just before the position may come again."""
    bucket = await house.bucket(admin)
    await house.send(admin.api, bucket, title="long ago")
    house.clock.advance(2 * OVERLAP)
    async with connect(admin.api) as stream:
        await stream.next()
        await house.send(admin.api, bucket, title="a")
        last = await until(stream, "notification")
    house.clock.advance(2 * OVERLAP)
    for title in "bc":
        await house.send(admin.api, bucket, title=title)
        house.clock.advance(1)
    await act(admin.api, "PATCH", last.data["id"], "/read")

    async with connect(admin.api, last.id) as stream:
        told = [await until(stream, "notification") for _ in range(3)]
        counts = await until(stream, "counts")

    assert [one.data["message"]["title"] for one in told] == ["b", "c", "a"]
    assert told[2].data["readAt"] is not None
    assert counts.data["unread"] == 3
    assert counts.id == told[2].id


async def test_the_header_of_a_browser_that_comes_again_counts_more_than_its_url(
    house: House, admin: Person
) -> None:
    bucket = await house.bucket(admin)
    async with event_stream(admin.api) as stream:
        first = await until(stream, "counts")
        await house.send(admin.api, bucket)
        last = await until(stream, "notification")
    house.clock.advance(2 * OVERLAP)
    await house.send(admin.api, bucket, title="later")
    headers = {"Last-Event-ID": f"{house.clock() - 1}.{last.data['id']}"}

    async with event_stream(admin.api, first.id, headers) as stream:
        assert (await until(stream, "notification")).data["message"]["title"] == "later"


@either
@pytest.mark.parametrize("age", [KEPT + 1, -OVERLAP - 1])
async def test_a_position_that_tells_nothing_any_more_is_a_reset(
    house: House, admin: Person, connect: Connect, age: int
) -> None:
    async with connect(admin.api, f"{house.clock() - age}.{admin.id}") as stream:
        reset = await stream.next()
        assert (reset.event, reset.data) == ("reset", {})
        assert (await stream.next()).event == "counts"


@pytest.mark.parametrize("path", [LIVE, STREAM])
@pytest.mark.parametrize("after", ["x", "12", "1.2", "-1.00000000-0000-0000-0000-000000000000"])
async def test_what_is_no_position_is_named(admin: Person, path: str, after: str) -> None:
    answer = await admin.api.get(f"{path}?after={after}")
    assert answer.faults == {"?after": "is no event's id"}
    if path == STREAM:
        refused = await admin.api.call("GET", path, headers={"Last-Event-ID": after})
        assert refused.faults == {"Last-Event-ID": "is no event's id"}


@either
async def test_it_ends_within_a_minute_of_the_sign_out(house: House, admin: Person, connect: Connect) -> None:
    async with connect(admin.api) as stream:
        await stream.next()
        await admin.api.post("/api/v1/auth/logout")
        house.clock.advance(MINUTE)
        house.pieces.hint()
        assert await stream.next() is None
        if isinstance(stream, Socket):
            assert stream.socket.close_code == CLOSE_CREDENTIAL


@either
async def test_it_ends_when_its_token_has_expired(house: House, admin: Person, connect: Connect) -> None:
    house.clock.advance(1)
    async with connect(admin.api) as stream:
        await stream.next()
        house.clock.advance(16 * MINUTE)  # a person's access token is good for 15
        house.pieces.hint()
        assert await stream.next() is None


@either
async def test_it_goes_on_while_its_credential_is_good(house: House, admin: Person, connect: Connect) -> None:
    bucket = await house.bucket(admin)
    reader = await house.token(admin, "messages:read")
    async with connect(reader) as stream:
        await stream.next()
        for _ in range(3):
            house.clock.advance(30 * MINUTE)
            house.pieces.hint()
            await house.pieces.db.write(lambda tx: tx.run("UPDATE sessions SET expires_at = $1", 1 << 60))
        sender = await house.token(await house_again(house), "messages:create")
        await house.send(sender, bucket, title="still here")
        assert (await until(stream, "notification")).data["message"]["title"] == "still here"


async def house_again(house: House) -> Person:
    """Sign the admin in once more."""
    answer = await house.api.post(
        "/api/v1/auth/login", {"email": "admin@example.com", "password": "correct horse battery"}
    )
    return Person(
        answer["user"]["id"], "admin", house.api.with_token(answer["accessToken"]), answer["accessToken"], ""
    )


@either
async def test_when_the_server_goes_its_streams_end_at_once(
    house: House, admin: Person, connect: Connect
) -> None:
    async with connect(admin.api) as stream:
        await stream.next()
        stopping = asyncio.create_task(house.stop())
        assert await stream.next() is None
        if isinstance(stream, Socket):
            assert stream.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
        async with asyncio.timeout(5):
            await stopping


async def test_a_stream_says_that_it_is_alive_and_how_it_wants_to_be_treated(
    house: House, admin: Person
) -> None:
    async with event_stream(admin.api) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert await stream.response.content.readline() == b"retry: 2000\n"
        await stream.next()
        house.clock.advance(15_000)
        house.pieces.hint()
        await stream.comment()


@pytest.mark.parametrize("path", [LIVE, STREAM])
async def test_asking_for_the_head_ends(admin: Person, path: str) -> None:
    answer = await admin.api.call("HEAD", path)
    assert (answer.status, answer.body) == (426 if path == LIVE else 200, b"")


async def test_without_an_upgrade_there_is_no_socket(admin: Person) -> None:
    answer = await admin.api.get(LIVE)
    assert (answer.status, answer.code, answer.headers["Upgrade"]) == (426, "upgrade_required", "websocket")


async def test_a_page_sends_its_token_as_a_subprotocol(admin: Person) -> None:
    async with admin.api.session.ws_connect(
        admin.api.url + LIVE,
        headers={"Origin": PUBLIC_URL},
        protocols=("hushpost", f"bearer.{admin.access}"),
    ) as socket:
        assert socket.protocol == "hushpost"
        assert await Socket(socket).next() is not None


async def test_a_token_among_unknown_subprotocols_is_logged_by_nobody(
    admin: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by the library either: it writes what a client offers to the log where it knows none of it."""
    for offered in (f"bearer.{admin.access}", f"bearer.{admin.access}, hushposts"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with web_socket(admin.api, headers={"Sec-WebSocket-Protocol": offered}):
                pass
        assert refused.value.status == 400
    assert admin.access not in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer zat_nothing"}, 401),
        ({"Authorization": "Basic eDp5"}, 401),
        ({"Sec-WebSocket-Protocol": "hushpost"}, 401),
        ({"Sec-WebSocket-Protocol": "hushpost, bearer."}, 401),
        ({"Sec-WebSocket-Protocol": "hushpost, bearer.zat_a, bearer.zat_b"}, 401),
        ({"Sec-WebSocket-Protocol": "hushpost, bearer.a b"}, 401),
    ],
)
async def test_nobody_connects_without_a_good_token(
    house: House, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with web_socket(house.api, headers=headers):
            pass
    assert refused.value.status == status


async def test_a_page_of_another_origin_does_not_connect(admin: Person) -> None:
    for origin in ("https://evil.example", "null", PUBLIC_URL + ".evil.example", "http://127.0.0.1"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with web_socket(
                admin.api, headers={"Authorization": f"Bearer {admin.access}", "Origin": origin}
            ):
                pass
        assert refused.value.status == 403


async def test_a_token_that_may_not_read_is_told_nothing(house: House, admin: Person) -> None:
    sender = await house.token(admin, "messages:create")
    for path in (LIVE, STREAM):
        assert (await sender.get(path)).code == "scope_missing"


@pytest.fixture
async def garbling(admin: Person) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with web_socket(admin.api) as stream:
        await stream.next()
        yield stream.socket


async def ended_with(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await socket.receive(20)).type is aiohttp.WSMsgType.TEXT:
        pass
    return socket.close_code


async def test_who_talks_to_a_socket_is_shown_out(garbling: aiohttp.ClientWebSocketResponse) -> None:
    await garbling.send_str("hello?")
    assert await ended_with(garbling) == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_binary_garbage_is_shown_out(garbling: aiohttp.ClientWebSocketResponse) -> None:
    await garbling.send_bytes(bytes(range(256)))
    assert await ended_with(garbling) == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_frame_that_is_too_large_is_not_read(garbling: aiohttp.ClientWebSocketResponse) -> None:
    await garbling.send_str("x" * 100_000)
    assert await ended_with(garbling) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_ping_is_answered(garbling: aiohttp.ClientWebSocketResponse) -> None:
    await garbling.ping(b"there?")
    with pytest.raises(TimeoutError):  # the pong is the library's, and it stays open
        await garbling.receive(0.05)
    assert not garbling.closed


async def test_the_metrics_say_who_is_connected_and_what_was_told(house: House, admin: Person) -> None:
    operator = await house.token(admin, "metrics")
    async with event_stream(admin.api) as one, web_socket(admin.api) as two:
        await one.next()
        await two.next()
        text = (await operator.get("/metrics")).body.decode()
    assert 'hushpost_live_connections{kind="sse"} 1.0' in text
    assert 'hushpost_live_connections{kind="websocket"} 1.0' in text
    assert 'hushpost_live_events_total{event="counts"} 2.0' in text


async def test_other_users_events_are_not_told(house: House, admin: Person) -> None:
    other = await house.register("other")
    bucket, own = await house.bucket(admin), await house.bucket(other, "Own")
    async with event_stream(other.api) as stream:
        await stream.next()
        await house.send(admin.api, bucket, title="not yours")
        await house.send(other.api, own, title="yours")
        assert (await until(stream, "notification")).data["message"]["title"] == "yours"
