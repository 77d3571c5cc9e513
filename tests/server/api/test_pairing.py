"""Pairing: the code, the link, the signed answers, and everything that can be wrong with it."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest

from crypto.encoding import b64u, unb64u
from crypto.httpsig import (
    DIRECTORY,
    IDENTITY,
    PAIR,
    SignatureFault,
    content_digest,
    request_context,
    verify_answer,
    verify_directory,
)
from crypto.keys import DeviceKey, DevicePublicKey, IdentityPublicKey, Suite, fingerprint
from tests.server.conftest import PUBLIC_URL, House, Person

PAIRING = "/api/v1/devices/pair"
CODES = "/api/v1/devices/pairing-codes"
BAD_KEYS = json.loads((Path(__file__).parents[2] / "vectors/x25519_bad_public_keys.json").read_text())["keys"]


async def test_a_link_holds_what_a_device_needs(house: House, admin: Person) -> None:
    """The server, its key id, the code and the relay; as a QR code too."""
    made = (await admin.api.post(CODES)).json
    link = urlsplit(made["link"])
    assert (link.scheme, link.netloc) == ("hushpost", "pair")
    assert parse_qs(link.query) == {
        "s": [PUBLIC_URL],
        "k": [house.pieces.identity.public.id],
        "c": [made["code"]],
        "r": ["https://relay.example.org"],
    }
    assert len(unb64u(made["code"])) == 16
    assert made["expiresAt"] == "2027-01-15T08:10:00.000Z"
    assert ET.fromstring(made["qr"]).tag.endswith("svg")  # noqa: S314 - our own server's


async def test_the_identity_is_signed_for_this_question(house: House) -> None:
    """The whole address, the nonce with it, is under the signature."""
    path = f"/api/v1/identity?nonce={b64u(house.random(16))}"
    answer = await house.api.get(path)
    assert answer.status == 200
    key = IdentityPublicKey(unb64u(answer["serverKey"], 32))
    assert key == house.pieces.identity.public

    def verify(target: str) -> None:
        verify_answer(
            IDENTITY,
            keys=[key],
            status=200,
            headers=answer.headers.items(),
            body=answer.body,
            request=request_context("GET", target, []),
            now=house.clock() / 1000,
        )

    verify(PUBLIC_URL + path)
    with pytest.raises(SignatureFault, match="signature_invalid"):
        verify(PUBLIC_URL + path + "x")
    for nonce in ("", "?nonce=", "?nonce=abc", f"?nonce={b64u(b'x' * 17)}"):
        assert (await house.api.get(f"/api/v1/identity{nonce}")).faults.keys() == {"?nonce"}


async def test_the_directory_is_signed_by_the_key_that_it_lists(house: House) -> None:
    """As a relay or a device reads it."""
    path = "/.well-known/http-message-signatures-directory"
    answer = await house.api.get(path)
    listed = verify_directory(
        trusted=[house.pieces.identity.public],
        status=answer.status,
        headers=answer.headers.items(),
        body=answer.body,
        target_uri=PUBLIC_URL + path,
        now=house.clock() / 1000,
    )
    assert listed == [house.pieces.identity.public]
    assert DIRECTORY.tag in answer.headers["Signature-Input"]


@pytest.mark.parametrize("suite", list(Suite))
async def test_a_device_pairs_once_with_a_signed_answer(house: House, admin: Person, suite: Suite) -> None:
    """In both suites; both sides can show the same fingerprint."""
    key = DeviceKey.generate(suite, house.random)
    body = await house.pairing(admin, suite=suite.value, publicKey=b64u(key.public.raw))
    raw = json.dumps(body).encode()
    headers = {"Content-Digest": content_digest(raw)}
    answer = await house.api.call("POST", PAIRING, raw=raw, headers=headers)
    assert answer.status == 201
    assert answer.json.keys() == {"deviceId", "deviceToken", "serverKey", "head"}
    assert answer["head"] == 0
    verify_answer(
        PAIR,
        keys=[IdentityPublicKey(unb64u(answer["serverKey"], 32))],
        status=201,
        headers=answer.headers.items(),
        body=answer.body,
        request=request_context("POST", PUBLIC_URL + PAIRING, headers.items()),
        now=house.clock() / 1000,
    )
    assert answer["deviceToken"].startswith("hpd_")
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert shown["id"] == answer["deviceId"]
    assert shown["reachable"] is True
    assert shown["fingerprint"] == fingerprint(
        house.pieces.identity.public, DevicePublicKey(suite, key.public.raw)
    )
    again = await house.api.call("POST", PAIRING, raw=raw, headers=headers)
    assert (again.status, again.code) == (403, "pairing_code_invalid")


async def test_a_code_is_good_for_ten_minutes(house: House, admin: Person) -> None:
    """To the millisecond, and not afterwards."""
    early, late = await house.pairing(admin), await house.pairing(admin)
    house.clock.advance(600_000 - 1)
    assert (await house.post_pairing(early)).status == 201
    house.clock.advance(1)
    assert (await house.post_pairing(late)).code == "pairing_code_invalid"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
@pytest.mark.parametrize("code", ["", "A" * 22, "not a code", "é"])
async def test_a_wrong_code_is_refused(house: House, admin: Person, code: str) -> None:
    """Whatever it looks like."""
    answer = await house.post_pairing(await house.pairing(admin, code=code or "-"))
    assert (answer.status, answer.code) == (403, "pairing_code_invalid")


async def test_the_digest_must_be_the_bodys(house: House, admin: Person) -> None:
    """Missing, wrong, or of another algorithm; the code is still good afterwards."""
    body = await house.pairing(admin)
    raw = json.dumps(body).encode()
    for digest in (None, content_digest(raw + b" "), "sha-512=:AAAA:", "nonsense"):
        headers = {} if digest is None else {"Content-Digest": digest}
        answer = await house.api.call("POST", PAIRING, raw=raw, headers=headers)
        assert answer.status == 400
        assert answer.faults.keys() == {"Content-Digest"}
    assert (await house.post_pairing(body)).status == 201


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
@pytest.mark.parametrize("bad", BAD_KEYS, ids=lambda bad: f"tc{bad['tcId']}")
async def test_a_key_of_small_order_is_refused(house: House, admin: Person, bad: dict[str, Any]) -> None:
    """In both suites: X-Wing's last 32 bytes are such a point too."""
    point = bytes.fromhex(bad["public"])
    wing = DeviceKey.generate(Suite.XWING, house.random).public.raw[:-32] + point
    for suite, raw in ((1, point), (2, wing)):
        answer = await house.post_pairing(await house.pairing(admin, suite=suite, publicKey=b64u(raw)))
        assert answer.status == 400
        assert "small order" in answer.faults["publicKey"]


async def test_faults_of_a_pairing_are_all_named_and_cost_no_code(house: House, admin: Person) -> None:
    """None of them repeats a handle or a key."""
    good = await house.pairing(admin)
    bad = {"code": good["code"], "name": "a\nb", "suite": 3, "publicKey": "x", "handle": "nonsense!"}
    answer = await house.post_pairing(bad)
    assert answer.faults.keys() == {"name", "platform", "suite", "handle"}
    assert b"nonsense" not in answer.body
    assert (await house.post_pairing(good)).status == 201


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
@pytest.mark.parametrize(
    "handle",
    [
        b64u(b"\x02" + bytes(544)),
        b64u(b"\x01" + bytes(543)),
        base64.b64encode(b"\x01" + b"\xff" * 544).decode(),
        b64u(b"\x01" + bytes(544)) + "=",
        "fcm-token:looks-like-this",
    ],
)
async def test_what_is_no_handle_is_refused(house: House, admin: Person, handle: str) -> None:
    """A raw push token above all: a server must never hold one."""
    answer = await house.post_pairing(await house.pairing(admin, handle=handle))
    assert answer.faults.keys() == {"handle"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
@pytest.mark.parametrize(
    ("suite", "key"),
    [(1, b64u(bytes(31) + b"\x09")[:-1]), (1, b64u(bytes(1216))), (2, b64u(bytes(32))), (1.5, "AA")],
)
async def test_a_key_of_another_form_is_refused(house: House, admin: Person, suite: float, key: str) -> None:
    """Length and suite belong together."""
    answer = await house.post_pairing(await house.pairing(admin, suite=suite, publicKey=key))
    assert answer.status == 400
    assert answer.faults.keys() <= {"publicKey", "suite"}


async def test_of_two_that_use_a_code_at_once_one_is_paired(house: House, admin: Person) -> None:
    """A code is good once, however close they come."""
    body = await house.pairing(admin)
    answers = await asyncio.gather(*(house.post_pairing(body) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 403, 403, 403]


async def test_a_device_is_renamed_by_its_user_alone(house: House, admin: Person) -> None:
    """Another's device does not exist."""
    phone, other = await house.phone(admin), await house.register("other")
    place = f"/api/v1/devices/{phone.id}"
    renamed = await admin.api.patch(place, {"name": "Work phone"})
    assert (renamed.status, renamed["name"]) == (200, "Work phone")
    assert [one["name"] for one in (await admin.api.get("/api/v1/devices"))["devices"]] == ["Work phone"]
    assert (await admin.api.patch(place, {})).faults == {"name": "is missing"}
    assert (await other.api.patch(place, {"name": "Mine"})).code == "not_found"
