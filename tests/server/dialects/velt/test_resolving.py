"""Where an organization's own server is asked for texts, and that every API shows what it says, and none of it is kept."""

import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import pytest

from crypto.encoding import unb64u
from crypto.envelope import open_envelope
from server.config import OutgoingSettings, Settings
from tests.harness.acting import Acting, rows_of
from tests.harness.resolving import SECRET, Says, TextServer, text_server, texts
from tests.harness.streams import event_stream, until
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person, Phone

CANARY = "CANARY-90c2ab"
CUSTOM = {"isNotificationResolverUsed": True, "notificationSource": "custom"}
WITHOUT = (None, True)


@dataclass(frozen=True)
class Acme:
    """The default tenant's servers, and the admin's own clients: the one who is notified."""

    house: House
    velt: Velt
    admin: Person
    server: TextServer

    async def set(self, **more: Any) -> Any:
        given = {"organizationId": "default", "url": self.server.url, "secret": SECRET, **more}
        return await self.velt.said("organizations/resolver/set", given)

    async def found(self) -> Any:
        return await self.velt.said("organizations/resolver/get", {"organizationId": "default"})

    async def add(self, name: str, **more: Any) -> None:
        given = {
            "organizationId": "default",
            "documentId": "plan",
            "createDocument": True,
            "actionUser": {"userId": "ann", "name": "Ann Lee"},
            "notificationId": name,
            "notifyUsers": [{"userId": "admin"}],
            "notifyAll": False,
            **CUSTOM,
            **more,
        }
        await self.velt.said("notifications/add", given)

    async def item(self) -> dict[str, Any]:
        """Return the newest notification in the inbox."""
        found: dict[str, Any] = (await self.admin.api.get("/api/v1/notifications"))["notifications"][0]
        return found

    async def keyless(self) -> Phone:
        """Pair a phone that has no key, as an app's servers register one."""
        phone = await self.house.phone(self.admin)
        await self.house.pieces.db.write(
            lambda tx: tx.run("UPDATE devices SET suite = NULL, public_key = NULL WHERE id = $1", phone.id)
        )
        return phone


@pytest.fixture
async def acme(open_house: Callable[[Settings], Awaitable[House]], settings: Settings) -> AsyncIterator[Acme]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(text_server())
        inside = OutgoingSettings(allowed_networks=("127.0.0.1/32",))
        house = await open_house(msgspec.structs.replace(settings, outgoing=inside))
        house.clock.now = time.time_ns() // 1_000_000  # who is asked looks at the time
        admin = await house.register("admin")
        yield Acme(house, Velt.of(await house.token(admin, "admin")), admin, server)


# Where to ask


async def test_a_secret_is_made_and_shown_once(acme: Acme) -> None:
    shown = await acme.set(secret=None)
    key = base64.b64decode(shown.pop("secret").removeprefix("whsec_"), validate=True)
    assert len(key) == 32
    assert shown == await acme.found()
    assert (shown["organizationId"], shown["url"]) == ("default", acme.server.url)
    assert shown["setAt"].endswith("Z")
    assert (await acme.set(secret=None))["secret"] != key


async def test_a_secret_is_stored_encrypted(acme: Acme) -> None:
    given = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert (await acme.set())["secret"] == SECRET
    [stored] = await acme.house.pieces.db.read(lambda tx: tx.all("SELECT * FROM resolvers"))
    for form in (given, given.hex().encode(), SECRET.encode(), SECRET[6:].encode()):
        assert form not in bytes(stored["secret"])
    assert SECRET not in str(acme.house.log.entries)


async def test_what_is_not_set_or_was_removed_is_null(acme: Acme) -> None:
    nothing = {"organizationId": "default", "url": None, "setAt": None}
    assert await acme.found() == nothing
    for empty in (None, ""):
        await acme.set()
        assert await acme.set(url=empty) == nothing
        assert await acme.found() == nothing


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://app.example.com"},
        {"url": "/texts"},
        {"url": "https://user:pass@app.example.com"},
        {"url": "https://app.example.com/a b"},
        {"url": "https://app.example.com/" + "x" * 2048},
        {"url": 7},
        {"secret": "not-one"},
        {"secret": "whsec_AAAA"},
        {"secret": "whsec_" + base64.b64encode(bytes(65)).decode()},
        {"secret": "whsec_!" + "A" * 32},
    ],
    ids=str,
)
async def test_what_is_wrong_is_named_and_not_repeated(acme: Acme, wrong: dict[str, Any]) -> None:
    given = {"organizationId": "default", "url": acme.server.url, **wrong}
    status, word, message = refusal(await acme.velt.call("organizations/resolver/set", given))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    [(name, value)] = wrong.items()
    assert f"data.{name} " in message
    assert str(value) not in message
    assert (await acme.found())["url"] is None


async def test_all_that_is_wrong_is_named_at_once(acme: Acme) -> None:
    answer = await acme.velt.call("organizations/resolver/set", {"secret": "x"})
    _, _, message = refusal(answer)
    for name in ("organizationId", "url", "secret"):
        assert f"data.{name} " in message


@pytest.mark.parametrize("call", ["set", "get"])
async def test_an_organization_that_is_not_there_has_none(acme: Acme, call: str) -> None:
    given = {"organizationId": "nobody", "url": acme.server.url}
    status, word, _ = refusal(await acme.velt.call(f"organizations/resolver/{call}", given))
    assert (status, word) == (404, "NOT_FOUND")


# What it says


async def test_every_api_shows_the_texts(acme: Acme) -> None:
    await acme.set()
    await acme.add("n-1")
    acme.server.texts["n-1"] = texts("{actionUser} wrote", CANARY, notificationSourceData={"page": 7})
    said = ("Ann Lee wrote", CANARY, {"page": 7})
    item = await acme.item()
    api, path = acme.admin.api, f"/api/v1/notifications/{item['id']}"
    message = f"/api/v1/messages/{item['messageId']}"
    found = [
        item["message"],
        (await api.get(path))["message"],
        (await api.patch(f"{path}/read"))["message"],
        (await api.patch(f"{path}/unread"))["message"],
        (await api.get("/api/v1/messages"))["messages"][0],
        (await api.get(message)).json,
        (await Acting(acme.velt.api, "default", "admin").rpc("get-inbox-feed"))["messages"][0],
    ]
    assert [(one["title"], one["body"], one["data"]) for one in found] == [said] * 7
    assert not any("unresolved" in one for one in found)
    for whose in ({}, {"userId": "admin"}):
        [row] = await acme.velt.said("notifications/get", {"organizationId": "default", **whose})
        shown = tuple(row[name] for name in ("displayHeadlineMessage", "displayBodyMessage"))
        assert (*shown, row["notificationSourceData"]) == said
        assert row["isNotificationResolverUsed"]
        assert "unresolved" not in row
    assert set(acme.server.names) == {"n-1"}
    assert acme.server.refused == []


async def test_where_it_says_nothing_every_api_says_so(acme: Acme) -> None:
    await acme.set()
    await acme.add("n-1")
    item = await acme.item()
    api = acme.admin.api
    found = [
        item["message"],
        (await api.get(f"/api/v1/notifications/{item['id']}"))["message"],
        (await api.get("/api/v1/messages"))["messages"][0],
        (await Acting(acme.velt.api, "default", "admin").rpc("get-inbox-feed"))["messages"][0],
    ]
    assert [(one["title"], one["unresolved"]) for one in found] == [WITHOUT] * 4
    [row] = await acme.velt.said("notifications/get", {"organizationId": "default"})
    assert (row["displayHeadlineMessage"], row["unresolved"]) == WITHOUT
    assert set(acme.server.names) == {"n-1"}


async def test_a_page_shows_what_there_is(acme: Acme) -> None:
    await acme.set()
    for name in ("n-1", "n-2"):
        await acme.add(name)
        acme.house.clock.advance(1)
    bucket = await acme.house.bucket(acme.admin)
    await acme.house.send(acme.admin.api, bucket)
    acme.server.texts["n-1"] = texts("First")
    page = (await acme.admin.api.get("/api/v1/notifications"))["notifications"]
    assert [one["message"]["title"] for one in page] == ["Hello", None, "First"]
    assert set(acme.server.names) == {"n-1", "n-2"}


async def test_a_stream_says_that_there_are_texts_and_does_not_ask(acme: Acme) -> None:
    await acme.set()
    acme.server.texts["n-1"] = texts(CANARY)
    async with event_stream(acme.admin.api) as stream:
        await until(stream, "counts")
        await acme.add("n-1")
        message = (await until(stream, "notification")).data["message"]
    assert (message["title"], message["unresolved"]) == WITHOUT
    assert acme.server.asked == []


async def test_a_phone_that_fetches_is_given_the_texts(acme: Acme) -> None:
    await acme.set()
    phone = await acme.house.phone(acme.admin)
    bare = await acme.keyless()
    await acme.add("n-1")
    acme.server.texts["n-1"] = texts(CANARY)
    [named] = (await phone.api.get("/api/v1/device/messages"))["messages"]
    frame = open_envelope(
        unb64u(named["envelope"]),
        keys=[phone.key],
        device_id=UUID(phone.id),
        server=acme.house.pieces.identity.public,
    )
    assert json.loads(frame.body)["title"] == CANARY
    [named] = (await bare.api.get("/api/v1/device/messages"))["messages"]
    assert named["message"]["body"]["title"] == CANARY


async def test_a_phone_that_fetches_in_vain_is_told_of_something_new(acme: Acme) -> None:
    await acme.set()
    bare = await acme.keyless()
    await acme.add("n-1")
    acme.server.says = [Says(status=500)] * 3
    [named] = (await bare.api.get("/api/v1/device/messages"))["messages"]
    content = named["message"]["body"]
    assert (content["title"], content["unresolved"]) == ("New notification", True)


async def test_nothing_of_it_is_in_any_table_or_in_the_log(acme: Acme) -> None:
    await acme.set()
    phone = await acme.house.phone(acme.admin)
    long = CANARY + "".join(chr(0x4E00 + index * index % 20_000) for index in range(3900))
    await acme.add("n-1")
    acme.server.texts["n-1"] = texts(CANARY, long, notificationSourceData={"a": CANARY})
    assert (await acme.item())["message"]["title"] == CANARY
    assert "envelope" in (await phone.api.get("/api/v1/device/messages"))["messages"][0]
    item = await acme.item()
    await acme.admin.api.patch(f"/api/v1/notifications/{item['id']}/read")
    await acme.velt.said(
        "notifications/update",
        {"organizationId": "default", "notifications": [{"id": "n-1", "notificationSourceData": {"b": 1}}]},
    )
    assert (await acme.item())["message"]["title"] == CANARY
    assert "envelope" in (await phone.api.get("/api/v1/device/messages"))["messages"][0]
    rows = await rows_of(acme.house.pieces.db)
    assert "n-1" in str(rows)
    assert rows["claims"] == []
    assert CANARY not in str(rows)
    assert CANARY not in str(acme.house.log.entries)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_address_inside_is_not_asked(house: House, admin: Person) -> None:
    """It may be set: where it leads is looked at whenever it is asked, since that can change."""
    async with text_server() as server:
        acme = Acme(house, Velt.of(await house.token(admin, "admin")), admin, server)
        await acme.set()
        await acme.add("n-1")
        server.texts["n-1"] = texts(CANARY)
        assert (await acme.item())["message"]["unresolved"]
        assert not server.asked
        assert not server.refused
