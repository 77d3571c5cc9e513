"""A relay that somebody else wrote from PROTOCOL.md serves `hushpost server`, and answers it in every good and bad way."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from tests.harness import second
from tests.harness.conservation import read_books
from tests.harness.foreign_answers import BAD, ids
from tests.harness.foreign_client import Http, Phone, new_link, pair, send, sign_up
from tests.harness.foreign_process import Running, free_port, until
from tests.harness.foreign_relay import Answer, Arrival, Home, Relay, relaying
from tests.harness.second import b64u, keyid_raw, unb64u

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = (768, 1536, 2304, 2944)
MONTH = 28 * 86_400
ANSWERS_WITHIN = 15
FIELDS = {"id", "handle", "envelope", "priority", "ttl", "collapse", "type"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay() -> AsyncIterator[Relay]:
    async with relaying(free_port()) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = Home(tmp_path_factory.mktemp("server"), free_port(), relay)
    await home.furnish()
    async with home.running() as started:
        yield started


@dataclass(frozen=True)
class Kept:
    """A server of its own with a phone; a push that its relay did not answer, and what came then, which it took."""

    home: Home
    server: Running
    phone: Phone
    person: Http
    unanswered: Arrival
    again: asyncio.Task[Arrival]


async def _take(relay: Relay) -> Arrival:
    arrival = await relay.arrival()
    arrival.accept()
    return arrival


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kept]:
    """Begun before every test, so that the wait for an answer is over sooner."""
    async with relaying(free_port()) as relay, aiohttp.ClientSession() as session:
        home = Home(tmp_path_factory.mktemp("kept"), free_port(), relay)
        await home.furnish()
        async with home.running() as server:
            person = await sign_up(session, server.url)
            phone = await pair(session, await new_link(person), suite=1)
            await send(person)
            unanswered = await relay.arrival()
            again = asyncio.create_task(_take(relay))
            yield Kept(home, server, phone, person, unanswered, again)
            again.cancel()
            await asyncio.wait([again])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(server: Running) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield await sign_up(session, server.url)


@pytest_asyncio.fixture(loop_scope="module")
async def person(account: Http, relay: Relay) -> AsyncIterator[Http]:
    """The account, which has no devices before a test and none after it; conservation holds after each."""
    yield account
    assert relay.arrivals.empty()
    for device in (await account.call("GET", "/api/v1/devices")).json["devices"]:
        assert (await account.call("DELETE", f"/api/v1/devices/{device['id']}")).status == 204
    books = read_books((await account.call("GET", "/metrics")).body.decode())
    assert books.balanced, books


@pytest_asyncio.fixture(loop_scope="module")
async def phone(person: Http) -> Phone:
    return await pair(person.session, await new_link(person), suite=2)


@pytest_asyncio.fixture(loop_scope="module")
async def second_phone(person: Http, phone: Phone) -> Phone:
    """Another one, of the same person."""
    assert phone.http.token
    return await pair(person.session, await new_link(person), suite=1)


async def device(person: Http, phone: Phone) -> dict[str, Any]:
    """The phone as its owner sees it."""
    listed = (await person.call("GET", "/api/v1/devices")).json["devices"]
    [found] = [one for one in listed if one["id"] == str(phone.id)]
    return dict(found)


async def test_a_request_is_signed_and_written_to_the_byte(
    person: Http, relay: Relay, phone: Phone, second_phone: Phone
) -> None:
    phones = {one.handle: one for one in (phone, second_phone)}
    id_ = await send(person, title="Hello", body="✓")
    arrival = await relay.arrival()
    assert b64u(keyid_raw(arrival.check())) == phone.link.keyid
    headers, params = arrival.message.headers, arrival.signature
    assert arrival.message.target_uri == relay.url + "/v1/push"
    assert headers["Content-Type"] == "application/json"
    assert "Content-Encoding" not in headers
    assert 0 < int(params["expires"]) - int(params["created"]) <= 60
    assert len(unb64u(params["nonce"].strip('"'))) == 16
    assert json.loads(arrival.body).keys() == {"pushes"}
    assert {push["handle"] for push in arrival.pushes} == phones.keys()
    for push in arrival.pushes:
        assert push.keys() == FIELDS
        assert (push["priority"], push["type"]) == ("high", "alert")
        assert str(UUID(push["id"])) == push["id"]
        assert UUID(push["id"]).version == 4
        assert len(unb64u(push["collapse"])) == 16
        assert MONTH - 5 <= push["ttl"] <= MONTH
        said = phones[push["handle"]].open(push["envelope"])
        assert (str(said.message_id), said.kind, said.sequence) == (id_, 1, 1)
        assert json.loads(said.body)["body"] == "✓"
    assert len({push["collapse"] for push in arrival.pushes}) == 2
    assert b"Hello" not in arrival.body
    assert b"default" not in arrival.body
    arrival.accept()


async def test_priority_type_and_collapse_follow_the_message_and_tell_nothing_of_it(
    person: Http, relay: Relay, phone: Phone
) -> None:
    seen = []
    for message in (
        {"deliveryType": "SILENT"},
        {"deliveryType": "CRITICAL"},
        {"collapseId": "order"},
        {"collapseId": "order"},
    ):
        await send(person, **message)
        arrival = await relay.arrival()
        seen += arrival.pushes
        arrival.accept()
    assert [(push["priority"], push["type"]) for push in seen] == [
        ("normal", "alert"),
        ("high", "alert"),
        ("high", "alert"),
        ("high", "alert"),
    ]
    assert seen[2]["collapse"] == seen[3]["collapse"]
    assert len({push["collapse"] for push in seen}) == 3
    assert [phone.open(push["envelope"]).sequence for push in seen] == [1, 2, 3, 4]


async def test_a_message_without_a_push_takes_no_number(person: Http, relay: Relay, phone: Phone) -> None:
    await send(person, deliveryType="NO_PUSH")
    await send(person)
    arrival = await relay.arrival()
    assert [phone.open(push["envelope"]).sequence for push in arrival.pushes] == [1]
    arrival.accept()


async def test_a_retraction_goes_out_in_the_background_with_the_head(
    person: Http, relay: Relay, phone: Phone
) -> None:
    id_ = await send(person)
    (await relay.arrival()).accept()
    assert (await person.call("DELETE", f"/api/v1/messages/{id_}")).status == 204
    arrival = await relay.arrival()
    [push] = arrival.pushes
    assert (push["priority"], push["type"]) == ("normal", "background")
    assert push.keys() == FIELDS
    said = phone.open(push["envelope"])
    assert (said.kind, said.sequence, json.loads(said.body)) == (2, 1, {"ids": [id_]})
    assert str(said.message_id) != id_
    arrival.accept()


async def test_a_browser_is_told_by_its_handle_and_gets_what_web_push_can_carry(
    person: Http, relay: Relay, phone: Phone
) -> None:
    wide = relay.handle(phone.link.keyid, web_push=True)
    assert (await phone.http.call("PUT", "/api/v1/device/handle", {"handle": wide})).status == 204
    id_ = await send(
        person, body=secrets.token_hex(250), tapUrl=f"https://example.com/{secrets.token_hex(900)}"
    )
    arrival = await relay.arrival()
    [push] = arrival.pushes
    assert push["handle"] == wide
    assert len(unb64u(push["envelope"])) <= 2304
    arrival.accept()
    assert (await person.call("DELETE", f"/api/v1/messages/{id_}")).status == 204
    id_ = await send(person)
    arrival = await relay.arrival()  # and not the retraction, which a browser cannot be told in silence
    assert [str(phone.open(push["envelope"]).message_id) for push in arrival.pushes] == [id_]
    arrival.accept()


async def test_each_attempt_is_the_same_push_under_a_fresh_signature(
    person: Http, relay: Relay, phone: Phone
) -> None:
    await send(person)
    first = await relay.arrival()
    first.reply(first.signed(first.outcomes("retry", retryAfter=2)))
    again = await relay.arrival()
    assert again.at - first.at >= 2
    again.check()
    assert again.signature["nonce"] != first.signature["nonce"]
    assert int(again.signature["created"]) > int(first.signature["created"])
    _is_same(first.pushes[0], again.pushes[0])
    assert again.pushes[0]["ttl"] < first.pushes[0]["ttl"]
    assert phone.open(again.pushes[0]["envelope"]) == phone.open(first.pushes[0]["envelope"])
    again.accept()


def _is_same(push: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("id", "handle", "priority", "collapse", "type"):
        assert push[name] == other[name], name


async def test_a_dead_handle_is_retired_and_a_new_one_brings_back_what_waited(
    person: Http, relay: Relay, phone: Phone
) -> None:
    missed = await send(person)
    arrival = await relay.arrival()
    arrival.reply(arrival.signed(arrival.outcomes("gone", reason="unregistered")))

    async def retired() -> bool:
        return not (await device(person, phone))["reachable"]

    await until(retired)
    assert (await device(person, phone))["handleFault"] == "unregistered"
    meanwhile = await send(person)
    fetched = await phone.fetch()
    assert [str(phone.open(row["envelope"]).message_id) for row in fetched["messages"]] == [missed, meanwhile]
    handle = relay.handle(phone.link.keyid)
    assert (await phone.http.call("PUT", "/api/v1/device/handle", {"handle": handle})).status == 204
    ids: list[str] = []
    while len(ids) < 2:
        arrival = await relay.arrival()
        assert {push["handle"] for push in arrival.pushes} == {handle}
        ids += [str(phone.open(push["envelope"]).message_id) for push in arrival.pushes]
        arrival.accept()
    assert sorted(ids) == sorted([missed, meanwhile])
    shown = await device(person, phone)
    assert (shown["reachable"], shown["handleFault"]) == (True, None)


async def test_old_news_of_a_handle_does_not_retire_the_new_one(
    person: Http, relay: Relay, phone: Phone
) -> None:
    await send(person)
    old = await relay.arrival()
    handle = relay.handle(phone.link.keyid)
    assert (await phone.http.call("PUT", "/api/v1/device/handle", {"handle": handle})).status == 204
    old.reply(old.signed(old.outcomes("gone", reason="handle_invalid")))
    again = await relay.arrival()
    assert again.pushes[0]["id"] == old.pushes[0]["id"]
    assert again.pushes[0]["handle"] == handle
    again.accept()
    assert (await device(person, phone))["reachable"]


async def test_the_next_attempt_is_sealed_to_the_key_of_then(
    person: Http, relay: Relay, phone: Phone
) -> None:
    await send(person)
    first = await relay.arrival()
    new = second.Device(1, secrets.token_bytes(32), phone.id)
    wanted = {"suite": new.suite, "publicKey": b64u(new.public)}
    assert (await phone.http.call("PUT", "/api/v1/device/key", wanted)).status == 204
    first.reply(first.signed(first.outcomes("retry")))
    again = await relay.arrival()
    _is_same(first.pushes[0], again.pushes[0])
    assert second.open_envelope(unb64u(again.pushes[0]["envelope"]), new, phone.server).sequence == 1
    again.accept()


@pytest.mark.parametrize("status", ["accepted", "retry"])
async def test_what_is_retracted_while_it_is_under_way_is_not_sent_again(
    person: Http, relay: Relay, phone: Phone, status: str
) -> None:
    id_ = await send(person)
    under_way = await relay.arrival()
    assert (await person.call("DELETE", f"/api/v1/messages/{id_}")).status == 204
    under_way.reply(under_way.signed(under_way.outcomes(status)))
    retraction = await relay.arrival()
    assert phone.open(retraction.pushes[0]["envelope"]).kind == 2
    retraction.accept()
    id_ = await send(person)
    arrival = await relay.arrival()
    assert [str(phone.open(push["envelope"]).message_id) for push in arrival.pushes] == [id_]
    arrival.accept()
    states = [row.get("state") for row in (await phone.fetch())["messages"]]
    assert states == ["cancelled", None]


async def test_a_phone_that_is_unpaired_while_a_push_is_under_way_gets_no_more(
    person: Http, relay: Relay, phone: Phone, second_phone: Phone
) -> None:
    await send(person)
    under_way = await relay.arrival()
    assert (await phone.http.call("DELETE", "/api/v1/device")).status == 204
    under_way.reply(under_way.signed(under_way.outcomes("retry")))
    again = await relay.arrival()
    assert [push["handle"] for push in again.pushes] == [second_phone.handle]
    again.accept()


async def test_a_rejected_push_keeps_the_device_and_tells_the_admin(
    person: Http, relay: Relay, phone: Phone, server: Running
) -> None:
    testing = asyncio.create_task(person.call("POST", f"/api/v1/devices/{phone.id}/test?wait=10"))
    arrival = await relay.arrival()
    arrival.reply(arrival.signed(arrival.outcomes("rejected", reason="wrong_topic")))
    tested = (await testing).json
    assert (tested["state"], tested["deliveryId"]) == ("failed", arrival.pushes[0]["id"])
    assert "wrong_topic" in {hop["reason"] for hop in tested["hops"]}
    assert (await device(person, phone))["reachable"]
    assert "wrong_topic" in server.said()
    [row] = (await phone.fetch())["messages"]
    assert str(phone.open(row["envelope"]).message_id) == tested["messageId"]


async def test_a_test_push_comes_back_with_every_hop(person: Http, relay: Relay, phone: Phone) -> None:
    testing = asyncio.create_task(person.call("POST", f"/api/v1/devices/{phone.id}/test?wait=10"))
    arrival = await relay.arrival()
    arrival.reply(arrival.signed(arrival.outcomes(providerId="provider-7", unknownField=1)))
    id_ = str(phone.open(arrival.pushes[0]["envelope"]).message_id)
    receipt = {"messageId": id_, "event": "received", "at": int(time.time() * 1000)}
    assert (await phone.http.call("POST", "/api/v1/device/receipts", {"receipts": [receipt]})).status == 202
    tested = (await testing).json
    assert (tested["state"], tested["attempts"], tested["providerId"]) == ("accepted", 1, "provider-7")
    assert [(hop["hop"], hop["outcome"]) for hop in tested["hops"]] == [
        ("server", "stored"),
        ("relay", "answered"),
        ("provider", "accepted"),
        ("device", "received"),
    ]


async def test_a_relay_that_starts_is_asked_again_soon_and_signed_anew(
    person: Http, relay: Relay, phone: Phone
) -> None:
    assert phone.handle
    await send(person)
    first = await relay.arrival()
    problem = json.dumps({"type": "about:blank", "status": 503, "code": "starting"}).encode()
    kind = {"Content-Type": "application/problem+json", "Retry-After": "1"}
    first.reply(Answer(503, problem, kind))
    again = await relay.arrival()
    assert 0.9 <= again.at - first.at < 5
    assert again.signature["nonce"] != first.signature["nonce"]
    _is_same(first.pushes[0], again.pushes[0])
    again.accept()


async def test_a_relay_that_asks_for_time_is_given_it(person: Http, relay: Relay, phone: Phone) -> None:
    assert phone.handle
    await send(person)
    first = await relay.arrival()
    problem = json.dumps({"type": "about:blank", "status": 429, "code": "limited"}).encode()
    first.reply(Answer(429, problem, {"Content-Type": "application/problem+json", "Retry-After": "2"}))
    again = await relay.arrival()
    assert again.at - first.at >= 2
    again.accept()


async def test_what_is_not_a_signed_answer_to_this_request_settles_nothing(
    account: Http, server: Running, relay: Relay
) -> None:
    """All at once: a relay that fails is left alone for a while, which is the same while for all of them.

    Each has a person of its own with two phones, since a phone is in one request at a time.
    """
    people = [await sign_up(account.session, server.url) for _ in BAD]
    phones = [[await pair(one.session, await new_link(one), suite=1) for _ in range(2)] for one in people]
    arrivals = []
    for person in people:
        await send(person)
        arrivals.append(await relay.arrival())
    for bad, arrival in zip(BAD.values(), arrivals, strict=True):
        assert len(arrival.pushes) == 2
        arrival.reply(bad(arrival))
    seen = {id_ for arrival in arrivals for id_ in ids(arrival)}
    again: list[str] = []
    while len(again) < len(seen):
        arrival = await relay.arrival()
        again += ids(arrival)
        arrival.accept()
    assert sorted(again) == sorted(seen)
    for person, owned in zip(people, phones, strict=True):
        for one in owned:
            assert (await device(person, one))["reachable"]
            fetched = await one.fetch()
            assert [row["sequence"] for row in fetched["messages"]] == [1]


async def test_the_key_that_was_seen_first_is_said_to_be_trusted(
    person: Http, relay: Relay, phone: Phone, server: Running
) -> None:
    assert phone.handle
    await send(person)
    (await relay.arrival()).accept()
    keyid = b64u(keyid_raw(second.identity_public(relay.seed)))

    async def said() -> bool:
        return keyid in server.said()

    await until(said)


async def test_no_answer_a_kill_and_a_new_key_of_the_relay_lose_nothing(kept: Kept) -> None:
    relay, person = kept.home.relay, kept.person
    late = await kept.again
    assert ANSWERS_WITHIN <= late.at - kept.unanswered.at < ANSWERS_WITHIN + 10
    _is_same(kept.unanswered.pushes[0], late.pushes[0])
    kept.unanswered.accept()
    for number in range(3):
        await send(person, title=f"Number {number}")
    under_way = await relay.arrival()
    kept.server.process.kill()
    await kept.server.process.wait()
    under_way.accept()
    while not relay.arrivals.empty():
        relay.arrivals.get_nowait().accept()
    relay.seeds.insert(0, secrets.token_bytes(32))  # vouched for by the one before
    opened: dict[int, str] = {}
    async with kept.home.running():
        while opened.keys() != {2, 3, 4}:
            arrival = await relay.arrival()
            opened |= {kept.phone.open(push["envelope"]).sequence: push["id"] for push in arrival.pushes}
            arrival.accept()
    assert {push["id"] for push in under_way.pushes} <= set(opened.values())
