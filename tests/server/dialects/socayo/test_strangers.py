"""Every RPC, and native route that acts, called by strangers to the data: what is another's does not exist, is not counted, and stays as it is.

Each is called twice, with the names and ids of what somebody else has and with those of what nobody has: both are answered alike, byte
for byte but for ids and times. One that has no row here fails.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from server.api.gate import TABLE, ForUser
from server.app import build_server
from server.config import Settings
from tests.harness.acting import RPCS, Acting, rows_of
from tests.harness.native import Reply
from tests.harness.strangers import ID, NAME, Known, filled, wrong_with
from tests.server.conftest import House, Person

UNKNOWN: Known = {
    "<user>": "who-is-nobody",
    "<tenant-id>": "0197c5a4-1100-7b2d-8c0a-4e9f7d1c6a00",
    "<user-id>": "0197c5a4-5900-7b2d-8c0a-4e9f7d1c6a00",
    "<topic>": "topic-of-nobody",
    "<device>": "device-of-nobody",
    "<token>": "token-of-nobody:APA91bHnobody",
    "<email>": "nobody@example.org",
    "<message>": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e11",
    "<transaction>": "0197c5a4-8c20-7e66-b753-2dae407c1e31",
    "<scheduled>": "0197c5a4-8c20-7e66-b753-2dae407c1e32",
}
CONTENT = {"title": "Hello", "body": "from a stranger"}
SEND = {"channel": "IN_APP", "content": CONTENT}

ANN, NEWS = "ann-of-acme", "news-of-acme"

# What is asked of each RPC; what is in angle brackets is somebody's.
ASKED: dict[str, list[dict[str, Any]]] = {
    "register-push-device": [
        {"fcmToken": "<token>", "deviceId": "<device>", "platform": "ANDROID", "handle": "<handle>"}
    ],
    "unregister-push-device": [{"fcmToken": "<token>"}, {"deviceId": "<device>"}],
    "get-registered-channels": [{}],
    "get-inbox-session": [{}],
    "get-inbox-feed": [
        {},
        {"feedIds": ["default"]},
        {"feedIds": ["<topic>"]},
        {"feedIds": ["default", "<topic>"]},
    ],
    "get-inbox-unseen-count": [{}],
    "mark-inbox-message": [
        {"messageId": "<message>", "status": status} for status in ("READ", "SEEN", "UNREAD", "UNSEEN")
    ]
    + [{"messageId": "<transaction>", "status": "READ"}],
    "mark-all-inbox-messages": [{"status": "READ"}, {"status": "SEEN", "feedIds": ["<topic>"]}],
    "delete-inbox-message": [{"messageId": "<message>"}, {"messageId": "<transaction>"}],
    "get-preferences": [{}],
    "update-preferences": [{"channel": "PUSH", "category": "PRODUCT", "enabled": False}],
    "manage/send": [
        {**SEND, "userId": "<user>"},
        {**SEND, "userId": "<user>", "idempotencyKey": "same-key"},
    ],
    "manage/send-scheduled": [
        {**SEND, "userId": "<user>", "scheduledAt": "2027-02-01T09:00:00Z", "idempotencyKey": "same-key"}
    ],
    "manage/send-delayed": [{**SEND, "userId": "<user>", "delaySeconds": 60, "idempotencyKey": "same-key"}],
    "manage/send-bulk": [{**SEND, "userIds": ["<user>", "another"], "idempotencyKey": "same-key"}],
    "manage/send-to-topic": [{**SEND, "topicKey": "<topic>", "idempotencyKey": "same-key"}],
    "manage/cancel": [{"transactionId": "<transaction>"}, {"transactionId": "<scheduled>"}],
    "manage/get-delivery-status": [{"transactionId": "<transaction>"}, {"transactionId": "<scheduled>"}],
    "manage/get-notification-activity": [{}, {"channels": ["IN_APP"], "categories": ["TRANSACTIONAL"]}],
    "manage/create-topic": [{"topicKey": "<topic>"}],
    "manage/delete-topic": [{"topicKey": "<topic>"}],
    "manage/add-subscribers-to-topic": [{"topicKey": "<topic>", "subscriberIds": ["<user>", "another"]}],
    "manage/remove-subscribers-from-topic": [{"topicKey": "<topic>", "subscriberIds": ["<user>"]}],
    "manage/list-topic-subscribers": [{"topicKey": "<topic>"}],
    "manage/check-topic-subscription": [{"topicKey": "<topic>", "subscriberId": "<user>"}],
    "manage/create-subscriber": [
        {"userId": "<user>", "subscriberData": {"email": "<email>", "firstName": "Mallory"}}
    ],
    "manage/get-subscriber": [{"userId": "<user>"}, {"userId": "<user-id>"}],
    "manage/update-subscriber-data": [{"userId": "<user>", "subscriberData": {"firstName": "Mallory"}}],
    "manage/delete-subscriber": [{"userId": "<user>"}, {"userId": "<user-id>"}],
    "manage/list-subscribers": [{}, {"page": 1, "pageSize": 100}],
}
MESSAGE = {"title": "Hello", "deliveryType": "NORMAL"}

# And of the native routes that act.
NATIVE: dict[str, list[Any]] = {
    "POST /api/v1/topics": [{"key": "<topic>"}],
    "GET /api/v1/topics": [None],
    "GET /api/v1/topics/<topic>": [None],
    "DELETE /api/v1/topics/<topic>": [None],
    "POST /api/v1/topics/<topic>/subscribers": [{"userIds": ["<user>", "another"]}],
    "GET /api/v1/topics/<topic>/subscribers": [None],
    "DELETE /api/v1/topics/<topic>/subscribers/<user>": [None],
    "POST /api/v1/subscribers": [{"userId": "<user>", "email": "<email>", "firstName": "Mallory"}],
    "GET /api/v1/subscribers": [None],
    "GET /api/v1/subscribers/<user>": [None],
    "PATCH /api/v1/subscribers/<user>": [{"firstName": "Mallory"}],
    "DELETE /api/v1/subscribers/<user>": [None],
    "POST /api/v1/messages": [
        {**MESSAGE, "topicKey": "<topic>"},
        {**MESSAGE, "userIds": ["<user>"]},
        {**MESSAGE, "bucketId": "<topic>"},
    ],
    "GET /api/v1/messages": [None],
    "GET /api/v1/messages?title=Hello&userIds=<user>": [None],
    "GET /api/v1/messages/<transaction>": [None],
    "PATCH /api/v1/messages/<transaction>": [{"title": "Mallory was here"}],
    "DELETE /api/v1/messages/<transaction>": [None],
    "GET /api/v1/messages/<transaction>/deliveries": [None],
    "GET /api/v1/notifications": [None],
    "GET /api/v1/notifications/counts": [None],
    "POST /api/v1/notifications/read-all": [{}, {"bucketId": "<topic>"}],
    "GET /api/v1/notifications/<message>": [None],
    "PATCH /api/v1/notifications/<message>/read": [None],
    "PATCH /api/v1/notifications/<message>/unread": [None],
    "DELETE /api/v1/notifications/<message>": [None],
    "GET /api/v1/preferences": [None],
    "PATCH /api/v1/preferences": [{"channel": "PUSH", "category": "PRODUCT", "enabled": False}],
    "GET /api/v1/activity": [None],
}
_PLACE = re.compile(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}")


@dataclass(frozen=True)
class Somebody:
    """Whose data it is: `known` are their names and ids, `looks` what they themselves see of it."""

    known: Known
    acting: Acting
    house: House

    async def looks(self) -> list[bytes]:
        """Return what every reading RPC tells them, as bytes."""
        asked = {
            "get-inbox-feed": {},
            "get-inbox-unseen-count": {},
            "get-preferences": {},
            "get-registered-channels": {},
            "manage/get-notification-activity": {},
            "manage/list-subscribers": {},
            "manage/list-topic-subscribers": {"topicKey": self.known["<topic>"]},
            "manage/get-subscriber": {"userId": self.known["<user>"]},
            "manage/get-delivery-status": {"transactionId": self.known["<transaction>"]},
        }
        answers = [await self.acting.rpc(name, body) for name, body in asked.items()]
        assert {answer.status for answer in answers} == {200}
        return [answer.body for answer in answers]


@pytest.fixture
async def somebody(house: House, admin: Person) -> Somebody:
    """Ann of acme, who has one of everything."""
    acme = Acting(await house.token(admin, "admin"), "acme", ANN)
    data = {"email": "ann@acme.example", "firstName": "Ann"}
    await done(acme, "manage/create-subscriber", userId=ANN, subscriberData=data)
    await done(acme, "manage/add-subscribers-to-topic", topicKey=NEWS, subscriberIds=[ANN, "ben"])
    device = {"fcmToken": "token-of-ann:APA91bHann", "deviceId": "phone-of-ann", "platform": "ANDROID"}
    await done(acme, "register-push-device", **device, handle=house.handle())
    await done(acme, "update-preferences", channel="PUSH", category="PROMOTIONAL", enabled=False)
    await done(acme, "manage/send", **SEND, userId=ANN)
    await done(acme, "manage/send", userId=ANN, channel="PUSH", content=CONTENT)
    later = {"scheduledAt": "2027-02-01T09:00:00Z", "idempotencyKey": "same-key"}
    scheduled = await done(acme, "manage/send-scheduled", **SEND, userId=ANN, **later)
    sent = await done(acme, "manage/send-to-topic", **SEND, topicKey=NEWS, idempotencyKey="same-key")
    feed = await done(acme, "get-inbox-feed")
    ann = await house.pieces.db.read(
        lambda tx: tx.one("SELECT id, tenant_id FROM users WHERE external_id = $1", ANN)
    )
    assert ann is not None
    known = {
        "<user>": ANN,
        "<user-id>": ann["id"],
        "<tenant-id>": ann["tenant_id"],
        "<topic>": NEWS,
        "<device>": device["deviceId"],
        "<token>": device["fcmToken"],
        "<email>": data["email"],
        "<message>": feed["messages"][0]["messageId"],
        "<transaction>": sent["transactionId"],
        "<scheduled>": scheduled["transactionId"],
    }
    return Somebody(known, acme, house)


async def done(acting: Acting, name: str, **body: Any) -> Reply:
    answer = await acting.rpc(name, body)
    assert answer.status == 200, (name, answer.body)
    return answer


def test_every_rpc_has_a_row(house: House, settings: Settings) -> None:
    table = build_server(settings, house.pieces_again())[TABLE]
    served = {
        route.path.removeprefix(RPCS)
        for route in table
        if isinstance(route, ForUser) and route.method == "POST" and "socayo" in route.handler.__module__
    }
    assert ASKED.keys() == served


def test_every_native_route_that_acts_has_a_row(house: House, settings: Settings) -> None:
    """Where a token names a user or a tenant, somebody else's may be asked for."""
    table = build_server(settings, house.pieces_again())[TABLE]
    acting = {
        f"{route.method} {_PLACE.sub('<>', route.path)}{'?' if route.when else ''}"
        for route in table
        if isinstance(route, ForUser) and route.acts and "dialects" not in route.handler.__module__
    }
    asked = {NAME.sub("<>", name) for name in NATIVE}
    assert {re.sub(r"\?.*", "?", name) for name in asked} == acting


@pytest.mark.parametrize("kind", ["bound", "named", "gateway"])
async def test_a_stranger_finds_nothing_and_changes_nothing(
    somebody: Somebody, admin: Person, kind: str
) -> None:
    """Of another tenant: with a token that is bound to it, with one that names it, and with a gateway's."""

    async def stranger(tenant: str, known: Known) -> Acting:
        scope = "gateway" if kind == "gateway" else "admin"
        house = somebody.house
        if kind == "named":
            return Acting(await house.token(admin, scope), tenant, known["<user>"])
        return Acting(await house.token_of(admin, tenant, scope), None, known["<user>"])

    asked = {
        name: bodies for name, bodies in ASKED.items() if kind != "gateway" or not name.startswith("manage/")
    }
    natively = {} if kind == "gateway" else NATIVE
    assert await found_by(somebody, stranger, {**by_rpc(asked), **natively}) == []


async def test_a_neighbour_of_the_same_tenant_finds_nothing_of_another_user(
    somebody: Somebody, admin: Person
) -> None:
    """Whoever shares the tenant shares no inbox and no device; only its topics, which all of its users may know.

    A phone goes over to who registers it last, which is meant.
    """
    token = await somebody.house.token(admin, "gateway")
    rows = iter(range(1_000))

    async def neighbour(_tenant: str, _known: Known) -> Acting:
        return Acting(token, "acme", f"neighbour-{next(rows):03}")

    apart = ("register-push-device", "get-inbox-session")
    asked = {
        name: [body for body in bodies if "<topic>" not in body.get("feedIds", ())]
        for name, bodies in ASKED.items()
        if not name.startswith("manage/") and name not in apart
    }
    assert await found_by(somebody, neighbour, by_rpc(asked), same_tenant=True) == []


async def test_whoever_is_signed_in_is_no_one_else(somebody: Somebody) -> None:
    """A person's own sign-in reads their own inbox, manages nothing, and names nobody."""
    person = Acting((await somebody.house.register("mallory")).api)
    before = await rows_of(somebody.house.pieces.db)
    for name, bodies in ASKED.items():
        for body in bodies:
            if name.startswith("manage/"):
                assert (await person.rpc(name, filled(body, somebody.known))).status == 403, name
            for named in (Acting(person.api, "acme"), Acting(person.api, None, ANN)):
                assert (await named.rpc(name, filled(body, somebody.known))).status == 403, name
    assert await rows_of(somebody.house.pieces.db) == before
    assert (await person.rpc("get-inbox-feed"))["messages"] == []
    message = {"messageId": somebody.known["<message>"], "status": "READ"}
    assert (await person.rpc("mark-inbox-message", message)).status == 404


def by_rpc(asked: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what is asked of RPCs by method and path."""
    return {f"POST {RPCS}{name}": bodies for name, bodies in asked.items()}


async def found_by(
    somebody: Somebody,
    stranger: Callable[[str, Known], Awaitable[Acting]],
    asked: Mapping[str, list[Any]],
    *,
    same_tenant: bool = False,
) -> list[str]:
    """Return what was wrong with the answers to a stranger, of the calls one by one, each time another stranger."""
    house, wrong = somebody.house, []
    seen = await somebody.looks()
    theirs = () if same_tenant else [value for value in somebody.known.values() if ID.fullmatch(value)]
    for number, (name, bodies) in enumerate(asked.items()):
        curious = await stranger(f"tenant-{number}-a", somebody.known)
        other = await stranger(f"tenant-{number}-b", UNKNOWN)
        for body in bodies:
            one = (curious.call, {**somebody.known, "<handle>": house.handle()})
            another = (other.call, {**UNKNOWN, "<handle>": house.handle()})
            wrong += await wrong_with(house.pieces.db, name, body, one, another, theirs=theirs)
    if not same_tenant and await somebody.looks() != seen:
        wrong.append("what they see themselves has changed")
    return wrong
