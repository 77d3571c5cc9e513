"""The activity of a tenant: what was sent to whom and what came of it, by RPC in pages with numbers, natively with cursors."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from server.dialects.socayo.fields import FURTHEST_PAGE
from server.domain.delivery import Event, Settlement
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Transaction
from server.store import leases
from server.store.leases import Times
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

ACTIVITY = "/api/v1/activity"
RPC = "manage/get-notification-activity"
START = "2027-01-15T08:00:0{}.000Z"


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """Calls for acme, of which nothing is known yet."""
    return Acting(await house.token(admin, "admin"), "acme")


async def send(who: Acting, user: str, channel: str, category: str, title: str = "Hello") -> str:
    body = {"userId": user, "channel": channel, "category": category, "content": {"title": title}}
    answer = await who.rpc("manage/send", body)
    assert answer.status == 200, answer.body
    return str(answer["transactionId"])


async def natively(who: Acting, **query: Any) -> Reply:
    return await who.call("GET", f"{ACTIVITY}?{urlencode(query)}")


async def by_both(who: Acting, **filters: Any) -> list[str]:
    """Return the transactions that a filter lets through, which both ways must agree on."""
    rpc = await who.rpc(RPC, filters)
    native = await natively(who, **{name: _in_query(value) for name, value in filters.items()})
    assert (rpc.status, native.status) == (200, 200), (rpc.body, native.body)
    found = [entry["transactionId"] for entry in rpc["activities"]]
    assert [entry["messageId"] for entry in native["activities"]] == found
    assert rpc["total"] == len(found)
    return found


def _in_query(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else value


async def test_an_entry_says_what_became_of_one_message_for_one_user_on_one_channel(
    house: House, acme: Acting
) -> None:
    sent = await send(acme, "ann", "IN_APP", "PRODUCT")
    [item] = (await acme.for_user("ann").call("GET", "/api/v1/notifications"))["notifications"]
    answer = await acme.rpc(RPC)
    assert answer.json == {
        "activities": [
            {
                "transactionId": sent,
                "messageId": item["id"],
                "userId": "ann",
                "channel": "IN_APP",
                "category": "PRODUCT",
                "title": "Hello",
                "result": "DELIVERED",
                "reason": None,
                "providerMessageId": None,
                "queuedAt": START.format(0),
                "deliveredAt": START.format(0),
                "receivedAt": None,
                "readAt": None,
            }
        ],
        "hasMore": False,
        "page": 1,
        "pageSize": 20,
        "total": 1,
    }
    [delivery] = await house.deliveries()
    assert (await natively(acme)).json == {
        "activities": [
            {
                "id": delivery["id"],
                "messageId": sent,
                "notificationId": item["id"],
                "userId": "ann",
                "channel": "IN_APP",
                "category": "PRODUCT",
                "deviceId": None,
                "title": "Hello",
                "state": "accepted",
                "result": "DELIVERED",
                "reason": None,
                "providerId": None,
                "queuedAt": START.format(0),
                "deliveredAt": START.format(0),
                "receivedAt": None,
                "readAt": None,
            }
        ],
        "nextCursor": None,
    }


async def test_what_did_not_go_out_is_there_with_its_reason(acme: Acting) -> None:
    await acme.for_user("ann").rpc(
        "update-preferences", {"channel": "IN_APP", "category": "PROMOTIONAL", "enabled": False}
    )
    await send(acme, "ann", "IN_APP", "PROMOTIONAL")
    await send(acme, "ann", "PUSH", "PROMOTIONAL")
    found = {one["channel"]: one for one in (await acme.rpc(RPC))["activities"]}
    shown = {channel: (one["result"], one["reason"], one["deliveredAt"]) for channel, one in found.items()}
    assert shown == {
        "IN_APP": ("OPTED_OUT", "opted_out", None),
        "PUSH": ("NO_CHANNEL", "no_channel", None),
    }


async def test_a_push_says_what_provider_and_device_said(house: House, admin: Person) -> None:
    """To an account of the default tenant, which has a phone."""
    default = Acting(await house.token(admin, "admin"))
    phone = await house.phone(admin)
    sent = await send(default, "admin", "PUSH", "TRANSACTIONAL")
    [waiting] = (await default.rpc(RPC))["activities"]
    assert (waiting["result"], waiting["deliveredAt"]) == ("SENT", None)
    await settle(house, Event.RETRY, "throttled")
    [throttled] = (await default.rpc(RPC))["activities"]
    assert (throttled["result"], throttled["reason"]) == ("RATE_LIMITED", "throttled")
    house.clock.advance(1000)
    await settle(house, Event.ACCEPT, None, provider_id="fcm-msg-xyz")
    house.clock.advance(1000)
    receipts = [{"messageId": sent, "event": event, "at": house.clock()} for event in ("received", "read")]
    answer = await phone.api.post("/api/v1/device/receipts", {"receipts": receipts})
    assert answer.status == 202, answer.body
    [entry] = (await default.rpc(RPC))["activities"]
    assert entry == {
        "transactionId": sent,
        "userId": admin.id,
        "channel": "PUSH",
        "category": "TRANSACTIONAL",
        "deviceId": phone.id,
        "title": "Hello",
        "result": "DELIVERED",
        "reason": None,
        "providerMessageId": "fcm-msg-xyz",
        "queuedAt": START.format(0),
        "deliveredAt": START.format(1),
        "receivedAt": START.format(2),
        "readAt": START.format(2),
    }


async def test_a_message_that_is_read_in_the_inbox_says_so_and_one_taken_back_has_no_title(
    house: House, acme: Acting
) -> None:
    sent = await send(acme, "ann", "IN_APP", "TRANSACTIONAL")
    ann = acme.for_user("ann")
    [item] = (await ann.call("GET", "/api/v1/notifications"))["notifications"]
    house.clock.advance(3000)
    assert (await ann.call("PATCH", f"/api/v1/notifications/{item['id']}/read")).status == 200
    [entry] = (await acme.rpc(RPC))["activities"]
    assert (entry["title"], entry["readAt"]) == ("Hello", START.format(3))
    assert (await acme.call("DELETE", f"/api/v1/messages/{sent}")).status == 204
    [entry] = (await acme.rpc(RPC))["activities"]
    assert (entry["transactionId"], "title" in entry) == (sent, False)


async def test_every_filter_narrows_what_is_shown(house: House, acme: Acting) -> None:
    sent = {}
    for channel in ("IN_APP", "PUSH", "EMAIL"):
        for category in ("TRANSACTIONAL", "PRODUCT"):
            sent[channel, category] = await send(acme, "ann", channel, category)
            house.clock.advance(1000)
    everything = list(reversed(sent.values()))
    assert await by_both(acme) == everything
    assert await by_both(acme, channels=[], categories=[]) == everything
    assert await by_both(acme, channels=["PUSH"]) == picked(sent, channels=["PUSH"])
    assert await by_both(acme, channels=["EMAIL", "IN_APP", "EMAIL"]) == picked(
        sent, channels=["IN_APP", "EMAIL"]
    )
    assert await by_both(acme, categories=["PRODUCT"]) == picked(sent, categories=["PRODUCT"])
    assert await by_both(acme, channels=["SMS"]) == []
    assert await by_both(acme, categories=["SYSTEM"]) == []
    assert await by_both(acme, startTime=START.format(2)) == everything[:4]
    assert await by_both(acme, endTime=START.format(2)) == everything[3:]
    assert await by_both(acme, startTime="2027-01-15T10:00:02+02:00", endTime=START.format(2)) == [
        sent["PUSH", "TRANSACTIONAL"]
    ]
    assert await by_both(
        acme, channels=["PUSH"], categories=["PRODUCT"], startTime=START.format(1), endTime=START.format(5)
    ) == [sent["PUSH", "PRODUCT"]]


def picked(
    sent: dict[tuple[str, str], str], *, channels: Sequence[str] = (), categories: Sequence[str] = ()
) -> list[str]:
    """Return what matches, the newest first."""
    return [
        id_
        for (channel, category), id_ in reversed(sent.items())
        if channel in (channels or [channel]) and category in (categories or [category])
    ]


async def test_pages_hold_everything_once_by_number_and_by_cursor(house: House, acme: Acting) -> None:
    names = [f"user-{number}" for number in range(7)]
    body = {"userIds": names, "channel": "IN_APP", "content": {"title": "Hello"}}
    assert (await acme.rpc("manage/send-bulk", body)).status == 200
    numbered = [(await acme.rpc(RPC, {"page": page, "pageSize": 3})).json for page in (1, 2, 3, 4)]
    assert [len(page["activities"]) for page in numbered] == [3, 3, 1, 0]
    assert [(page["hasMore"], page["total"]) for page in numbered] == [
        (True, 7),
        (True, 7),
        (False, 7),
        (False, 7),
    ]
    found = [entry["userId"] for page in numbered for entry in page["activities"]]
    assert sorted(found) == names
    followed: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = await natively(acme, **query)
        followed += [entry["userId"] for entry in page["activities"]]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
        house.clock.advance(1)
        await send(acme, "newcomer", "IN_APP", "PRODUCT")  # moves no page that follows
    assert followed == found


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_page_by_number_begins_among_what_is_counted(acme: Acting, size: int) -> None:
    """The way to a page is counted, and nobody else is to wait for that of millions; it says how to go on."""
    await send(acme, "ann", "IN_APP", "PRODUCT")
    last = (MOST_COUNTED - 1) // size + 1
    there = await acme.rpc(RPC, {"page": last, "pageSize": size})
    assert (there.status, there["activities"], there["hasMore"], there["total"]) == (200, [], False, 1)
    for page in (last + 1, FURTHEST_PAGE):
        [fault] = (await acme.rpc(RPC, {"page": page, "pageSize": size}))["error"]["details"]
        assert (fault["path"], "endTime" in fault["fix"], ACTIVITY in fault["fix"]) == ("page", True, True)


async def test_what_is_wrong_is_named_all_at_once(acme: Acting) -> None:
    wrong = {
        "channels": ["FAX"],
        "categories": "PRODUCT",
        "startTime": "yesterday",
        "endTime": 5,
        "page": 0,
        "pageSize": 101,
    }
    answer = await acme.rpc(RPC, wrong)
    assert answer.status == 400
    paths = {fault["path"] for fault in answer["error"]["details"]}
    assert paths == {"channels[0]", "categories", "startTime", "endTime", "page", "pageSize"}
    wrong = {**wrong, "categories": "NEWS", "limit": "0", "cursor": "here"}
    answer = await natively(acme, **{name: _in_query(value) for name, value in wrong.items()})
    assert answer.status == 400
    assert set(answer.faults) == {
        "?channels[0]",
        "?categories[0]",
        "?startTime",
        "?endTime",
        "?limit",
        "?cursor",
    }


async def test_a_time_that_ends_before_it_begins_is_refused(acme: Acting) -> None:
    turned = {"startTime": START.format(2), "endTime": START.format(1)}
    answer = await acme.rpc(RPC, turned)
    assert answer.status == 400
    [fault] = answer["error"]["details"]
    assert (fault["path"], fault["reason"]) == ("endTime", "is before startTime")
    assert (await natively(acme, **turned)).faults == {"?endTime": "is before startTime"}
    moment = {"startTime": START.format(1), "endTime": START.format(1)}
    assert (await acme.rpc(RPC, moment)).status == 200
    alone = {"startTime": "soon", "endTime": START.format(1)}
    [fault] = (await acme.rpc(RPC, alone))["error"]["details"]
    assert fault["path"] == "startTime"


async def test_nobody_sees_another_tenants_activity_and_looking_makes_nothing(
    house: House, acme: Acting
) -> None:
    await send(acme, "ann", "IN_APP", "PRODUCT")
    before = await rows_of(house.pieces.db)
    for tenant in ("umbrella", "default", None):
        stranger = Acting(acme.api, tenant)
        assert (await stranger.rpc(RPC)).json == {
            "activities": [],
            "hasMore": False,
            "page": 1,
            "pageSize": 20,
            "total": 0,
        }
        assert (await natively(stranger)).json == {"activities": [], "nextCursor": None}
    assert await rows_of(house.pieces.db) == before


async def test_only_who_manages_a_tenant_may_look(house: House, admin: Person) -> None:
    ann = await house.register("ann")
    for api in (ann.api, await house.token(ann, "messages:read"), await house.token(admin, "gateway")):
        who = Acting(api)
        assert (await who.call("GET", ACTIVITY)).status in (400, 403)
        assert (await who.rpc(RPC)).status in (400, 403)
    assert (await admin.api.get(ACTIVITY)).status == 200


async def settle(house: House, event: Event, reason: str | None, provider_id: str | None = None) -> None:
    """End one attempt at what waits."""
    now = house.clock()

    async def job(tx: Transaction) -> None:
        await leases.claim(tx, "lease", now=now, until=now + 30_000, limit=500)
        batch = await leases.read_batch(tx, "lease")
        ended = [
            Settlement(one.id, one.device_id, event, reason, now, provider_id=provider_id)
            for one in batch.parcels
        ]
        assert len(await leases.settle(tx, "lease", ended, now, Times(now, now))) == 1

    await house.pieces.db.write(job)
