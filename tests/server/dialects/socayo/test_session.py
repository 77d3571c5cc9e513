"""Inbox sessions: what their tokens are good for, and who opens a socket, and how long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest
from msgspec import structs

from server.api.gate import TABLE, ForDevice, ForEither, ForUser
from server.api.sockets import CLOSE_CREDENTIAL
from server.app import build_server
from server.config import LimitSettings, Settings
from server.domain.errors import Allowance, Limited
from server.domain.scopes import Need
from tests.harness.acting import RPCS, Acting
from tests.harness.inboxes import SOCKET, InboxClient, following, opened
from tests.harness.native import Native
from tests.server.api.test_scopes_table import path_of
from tests.server.conftest import PUBLIC_URL, House, Person
from tests.server.dialects.socayo import reader
from tests.server.dialects.socayo.reader import MINUTE, Ann

ann, admin_again = reader.ann, reader.admin_again


async def test_a_session_says_where_to_go_with_its_token(house: House, ann: Ann) -> None:
    answer = (await ann.servers.for_user("new here").rpc("get-inbox-session")).json
    token = answer.pop("sessionToken")
    assert answer == {"apiUrl": PUBLIC_URL, "wsUrl": "ws" + PUBLIC_URL.removeprefix("http") + SOCKET}
    counted = await house.api.with_token(token).post(RPCS + "get-inbox-unseen-count", {})
    assert counted.json == {"unseenCount": 0, "unreadCount": 0}


async def test_where_the_server_has_https_its_sockets_do(
    open_house: Callable[[Settings], Awaitable[House]], settings: Settings, house: House, admin: Person
) -> None:
    token = await house.token(admin, "admin")
    server = structs.replace(settings.server, public_url="https://push.example.org/")
    there = await open_house(structs.replace(settings, server=server))
    answer = (await Acting(there.api.with_token(token.token)).rpc("get-inbox-session")).json
    assert answer["apiUrl"] == "https://push.example.org"
    assert answer["wsUrl"] == "wss://push.example.org" + SOCKET


async def test_its_token_is_good_for_the_inbox_and_for_nothing_else(
    house: House, settings: Settings, admin: Person
) -> None:
    """Of every route there is, with the token of an admin's session; it does not renew itself either."""
    token = (await Acting(admin.api).rpc("get-inbox-session"))["sessionToken"]
    api = house.api.with_token(token)
    let_in = set()
    for route in build_server(settings, house.pieces_again())[TABLE]:
        if isinstance(route, ForUser | ForEither | ForDevice):
            answer = await api.call(route.method, path_of(route))
            if answer.status not in {401, 403}:
                let_in.add(route.path.removeprefix(RPCS))
                assert isinstance(route, ForUser)
                assert route.need is Need.INBOX
    of_another_api = {
        path for path in let_in if path.removeprefix("/notification").startswith("/v1/notifications")
    }
    assert let_in - of_another_api == {
        "get-inbox-feed",
        "get-inbox-unseen-count",
        "mark-inbox-message",
        "mark-all-inbox-messages",
        "delete-inbox-message",
    }


async def test_its_token_is_for_one_user(ann: Ann) -> None:
    """Whoever the request names."""
    await ann.send("for Ann")
    api = ann.house.api.with_token(await ann.session())
    for named in ({"user": "ben"}, {"tenant": "other"}):
        refused = await Acting(api, **named).rpc("get-inbox-feed")
        assert (refused.status, refused["error"]["code"]) == (403, "acting_forbidden")
    rows = (await Acting(api).rpc("get-inbox-feed"))["messages"]
    assert [row["title"] for row in rows] == ["for Ann", "long ago"]


async def test_a_session_ends_when_its_user_is_deleted_or_signs_out(
    house: House, ann: Ann, admin_again: Native
) -> None:
    of_person = (await Acting(admin_again).rpc("get-inbox-session"))["sessionToken"]
    of_ann = await ann.session()
    await admin_again.post("/api/v1/auth/logout")
    await ann.servers.rpc("manage/delete-subscriber", {"userId": "ann"})
    for token in (of_person, of_ann):
        refused = await Acting(house.api.with_token(token)).rpc("get-inbox-feed")
        assert (refused.status, refused["error"]["code"]) == (401, "session_ended")


@pytest.fixture
async def stranger(house: House) -> AsyncIterator[InboxClient]:
    async with opened(house.api.session, house.api.url) as client:
        yield client


@pytest.mark.parametrize(
    "said",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"type": "auth"}',
        '{"type": "auth", "token": 5}',
        '{"type": "hello", "token": "x"}',
        '{"type": "auth", "token": "x", "after": "y"}',
        '{"type": "auth", "token": "x", "after": 7}',
        '{"type": "auth", "token": "x", "after": "1.0123456789abcdef"}',
    ],
)
async def test_who_does_not_say_who_they_are_is_shown_out(stranger: InboxClient, said: str) -> None:
    await stranger.socket.send_str(said)
    assert await stranger.end() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_binary_and_large_frames_are_not_read(house: House, stranger: InboxClient) -> None:
    await stranger.socket.send_bytes(b'{"type": "auth", "token": "x"}')
    assert await stranger.end() == aiohttp.WSCloseCode.POLICY_VIOLATION
    async with opened(house.api.session, house.api.url) as other:
        await other.socket.send_str("x" * 10_000)
        assert await other.end() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_who_says_nothing_is_shown_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.dialects.socayo.session._AUTH_WITHIN", 0.05)
    async with opened(house.api.session, house.api.url) as client:
        assert await client.end() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_no_other_token_opens_an_inbox(house: House, ann: Ann, admin_again: Native) -> None:
    expired = await ann.session()
    gateway = ann.servers.api.token
    ann.house.clock.advance(15 * MINUTE)
    answer = await house.api.post(
        "/api/v1/auth/login", {"email": "admin@example.com", "password": "correct horse battery"}
    )
    assert admin_again.token is not None
    for token in (expired, gateway, answer["accessToken"], answer["refreshToken"], "", "garbage", "é" * 9):
        async with following(house.api.session, house.api.url, str(token)) as client:
            assert await client.end() == CLOSE_CREDENTIAL, token


async def test_who_talks_on_is_shown_out(ann: Ann) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        await client.hello("again")
        assert await client.end() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_page_of_another_origin_does_not_connect(house: House) -> None:
    for origin in ("https://evil.example", "null", PUBLIC_URL + ".evil.example"):
        refused = await house.api.call("GET", SOCKET, headers={"Origin": origin})
        assert (refused.status, refused["error"]["code"]) == (403, "origin_forbidden")
    async with opened(house.api.session, house.api.url, {"Origin": PUBLIC_URL}) as client:
        assert not client.socket.closed


async def test_without_an_upgrade_there_is_no_socket(house: House) -> None:
    answer = await house.api.get(SOCKET)
    assert (answer.status, answer["error"]["code"]) == (426, "upgrade_required")
    assert answer.headers["Upgrade"] == "websocket"


async def test_strangers_are_counted_by_their_address(
    open_house: Callable[[Settings], Awaitable[House]], settings: Settings
) -> None:
    house = await open_house(structs.replace(settings, limits=LimitSettings(address=2)))
    for _ in range(2):
        async with opened(house.api.session, house.api.url):
            pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with opened(house.api.session, house.api.url):
            pass
    assert refused.value.status == 429


async def test_so_many_may_be_about_to_say_who_they_are(
    house: House, ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.dialects.socayo.session._MOST_STRANGERS", 1)
    async with opened(house.api.session, house.api.url) as first:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with opened(house.api.session, house.api.url):
                pass
        assert refused.value.status == 503
        await first.hello(await ann.session())
        await first.until_counted(0, 0)
        async with ann.follow() as second:
            await second.until_counted(0, 0)


async def test_who_says_nothing_takes_the_places_of_one_address_only(
    open_house: Callable[[Settings], Awaitable[House]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them are kept for others, also where it opens as many as it can."""
    monkeypatch.setattr("server.dialects.socayo.session._MOST_OF_AN_ADDRESS", 2)
    server = structs.replace(settings.server, trusted_proxies=("127.0.0.0/8",))
    house = await open_house(structs.replace(settings, server=server))

    def opened_from(address: str) -> AbstractAsyncContextManager[InboxClient]:
        return opened(house.api.session, house.api.url, {"X-Forwarded-For": address})

    async with opened_from("192.0.2.1"), opened_from("192.0.2.1"), opened_from("192.0.2.2"):
        for other in ("192.0.2.3", "2001:db8::1"):
            async with opened_from(other) as client:
                await client.socket.send_str("{}")
                assert await client.end() == aiohttp.WSCloseCode.POLICY_VIOLATION
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with opened_from("192.0.2.1"):
                pass
        assert refused.value.status == 503
    async with opened_from("192.0.2.1") as client:
        await client.socket.send_str("{}")
        assert await client.end() == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_user_has_so_many_sockets(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ann.follow() as first:
        await first.until_counted(0, 0)
        monkeypatch.setattr("server.live.hub.Hub._make_room", _no_room)
        async with following(ann.house.api.session, ann.house.api.url, await ann.session()) as second:
            assert await second.end() == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_when_the_server_goes_its_sockets_end_at_once(
    house: House, ann: Ann, stranger: InboxClient
) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
        stopping = asyncio.create_task(house.stop())
        for one in (client, stranger):
            assert await one.end() == aiohttp.WSCloseCode.GOING_AWAY
        async with asyncio.timeout(5):
            await stopping


async def test_no_token_is_logged(house: House, ann: Ann, caplog: pytest.LogCaptureFixture) -> None:
    async with ann.follow() as client:
        await client.until_counted(0, 0)
    said = caplog.text + str(house.log.entries)
    assert not [secret for secret in house.secrets if secret in said]


def _no_room(*_asked: object) -> None:
    raise Limited("no room", Allowance("live-connections", 32, 10, 0, 10))
