"""What `hushpost server` makes of the answers of a relay that somebody else wrote from PROTOCOL.md, good and bad, and of none."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from tests.flows.conftest import device, is_same
from tests.harness import second
from tests.harness.foreign_answers import BAD, ids
from tests.harness.foreign_client import Http, Phone, new_link, pair, send, sign_up
from tests.harness.foreign_process import Running, until
from tests.harness.foreign_relay import Answer, Arrival, Home, Relay, relaying
from tests.harness.ports import free_port
from tests.harness.second import b64u, keyid_raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERS_WITHIN = 15


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
    is_same(first.pushes[0], again.pushes[0])
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
    is_same(kept.unanswered.pushes[0], late.pushes[0])
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
