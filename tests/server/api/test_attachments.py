"""`/api/v1/attachments`: files go up in streams, and come down as downloads to whoever may have them."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from server.commands.attachments import MOST_AT_ONCE
from server.config import AttachmentSettings, Settings
from server.domain.bucket import Permission
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

LARGEST = 1000
ROUTE = "/api/v1/attachments"
UNKNOWN = "01970000-0000-7000-8000-000000000000"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace_attachments(settings, AttachmentSettings(max_bytes=LARGEST, user_bytes=3 * LARGEST))


def replace_attachments(settings: Settings, attachments: AttachmentSettings) -> Settings:
    return Settings(server=settings.server, accounts=settings.accounts, attachments=attachments)


async def upload(
    api: Native, content: bytes = b"hello", *, kind: str = "text/plain", name: str = "a.txt", **headers: str
) -> Reply:
    path = f"{ROUTE}?name={quote(name)}"
    return await api.call("POST", path, raw=content, headers={"Content-Type": kind, **headers})


async def stream(api: Native, body: AsyncIterator[bytes]) -> Reply:
    """Upload what comes bit by bit, without saying how much it will be."""
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/pdf"}
    async with api.session.post(api.url + ROUTE, data=body, headers=headers) as response:
        return Reply(response.status, response.headers.copy(), await response.read())


async def form(api: Native, *parts: tuple[str, bytes | str, dict[str, Any]]) -> Reply:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value, more in parts:
        data.add_field(name, io.BytesIO(value) if isinstance(value, bytes) else value, **more)
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.session.post(api.url + ROUTE, data=data, headers=headers) as response:
        return Reply(response.status, response.headers.copy(), await response.read())


def files_of(house: House) -> list[str]:
    """Return the names of all files on the server's disk, whole or not."""
    folder = house.pieces.sealer.files.path("ab").parent.parent
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, LARGEST])
async def test_a_file_goes_up_and_comes_down_as_it_was(house: House, admin: Person, size: int) -> None:
    content = bytes(range(256)) * 4
    answer = await upload(admin.api, content[:size], kind="Image/PNG; q=1", name="cat.png")
    assert answer.status == 201, answer.body
    assert answer.json == {
        "id": answer["id"],
        "name": "cat.png",
        "contentType": "image/png",
        "size": size,
        "sha256": hashlib.sha256(content[:size]).hexdigest(),
        "createdAt": answer["createdAt"],
    }
    assert answer.headers["Location"] == f"{ROUTE}/{answer['id']}"
    down = await admin.api.get(answer.headers["Location"])
    assert (down.status, down.body) == (200, content[:size])
    assert files_of(house) == [answer["id"]]


async def test_one_byte_more_than_the_largest_is_refused_said_or_not(house: House, admin: Person) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(LARGEST)
        yield b"x"

    for answer in (await upload(admin.api, bytes(LARGEST + 1)), await stream(admin.api, chunks())):
        assert (answer.status, answer.code) == (413, "attachment_too_large")
    assert files_of(house) == []


async def test_a_form_brings_one_file_in_the_part_file(house: House, admin: Person) -> None:
    part = ("file", b"hello", {"filename": "hi.txt", "content_type": "text/plain"})
    answer = await form(admin.api, ("comment", "no file", {}), part)
    assert (answer.status, answer["name"], answer["size"]) == (201, "hi.txt", 5)
    assert (await form(admin.api, ("comment", "no file", {}))).faults == {"file": "is missing"}
    assert (await form(admin.api, part, part)).faults == {"file": "is one file too many"}
    other = ("other", b"x", {"filename": "x"})
    assert (await form(admin.api, part, other)).faults == {"other": "is one file too many"}
    assert files_of(house) == [answer["id"]]


@pytest.mark.parametrize(
    ("given", "name", "plain"),
    [
        ('say "hi".txt', 'say "hi".txt', "say _hi_.txt"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt", "x.txt"),
        ("photo\u202egpj.exe", "photogpj.exe", "photogpj.exe"),
        ("דוח 50%.pdf", "דוח 50%.pdf", "___ 50_.pdf"),
        ("猫" * 80 + ".png", "猫" * 78 + ".png", None),
    ],
)
async def test_a_name_is_harmless_wherever_it_ends_up(
    admin: Person, given: str, name: str, plain: str | None
) -> None:
    answer = await upload(admin.api, name=given)
    assert (answer.status, answer["name"]) == (201, name)
    header = (await admin.api.get(answer.headers["Location"])).headers["Content-Disposition"]
    assert header.startswith("attachment; ")
    assert header.endswith(f"; filename*=UTF-8''{quote(name, safe='!#$&+.^`|~')}")
    assert header.isascii()
    assert plain is None or f'filename="{plain}"' in header


@pytest.mark.parametrize("name", ["two\r\nlines", "nul\x00", "x" * 256])
async def test_a_name_in_the_query_that_is_none_is_refused(house: House, admin: Person, name: str) -> None:
    answer = await upload(admin.api, name=name)
    assert (answer.status, list(answer.faults)) == (400, ["?name"])
    assert files_of(house) == []


async def test_without_name_and_type_it_is_a_file_of_bytes(admin: Person) -> None:
    answer = await admin.api.call("POST", ROUTE, raw=b"x", headers={"Content-Type": "nonsense"})
    assert (answer["name"], answer["contentType"]) == ("file", "application/octet-stream")


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "text/xml", "application/javascript"])
async def test_nothing_that_was_uploaded_is_ever_a_page(admin: Person, kind: str) -> None:
    answer = await upload(admin.api, b"<script>alert(1)</script>", kind=kind, name="x.html")
    headers = (await admin.api.get(answer.headers["Location"])).headers
    assert headers["Content-Type"] == kind
    assert headers["Content-Disposition"].startswith("attachment;")
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-store"
    assert "ETag" in headers


async def test_a_part_of_a_file_and_its_head_can_be_had(admin: Person) -> None:
    path = (await upload(admin.api, b"0123456789")).headers["Location"]
    part = await admin.api.call("GET", path, headers={"Range": "bytes=2-4"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (await admin.api.call("GET", path, headers={"Range": "bytes=10-"})).status == 416
    head = await admin.api.call("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "10", b"")


async def test_a_stranger_learns_nothing_of_a_file(house: House, admin: Person) -> None:
    path = (await upload(admin.api)).headers["Location"]
    stranger = await house.register("stranger")
    unknown = await stranger.api.get(f"{ROUTE}/{UNKNOWN}")
    for method in ("GET", "DELETE"):
        answer = await stranger.api.call(method, path)
        assert (answer.status, answer.code) == (404, "attachment_not_found")
        assert answer.json == unknown.json
    assert (await house.api.get(path)).status == 401
    assert (await stranger.api.get(ROUTE)).json == {"attachments": [], "nextCursor": None}


async def test_who_may_see_a_message_may_have_its_files_and_so_may_their_devices(
    house: House, admin: Person
) -> None:
    reader, stranger = await house.register("reader"), await house.register("stranger")
    phone, strange = await house.phone(reader), await house.phone(stranger)
    bucket = await house.bucket(admin)
    await house.join(reader, bucket, Permission.READ)
    file = await upload(admin.api, b"for members")
    path = file.headers["Location"]
    assert (await reader.api.get(path)).status == 404
    sent = await house.send(
        admin.api, bucket, attachments=[{"mediaType": "FILE", "attachmentUuid": file["id"]}]
    )
    assert sent.status == 201, sent.body
    for api in (reader.api, phone.api):
        assert (await api.get(path)).body == b"for members"
    for api in (stranger.api, strange.api):
        assert (await api.get(path)).status == 404


async def test_a_message_names_only_files_that_its_sender_may_see(house: House, admin: Person) -> None:
    file = await upload(admin.api)
    stranger = await house.register("stranger")
    bucket = await house.bucket(stranger)
    for name in (file["id"], UNKNOWN):
        attachments = [
            {"mediaType": "IMAGE", "url": "https://example.com/a.png"},
            {"mediaType": "FILE", "attachmentUuid": name},
        ]
        answer = await house.send(stranger.api, bucket, attachments=attachments)
        assert (answer.status, answer.code) == (404, "attachment_not_found")
        assert list(answer.faults) == ["attachments[1].attachmentUuid"]


async def test_a_file_that_a_message_names_stays_and_goes_with_it(house: House, admin: Person) -> None:
    bucket, file = await house.bucket(admin), await upload(admin.api)
    path, attachments = file.headers["Location"], [{"mediaType": "FILE", "attachmentUuid": file["id"]}]
    first = await house.send(admin.api, bucket, attachments=attachments)
    second = await house.send(admin.api, bucket, attachments=attachments)
    assert first["attachments"] == [{"mediaType": "FILE", "name": "a.txt", "attachmentUuid": file["id"]}], (
        "the file's name, where the sender gives none"
    )
    refused = await admin.api.delete(path)
    assert (refused.status, refused.code) == (409, "attachment_in_use")
    assert (await admin.api.delete(f"/api/v1/messages/{first['id']}")).status == 204
    assert (await admin.api.get(path)).status == 200
    assert (await admin.api.delete(f"/api/v1/messages/{second['id']}")).status == 204
    assert (await admin.api.get(path)).status == 404


async def test_an_owner_deletes_a_file_that_nothing_names(house: House, admin: Person) -> None:
    path = (await upload(admin.api)).headers["Location"]
    assert (await admin.api.delete(path)).status == 204
    assert (await admin.api.get(path)).status == 404
    assert (await admin.api.delete(path)).status == 404
    assert files_of(house) == []


async def test_one_user_has_only_so_much_room(house: House, admin: Person) -> None:
    other = await house.register("other")
    paths = [(await upload(admin.api, bytes(LARGEST))).headers["Location"] for _ in range(3)]
    answer = await upload(admin.api, b"x")
    assert (answer.status, answer.code) == (413, "attachments_full")
    assert len(files_of(house)) == 3
    assert (await upload(other.api, b"x")).status == 201
    await admin.api.delete(paths[0])
    assert (await upload(admin.api, b"x")).status == 201


async def test_ones_files_are_listed_in_pages_the_newest_first(admin: Person) -> None:
    ids = [(await upload(admin.api, b"x", name=f"{n}.txt"))["id"] for n in range(3)]
    ids.sort(reverse=True)
    first = await admin.api.get(f"{ROUTE}?limit=2")
    assert [one["id"] for one in first["attachments"]] == ids[:2]
    second = await admin.api.get(f"{ROUTE}?limit=2&cursor={first['nextCursor']}")
    assert [one["id"] for one in second["attachments"]] == ids[2:]
    assert second["nextCursor"] is None


async def test_a_file_that_the_disk_has_lost_is_said_to_be(house: House, admin: Person) -> None:
    answer = await upload(admin.api)
    house.pieces.sealer.files.path(answer["id"]).unlink()
    down = await admin.api.get(answer.headers["Location"])
    assert (down.status, down.code) == (404, "attachment_lost")


async def test_tokens_upload_with_create_and_download_with_read(house: House, admin: Person) -> None:
    create, read = await house.token(admin, "messages:create"), await house.token(admin, "messages:read")
    path = (await upload(create)).headers["Location"]
    assert (await create.get(path)).code == "scope_missing"
    assert (await read.get(path)).status == 200
    assert (await upload(read)).code == "scope_missing"


async def test_an_upload_that_is_cut_off_leaves_nothing(house: House, admin: Person) -> None:
    begun = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        begun.set()
        await asyncio.Event().wait()

    uploading = asyncio.create_task(stream(admin.api, half()))
    await begun.wait()
    while not files_of(house):  # noqa: ASYNC110 - a disk sets no event
        await asyncio.sleep(0)
    uploading.cancel()
    while files_of(house):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert [line for line in house.log.entries if line["log_level"] == "error"] == []


@pytest.mark.parametrize(
    ("route", "part", "status"), [(ROUTE, b"file", 201), ("/api/v1/messages", b"attachments", 400)]
)
async def test_of_one_user_four_uploads_are_under_way_at_most(
    house: House, admin: Person, route: str, part: bytes, status: int
) -> None:
    """What comes is on the disk before it is counted: nobody fills that with what never ends. Others are not held up."""
    end = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="%b"; filename="x"\r\n\r\nx' % part
        await end.wait()
        yield b"\r\n--b--\r\n"

    async def upload_slowly() -> Reply:
        headers = {
            "Authorization": f"Bearer {admin.access}",
            "Content-Type": "multipart/form-data; boundary=b",
        }
        async with admin.api.session.post(admin.api.url + route, data=body(), headers=headers) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    uploads = [asyncio.create_task(upload_slowly()) for _ in range(MOST_AT_ONCE + 1)]
    [refused], rest = await asyncio.wait(uploads, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert (refused.result().status, refused.result().code) == (429, "limited")
    assert (await upload((await house.register("other")).api)).status == 201
    end.set()
    ended = await asyncio.gather(*rest)
    assert {answer.status for answer in ended} == {status}
    assert (await upload(admin.api)).status == 201
