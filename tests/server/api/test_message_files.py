"""Files that come with a message: parts of a form that are stored and named by it, and gone again where nothing comes of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.config import AttachmentSettings, Settings, attachments_dir
from server.domain.message import MOST_PARTS
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
BOUNDARY = "xXx"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
LARGEST = 1000
FROM = (("title", "Hi"), ("bucketId", "default"))

File = tuple[str, str, bytes]  # name, content type, content


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings, attachments=AttachmentSettings(max_bytes=LARGEST, user_bytes=3 * LARGEST)
    )


def form(texts: Sequence[tuple[str, str]], files: Sequence[File], field: str = "attachments") -> bytes:
    parts = [f'name="{name}"\r\n\r\n{text}'.encode() for name, text in texts]
    parts += [
        f'name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode() + content
        for name, kind, content in files
    ]
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


async def send(
    api: Native,
    files: Sequence[File],
    texts: Sequence[tuple[str, str]] = FROM,
    *,
    key: str | None = None,
    field: str = "attachments",
) -> Reply:
    headers = MULTIPART | ({} if key is None else {"Idempotency-Key": key})
    return await api.call("POST", MESSAGES, raw=form(texts, files, field), headers=headers)


def on_disk(settings: Settings) -> list[bytes]:
    folder = Path(attachments_dir(settings))
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def rows(house: House) -> int:
    row = await house.pieces.db.read(lambda tx: tx.one("SELECT COUNT(*) AS n FROM attachments"))
    return 0 if row is None else int(row["n"])


TEXT: File = ("log.txt", "text/plain; charset=utf-8", b"all is well")


async def test_files_come_with_a_message_as_what_they_are(
    house: House, admin: Person, settings: Settings
) -> None:
    """After those that are described, under names that are good on any system."""
    described = [{"mediaType": "ICON", "url": "https://example.com/icon.png"}]
    files: list[File] = [
        ("../../a b.png", "image/png", b"\x89PNG"),
        ("fun.gif", "image/gif", b"GIF89a"),
        ("clip.mp4", "video/mp4", bytes(range(256))),
        ("ring.ogg", "audio/ogg", b"\r\n-- no --xXx here\r\n"),
        TEXT,
    ]
    sent = await send(admin.api, files, [*FROM, ("attachments", json.dumps(described))])
    assert sent.status == 201, sent.body
    first, *stored = sent["attachments"]
    assert first == described[0]
    assert [(one["mediaType"], one["name"]) for one in stored] == [
        ("IMAGE", "a b.png"),
        ("GIF", "fun.gif"),
        ("VIDEO", "clip.mp4"),
        ("AUDIO", "ring.ogg"),
        ("FILE", "log.txt"),
    ]
    assert len({one["attachmentUuid"] for one in stored}) == 5
    assert on_disk(settings) == sorted(content for _, _, content in files)
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json == sent.json
    assert await rows(house) == 5


async def test_a_stored_file_is_named_again_by_who_may_see_it(house: House, admin: Person) -> None:
    """What is unknown, or another's, does not exist; each wrong one is named."""
    stored = (await send(admin.api, [TEXT]))["attachments"][0]["attachmentUuid"]
    entry = {"mediaType": "FILE", "attachmentUuid": stored.upper()}
    again = await house.send(admin.api, "default", attachments=[entry])
    assert again["attachments"] == [{"mediaType": "FILE", "name": "log.txt", "attachmentUuid": stored}]

    unknown = {"mediaType": "FILE", "attachmentUuid": "01991a3e-0000-7000-8000-000000000000"}
    refused = await house.send(admin.api, "default", attachments=[unknown, entry, unknown])
    assert (refused.status, refused.code) == (404, "attachment_not_found")
    assert refused.faults.keys() == {"attachments[0].attachmentUuid", "attachments[2].attachmentUuid"}
    stranger = await house.register("stranger")
    assert (await house.send(stranger.api, "default", attachments=[entry])).code == "attachment_not_found"
    later = await house.send(admin.api, "default", attachments=[entry], delaySeconds=60)
    linked = await house.pieces.db.read(lambda tx: tx.all("SELECT message_id FROM message_attachments"))
    assert later["id"] in {row["message_id"] for row in linked}


@pytest.mark.parametrize(
    ("texts", "files", "field", "status", "fault"),
    [
        ([("title", "Hi")], [TEXT], "attachments", 400, "bucketId"),
        ([*FROM, ("tags", "[")], [TEXT], "attachments", 400, "tags"),
        ([("title", "Hi"), ("bucketId", "nowhere")], [TEXT], "attachments", 404, None),
        ([*FROM, ("userIds", "nobody")], [TEXT], "attachments", 404, "userIds[0]"),
        (FROM, [TEXT, ("big", "image/png", b"x" * (LARGEST + 1))], "attachments", 413, None),
        (FROM, [("a", "a/b", b"x" * LARGEST)] * 4, "attachments", 413, None),
        (FROM, [TEXT] * (MOST_PARTS + 1), "attachments", 400, "attachments"),
        (
            [*FROM, ("imageUrl", "https://example.com")],
            [TEXT] * MOST_PARTS,
            "attachments",
            400,
            "attachments",
        ),
        (FROM, [TEXT], "body", 400, "body"),
    ],
)
async def test_of_what_is_refused_no_file_is_left(
    house: House,
    admin: Person,
    settings: Settings,
    texts: Any,
    files: Any,
    field: str,
    status: int,
    fault: str | None,
) -> None:
    refused = await send(admin.api, files, texts, field=field)
    assert refused.status == status, refused.body
    assert fault is None or fault in refused.faults
    assert (on_disk(settings), await rows(house)) == ([], 0)


async def test_a_form_that_breaks_off_leaves_no_file(house: House, admin: Person, settings: Settings) -> None:
    """Neither the file that was whole nor the one that was being written."""
    raw = form(FROM, [TEXT, ("b.bin", "a/b", b"x" * 500)])[:-100]
    refused = await admin.api.call("POST", MESSAGES, raw=raw, headers=MULTIPART)
    assert (refused.status, refused.code) == (400, "bad_form")
    assert (on_disk(settings), await rows(house)) == ([], 0)


async def test_a_browser_that_has_no_file_chosen_sends_none(admin: Person) -> None:
    sent = await send(admin.api, [("", "application/octet-stream", b"")])
    assert (sent.status, sent["attachments"]) == (201, [])


async def test_a_key_stands_for_the_files_too(house: House, admin: Person, settings: Settings) -> None:
    """Sent again they are not kept twice; other files are another request."""
    first = await send(admin.api, [TEXT], key="k")
    again = await send(admin.api, [TEXT], key="k")
    assert (again["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")
    other = await send(admin.api, [("log.txt", "text/plain", b"all is lost")], key="k")
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert (on_disk(settings), await rows(house)) == ([b"all is well"], 1)
