"""What devices get of a file: each a claim of its own, sealed while it is fetched."""

import io
import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest

from crypto.claim import open_claim, sealed_size
from crypto.encoding import unb64u
from crypto.envelope import open_envelope
from server.config import AttachmentSettings, Settings
from tests.server.conftest import House, Person, Phone

MIB = 1 << 20
CONTENT = b"what the file holds " * 1000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(
        server=settings.server,
        accounts=settings.accounts,
        attachments=AttachmentSettings(max_bytes=10 * MIB, user_bytes=100 * MIB),
    )


async def attached(house: House, admin: Person, content: bytes = CONTENT) -> dict[str, Any]:
    """Send a message with a file to everybody in a bucket; what was answered, with the file's id."""
    headers = {"Authorization": f"Bearer {admin.access}", "Content-Type": "image/png"}
    url = f"{admin.api.url}/api/v1/attachments?name=a.bin"
    async with admin.api.session.post(url, data=io.BytesIO(content), headers=headers) as answer:
        assert answer.status == 201
        file = await answer.json()
    bucket = (await admin.api.get("/api/v1/buckets"))["buckets"][0]["id"]
    attachments = [{"mediaType": "IMAGE", "attachmentUuid": file["id"]}]
    sent = await house.send(admin.api, bucket, attachments=attachments)
    assert sent.status == 201, sent.body
    return dict(sent.json) | {"file": file["id"]}


async def shown(house: House, phone: Phone) -> tuple[UUID, dict[str, Any]]:
    """Return the frame id of the newest message, and its attachment, as a device fetches them."""
    newest = (await phone.api.get("/api/v1/device/messages"))["messages"][-1]
    frame = open_envelope(
        unb64u(newest["envelope"]),
        keys=[phone.key],
        device_id=UUID(phone.id),
        server=house.pieces.identity.public,
    )
    [attachment] = json.loads(frame.body)["attachments"]
    return frame.message_id, attachment


def opened(blob: bytes, frame_id: UUID, phone: Phone, claim: dict[str, Any]) -> bytes:
    return open_claim(
        blob,
        message_id=frame_id,
        device_id=UUID(phone.id),
        key=unb64u(claim["key"]),
        sha256=unb64u(claim["sha256"]),
        size=claim["size"],
    )


async def test_each_device_opens_its_own_claim_and_cannot_have_anothers(house: House, admin: Person) -> None:
    phones = [await house.phone(admin), await house.phone(admin)]
    await attached(house, admin)
    given = [(phone, *await shown(house, phone)) for phone in phones]
    keys, blobs = set(), set()
    for phone, frame_id, attachment in given:
        assert attachment.keys() == {"mediaType", "name", "claim"}
        assert (attachment["mediaType"], attachment["name"]) == ("IMAGE", "a.bin")
        path = f"/api/v1/device/claims/{attachment['claim']['id']}"
        answer = await phone.api.get(path)
        assert answer.headers["Content-Length"] == str(sealed_size(len(CONTENT)))
        assert opened(answer.body, frame_id, phone, attachment["claim"]) == CONTENT
        [other] = [one for one in phones if one is not phone]
        assert (await other.api.get(path)).code == "claim_not_found"
        keys.add(attachment["claim"]["key"])
        blobs.add(answer.body)
    assert len(keys) == len(blobs) == 2


async def test_every_fetch_names_the_same_claim_and_brings_the_same_bytes(
    house: House, admin: Person
) -> None:
    phone = await house.phone(admin)
    await attached(house, admin)
    _, first = await shown(house, phone)
    _, second = await shown(house, phone)
    assert first == second
    path = f"/api/v1/device/claims/{first['claim']['id']}"
    assert (await phone.api.get(path)).body == (await phone.api.get(path)).body


@pytest.mark.parametrize("size", [0, 1])
async def test_the_smallest_files_are_claimed_too(house: House, admin: Person, size: int) -> None:
    phone = await house.phone(admin)
    await attached(house, admin, b"x" * size)
    frame_id, attachment = await shown(house, phone)
    blob = (await phone.api.get(f"/api/v1/device/claims/{attachment['claim']['id']}")).body
    assert opened(blob, frame_id, phone, attachment["claim"]) == b"x" * size


async def test_ten_mebibytes_are_never_in_memory_at_once(house: House, admin: Person) -> None:
    phone = await house.phone(admin)
    await attached(house, admin, bytes(10 * MIB))
    tracemalloc.start()
    _, attachment = await shown(house, phone)
    sealing = tracemalloc.get_traced_memory()[1]
    headers = {"Authorization": f"Bearer {phone.token}"}
    url = f"{phone.api.url}/api/v1/device/claims/{attachment['claim']['id']}"
    tracemalloc.reset_peak()
    received = 0
    async with phone.api.session.get(url, headers=headers) as answer:
        async for chunk in answer.content.iter_chunked(1 << 16):
            received += len(chunk)
    fetching = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert received == sealed_size(10 * MIB)
    assert max(sealing, fetching) < 5 * MIB


async def test_without_the_file_the_message_goes_with_the_name_alone(house: House, admin: Person) -> None:
    phone = await house.phone(admin)
    sent = await attached(house, admin)
    house.pieces.sealer.files.path(sent["file"]).unlink()
    _, attachment = await shown(house, phone)
    assert attachment == {"mediaType": "IMAGE", "name": "a.bin"}
    warnings = [entry for entry in house.log.entries if entry["log_level"] == "warning"]
    assert [entry["attachments"] for entry in warnings if "attachments" in entry] == [[sent["file"]]]


async def test_a_claim_whose_file_is_lost_later_is_not_found(house: House, admin: Person) -> None:
    phone = await house.phone(admin)
    sent = await attached(house, admin)
    _, attachment = await shown(house, phone)
    house.pieces.sealer.files.path(sent["file"]).unlink()
    answer = await phone.api.get(f"/api/v1/device/claims/{attachment['claim']['id']}")
    assert (answer.status, answer.code) == (404, "claim_not_found")


async def test_a_claim_ends_with_its_message(house: House, admin: Person) -> None:
    phone = await house.phone(admin)
    sent = await attached(house, admin)
    _, attachment = await shown(house, phone)
    await admin.api.delete(f"/api/v1/messages/{sent['id']}")
    answer = await phone.api.get(f"/api/v1/device/claims/{attachment['claim']['id']}")
    assert answer.code == "claim_not_found"


async def test_a_device_without_a_key_is_given_the_files_id_and_may_have_it(
    house: House, admin: Person
) -> None:
    phone = await house.phone(admin)
    await house.pieces.db.write(lambda tx: tx.run("UPDATE devices SET suite = NULL, public_key = NULL"))
    sent = await attached(house, admin)
    [message] = (await phone.api.get("/api/v1/device/messages"))["messages"]
    assert message["message"]["body"]["attachments"] == [
        {"mediaType": "IMAGE", "name": "a.bin", "attachmentUuid": sent["file"]}
    ]
    assert (await phone.api.get(f"/api/v1/attachments/{sent['file']}")).body == CONTENT
