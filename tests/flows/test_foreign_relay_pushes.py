"""What `hushpost server` asks of a relay that somebody else wrote from PROTOCOL.md: every push, and every attempt at it."""

import json
import secrets
from uuid import UUID

import pytest

from tests.flows.conftest import is_same
from tests.harness import second
from tests.harness.foreign_client import Http, Phone, send
from tests.harness.foreign_relay import Relay
from tests.harness.second import b64u, keyid_raw, unb64u

pytestmark = pytest.mark.asyncio(loop_scope="module")

MONTH = 28 * 86_400
FIELDS = {"id", "handle", "envelope", "priority", "ttl", "collapse", "type"}


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
    is_same(first.pushes[0], again.pushes[0])
    assert again.pushes[0]["ttl"] < first.pushes[0]["ttl"]
    assert phone.open(again.pushes[0]["envelope"]) == phone.open(first.pushes[0]["envelope"])
    again.accept()


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
    is_same(first.pushes[0], again.pushes[0])
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
