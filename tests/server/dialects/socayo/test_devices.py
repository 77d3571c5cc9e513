"""Devices that are registered by their push tokens: the relay makes the handle, one phone has one owner, no token is kept."""

import asyncio
from typing import Any

import pytest

from crypto.encoding import b64u
from crypto.keys import DeviceKey, Suite
from server.commands.derive import PUSH_TOKENS, derive
from server.commands.push_devices import MOST_DEVICES
from server.domain.delivery import State
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import Person
from tests.server.dialects.socayo import registering
from tests.server.dialects.socayo.registering import (
    OTHER_TOKEN,
    TOKEN,
    Place,
    assert_refused,
    is_balanced,
)

settings, place = registering.settings, registering.place


async def test_a_push_token_becomes_a_handle_bound_to_this_server(place: Place) -> None:
    """The user is made, the token is gone: what is kept is the handle and by what it is known again."""
    answer = await place.register()
    assert answer.status == 200
    assert {**answer.json, "deviceToken": ""} == {
        "deviceId": "phone-1",
        "registered": True,
        "deviceToken": "",
        "id": answer["id"],
        "head": 0,
    }
    device = await place.device()
    claims = place.claims(device["handle"])
    assert (claims.provider, claims.app, claims.environment) == ("fcm", "hushpost-app", "production")
    assert (claims.token, claims.server) == (TOKEN, place.house.pieces.identity.public.id)
    assert (device["owner"], device["platform"], device["external_id"]) == ("ann", "android", "phone-1")
    assert (device["suite"], device["public_key"], device["key_set_at"]) == (None, None, None)
    assert (await place.fetch(answer["deviceToken"]))["messages"] == []


async def test_the_push_token_is_neither_kept_nor_logged(place: Place) -> None:
    device_token = await place.registered()
    await place.ann.rpc("unregister-push-device", {"fcmToken": OTHER_TOKEN})
    await place.register(fcmToken="not a token " + TOKEN)
    everything = repr(await rows_of(place.house.pieces.db)) + repr(place.house.log.entries)
    for secret in (TOKEN, OTHER_TOKEN, device_token):
        assert secret not in everything
    key = derive(place.house.pieces.secret, PUSH_TOKENS)
    assert TOKEN.encode() not in key
    assert len((await place.device())["push_hash"]) == 32


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"fcmToken": "is missing", "platform": "is missing", "deviceId": "is missing"}),
        ({"fcmToken": "a b", "platform": "ios", "deviceId": ""},
         {"fcmToken": "holds what no push token has", "platform": "is none of the known words", "deviceId": "is empty"}),
        ({"fcmToken": TOKEN, "platform": "IOS", "deviceId": "d", "publicKey": "AAAA"}, {"suite": "is missing"}),
        ({"fcmToken": TOKEN, "platform": "IOS", "deviceId": "d", "suite": 1}, {"publicKey": "is missing"}),
        ({"fcmToken": TOKEN, "platform": "IOS", "deviceId": "d", "suite": 1, "publicKey": "AAAA"},
         {"publicKey": "is not a usable key"}),
        ({"fcmToken": TOKEN, "platform": "IOS", "deviceId": "d", "suite": 3, "publicKey": "AAAA"},
         {"suite": "is out of range"}),
        ({"handle": "AAAA", "platform": "IOS", "deviceId": "d"}, {"handle": "has 3 bytes"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_a_registration_that_cannot_be_is_refused_with_every_fault(
    place: Place, body: dict[str, Any], wrong: dict[str, str]
) -> None:
    before = await rows_of(place.house.pieces.db)
    refused = await place.ann.rpc("register-push-device", body)
    found = {fault["path"]: fault["reason"] for fault in refused["error"]["details"]}
    assert refused.status == 400
    assert found.keys() == wrong.keys()
    assert all(found[path].startswith(reason) for path, reason in wrong.items()), found
    assert await rows_of(place.house.pieces.db) == before


async def test_registering_again_keeps_the_device_and_renews_all_that_leads_to_it(place: Place) -> None:
    """The device's token too: the one before is worthless."""
    key = b64u(DeviceKey.generate(Suite.X25519, place.house.random).public.raw)
    first = await place.registered(name="Ann's phone", suite=1, publicKey=key)
    await place.send("ann")
    before = await place.device()
    place.house.clock.advance(1000)
    second = await place.registered(fcmToken=OTHER_TOKEN, suite=1, publicKey=key)
    after = await place.device()
    assert {name for name in after if after[name] != before[name]} == {
        "handle",
        "handle_set_at",
        "push_hash",
        "token_hash",
    }
    assert place.claims(after["handle"]).token == OTHER_TOKEN
    assert ((await place.fetch(first)).status, (await place.fetch(second)).status) == (401, 200)
    assert len((await place.fetch(second))["messages"]) == 1


async def test_who_registers_without_a_key_is_only_woken_from_then_on(place: Place) -> None:
    """An app that was installed anew has lost its key: nothing is sealed to it any more."""
    key = b64u(DeviceKey.generate(Suite.XWING, place.house.random).public.raw)
    token = await place.registered(suite=2, publicKey=key)
    await place.send("ann")
    assert "envelope" in (await place.fetch(token))["messages"][0]
    token = await place.registered()
    assert (await place.fetch(token))["messages"][0]["message"]["body"]["title"] == "Hello"
    device = await place.device()
    assert (device["suite"], device["public_key"], device["key_set_at"]) == (None, None, None)


async def test_registering_again_has_what_waits_go_out(place: Place) -> None:
    """What came while the phone's token was dead is not lost."""
    await place.registered()
    message = await place.send("ann")
    set_state = "UPDATE deliveries SET state = 'gone', settled_at = 1"
    await place.house.pieces.db.write(lambda tx: tx.run("UPDATE devices SET handle = NULL"))
    await place.house.pieces.db.write(lambda tx: tx.run(set_state))
    await place.house.pieces.db.write(
        lambda tx: tx.run("UPDATE delivery_tallies SET gone = waiting, waiting = 0 WHERE waiting > 0")
    )
    woken = place.house.wakes.count
    await place.registered()
    [delivery] = await place.house.deliveries(message_id=message)
    assert delivery["state"] == State.QUEUED
    assert place.house.wakes.count > woken


async def test_a_device_with_a_new_name_is_the_same_by_its_token(place: Place) -> None:
    await place.registered(deviceId="before")
    before = await place.device()
    await place.registered(deviceId="after")
    after = await place.device()
    assert (after["id"], after["external_id"]) == (before["id"], "after")


async def test_a_phone_is_registered_once_for_one_user(place: Place) -> None:
    """Where the token of one registration is registered under the name of another, that one stays."""
    await place.registered(deviceId="one")
    await place.registered(deviceId="two", fcmToken=OTHER_TOKEN)
    await place.send("ann")
    await place.registered(deviceId="two")
    device = await place.device()
    assert (device["external_id"], place.claims(device["handle"]).token) == ("two", TOKEN)
    assert len(await place.house.deliveries(channel="PUSH")) == 1
    assert await is_balanced(place.house)


async def test_a_phone_that_is_handed_on_gets_nothing_of_the_others_any_more(place: Place) -> None:
    """Its old owner keeps a device that nothing reaches, and what came by then stays unread there."""
    bob = place.ann.for_user("bob")
    of_ann = await place.registered()
    earlier = await place.send("ann")
    of_bob = await place.registered(bob, deviceId="bobs-phone")
    later = await place.send("ann", "bob")
    anns, bobs = await place.devices()
    assert (anns["owner"], anns["handle"], anns["handle_fault"], anns["push_hash"]) == (
        "ann",
        None,
        "moved",
        None,
    )
    assert (bobs["owner"], place.claims(bobs["handle"]).token) == ("bob", TOKEN)
    assert (await place.fetch(of_ann)).status == 401
    fetched = (await place.fetch(of_bob))["messages"]
    assert [one["message"]["id"] for one in fetched] == [later]
    assert len(await place.house.deliveries(message_id=earlier)) == 1
    assert (await place.channels())["PUSH"] == (False, 0)
    assert (await place.channels(bob))["PUSH"] == (True, 1)


async def test_a_phone_that_comes_back_is_its_owners_device_again(place: Place) -> None:
    """As where two people take turns at one phone: what came meanwhile goes out then."""
    bob = place.ann.for_user("bob")
    await place.registered()
    await place.registered(bob)
    message = await place.send("ann")
    token = await place.registered()
    anns, bobs = await place.devices()
    assert (bobs["handle"], bobs["handle_fault"]) == (None, "moved")
    assert (anns["handle_fault"], place.claims(anns["handle"]).token) == (None, TOKEN)
    [fetched] = (await place.fetch(token))["messages"]
    assert fetched["message"]["id"] == message


async def test_of_many_who_register_one_phone_at_once_one_has_it(place: Place) -> None:
    names = ["ann", "bob", "cem", "dan"]
    answers = await asyncio.gather(*(place.register(place.ann.for_user(name)) for name in names))
    assert {answer.status for answer in answers} == {200}
    reachable = [device for device in await place.devices() if device["handle"] is not None]
    assert len(reachable) == 1
    assert len(await place.devices()) == 4


async def test_a_device_that_is_registered_many_times_at_once_is_one(place: Place) -> None:
    answers = await asyncio.gather(*(place.register() for _ in range(6)))
    assert {answer.status for answer in answers} == {200}
    assert len(await place.devices()) == 1
    good = [(await place.fetch(answer["deviceToken"])).status for answer in answers]
    assert sorted(good) == [200, 401, 401, 401, 401, 401]


async def test_whatever_happens_at_once_a_phone_has_one_owner_and_nothing_is_lost(place: Place) -> None:
    """Phones change hands, are signed out of and are sent to, all at the same time."""
    names, tokens = ["ann", "bob", "cem"], [TOKEN, OTHER_TOKEN]
    for name in names:
        await update_nothing(place.ann.for_user(name))

    async def register(name: str, token: str, device: str) -> int:
        who, handle = place.ann.for_user(name), place.house.handle()
        return (await place.register(who, fcmToken=token, deviceId=device, handle=handle)).status

    async def unregister(name: str, token: str) -> int:
        who = place.ann.for_user(name)
        return (await who.rpc("unregister-push-device", {"fcmToken": token})).status

    async def send() -> int:
        await place.send(*names)
        return 200

    for _ in range(3):
        done = await asyncio.gather(
            *(register(name, token, device) for name in names for token in tokens for device in ("a", "b")),
            *(unregister(name, token) for name in names for token in tokens),
            *(send() for _ in range(6)),
        )
        assert set(done) == {200}
    known = [device["push_hash"] for device in await place.devices() if device["push_hash"]]
    assert len(known) == len(set(known)) <= len(tokens)
    reachable = [device for device in await place.devices() if device["handle"]]
    assert len(reachable) == len(known)
    assert await is_balanced(place.house)


async def update_nothing(who: Acting) -> None:
    """Make a user of whom there is nothing yet."""
    wanted = {"channel": "PUSH", "enabled": True}
    assert (await who.rpc("update-preferences", wanted)).status == 200


async def test_another_tenant_learns_nothing_and_takes_nothing(place: Place) -> None:
    """The same token and name there is another registration: neither sees, ends or counts the other's."""
    stranger = Acting(place.ann.api, "other", "ann")
    mine = await place.registered()
    theirs = await place.registered(stranger)
    first, second = await place.devices()
    assert first["push_hash"] != second["push_hash"]
    assert ((await place.fetch(mine)).status, (await place.fetch(theirs)).status) == (200, 200)
    for body in ({"fcmToken": TOKEN}, {"deviceId": "phone-1"}):
        await place.registered(stranger)
        assert (await stranger.rpc("unregister-push-device", body)).json == {"unregistered": True}
    assert (await place.channels())["PUSH"] == (True, 1)
    assert (await place.channels(stranger))["PUSH"] == (False, 0)
    assert (await place.fetch(mine)).status == 200


@pytest.mark.parametrize("by", [{"fcmToken": TOKEN}, {"deviceId": "phone-1"}, {"fcmToken": OTHER_TOKEN, "deviceId": "phone-1"}])  # fmt: skip
async def test_a_device_is_unregistered_with_all_that_waits_for_it(place: Place, by: dict[str, str]) -> None:
    """By its token or its name; a second time there is nothing to do, and that is no error."""
    token = await place.registered()
    await place.send("ann")
    assert (await place.ann.rpc("unregister-push-device", by)).json == {"unregistered": True}
    assert await place.devices() == []
    assert (await place.fetch(token)).status == 401
    assert await place.house.deliveries(channel="PUSH") == []
    assert await is_balanced(place.house)
    answer = await place.ann.rpc("unregister-push-device", by)
    assert (answer.status, answer.json) == (200, {"unregistered": False})


async def test_nobody_unregisters_what_is_anothers(place: Place) -> None:
    await place.registered()
    bob = place.ann.for_user("bob")
    for body in ({"fcmToken": TOKEN}, {"deviceId": "phone-1"}):
        assert (await bob.rpc("unregister-push-device", body)).json == {"unregistered": False}
    assert (await place.channels())["PUSH"] == (True, 1)
    assert [user for user in (await rows_of(place.house.pieces.db))["users"] if "bob" in user] == []


async def test_what_to_unregister_must_be_said(place: Place) -> None:
    refused = await place.ann.rpc("unregister-push-device")
    assert (refused.status, [one["path"] for one in refused["error"]["details"]]) == (400, ["fcmToken"])


async def test_channels_count_what_can_be_reached(place: Place) -> None:
    """Of somebody unknown there is nothing, and asking makes nobody."""
    before = await rows_of(place.house.pieces.db)
    nothing = dict.fromkeys(("PUSH", "IN_APP", "EMAIL", "SMS", "CHAT"), (False, 0))
    assert await place.channels() == nothing
    assert await rows_of(place.house.pieces.db) == before
    await place.registered()
    await place.registered(deviceId="phone-2", fcmToken=OTHER_TOKEN)
    assert await place.channels() == {**nothing, "PUSH": (True, 2), "IN_APP": (True, 1)}
    await place.house.pieces.db.write(
        lambda tx: tx.run("UPDATE devices SET handle = NULL WHERE external_id = 'phone-2'")
    )
    assert await place.channels() == {**nothing, "PUSH": (True, 1), "IN_APP": (True, 1)}


async def test_a_deleted_users_phone_is_not_registered(place: Place) -> None:
    """Where they are deleted while the relay is asked: nothing of theirs comes back."""
    await place.registered()
    asked = place.house.wakes.handles
    assert asked is not None

    async def ask_and_delete(*given: Any) -> str:
        deleted = "UPDATE users SET deleted_at = 1, external_id = NULL WHERE external_id = 'ann'"
        await place.house.pieces.db.write(lambda tx: tx.run("DELETE FROM devices"))
        await place.house.pieces.db.write(lambda tx: tx.run(deleted))
        return await asked(*given)

    place.house.wakes.handles = ask_and_delete
    refused = await place.register()
    assert_refused(refused, 404, "user_not_found")
    assert await place.devices() == []


async def test_people_who_are_signed_in_register_their_own_and_see_it_among_their_devices(
    place: Place, admin: Person
) -> None:
    house = place.house
    me = Acting(admin.api)
    await place.registered(me, platform="ANDROID", handle=house.handle())
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert (shown["name"], shown["platform"], shown["externalId"]) == ("Android device", "android", "phone-1")
    assert (shown["reachable"], shown["suite"], shown["fingerprint"]) == (True, None, None)
    assert (shown["keySetAt"], shown["handleFault"]) == (None, None)
    key = b64u(DeviceKey.generate(Suite.X25519, house.random).public.raw)
    await place.registered(me, name="Ada's", suite=1, publicKey=key)
    await place.registered(place.ann)
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert (shown["name"], shown["suite"], shown["keySetAt"] is None) == ("Ada's", 1, False)
    paired = await house.phone(admin)
    listed = (await admin.api.get("/api/v1/devices"))["devices"]
    assert [one["externalId"] for one in listed if one["id"] == paired.id] == [None]


async def test_a_user_has_so_many_devices(place: Place) -> None:
    """However they are registered at once; another user has none fewer, and whoever is there may be registered again."""
    names = [f"phone-{number}" for number in range(MOST_DEVICES + 5)]

    async def register(name: str) -> Reply:
        return await place.register(fcmToken=None, deviceId=name, handle=place.house.handle())

    answers = await asyncio.gather(*map(register, names))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == 5
    assert {(answer.status, answer["error"]["code"]) for answer in refused} == {(409, "devices_full")}
    [first, *_] = [name for name, answer in zip(names, answers, strict=True) if answer.status == 200]
    assert (await register(first)).status == 200
    assert len(await place.devices()) == MOST_DEVICES
    ben = place.ann.for_user("ben")
    assert (await place.register(ben, fcmToken=None, deviceId="x", handle=place.house.handle())).status == 200


async def test_what_reaches_nobody_makes_room(place: Place) -> None:
    for number in range(MOST_DEVICES):
        await place.registered(fcmToken=None, deviceId=f"phone-{number}", handle=place.house.handle())
    sql = "UPDATE devices SET handle = NULL, handle_fault = 'gone' WHERE external_id = 'phone-7'"
    await place.house.pieces.db.write(lambda tx: tx.run(sql))
    more: dict[str, Any] = {"fcmToken": None, "handle": place.house.handle()}
    assert (await place.register(deviceId="new", **more)).status == 200
    assert (await place.register(deviceId="newer", **more)).status == 409
    names = {row["external_id"] for row in await place.devices()}
    assert names == {"new", *(f"phone-{number}" for number in range(MOST_DEVICES))} - {"phone-7"}
