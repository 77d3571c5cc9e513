"""What must never be stored or logged as it is: passwords, tokens, codes, content, handles in the log."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import House, Person

CANARY = "CANARY-7f3a9c"


async def _live(house: House, admin: Person) -> None:
    """Use every secret there is, rightly and wrongly."""
    phone, bucket = await house.phone(admin), await house.bucket(admin, CANARY)
    token = await house.token(admin, "messages:create")
    await house.send(token, bucket, title=CANARY, body=CANARY)
    await phone.api.get("/api/v1/device/messages")
    await phone.api.put("/api/v1/device/handle", {"handle": house.handle()})
    refreshed = await house.api.post("/api/v1/auth/refresh", {"refreshToken": admin.refresh})
    house.secrets += [refreshed["accessToken"], refreshed["refreshToken"]]
    for body in ({"email": "admin", "password": CANARY}, {"email": CANARY, "password": CANARY}):
        await house.api.post("/api/v1/auth/login", body)
    await admin.api.get(f"/api/v1/buckets/{CANARY}?{CANARY}")
    await house.api.with_token(CANARY).get("/api/v1/users/me")
    await house.post_pairing(await house.pairing(admin, code=CANARY, handle=CANARY))


async def test_no_secret_is_in_the_log(house: House, admin: Person) -> None:
    """Neither what was right nor what was wrong, and no content; routes stand there as they are written."""
    await _live(house, admin)
    log = str(house.log.entries)
    assert [secret for secret in [*house.secrets, CANARY] if secret in log] == []
    requests = [line for line in house.log.entries if line["event"] == "request"]
    assert {line["route"] for line in requests} >= {"/api/v1/buckets/{bucket}", "/api/v1/messages"}
    assert all({"method", "route", "status", "ms"} < line.keys() for line in requests)


async def test_no_secret_is_in_the_database(house: House, admin: Person) -> None:
    """Hashes are; content and handles are what it is for."""
    await _live(house, admin)
    tables = ("users", "sessions", "access_tokens", "devices", "pairing_codes")
    stored = "".join([str(await _rows(house, table)) for table in tables])
    handles = {secret for secret in house.secrets if secret in stored}
    assert len(handles) == 1  # the device's own, sealed by the relay
    assert len(next(iter(handles))) > 700


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_secret_is_in_the_database_file(house: House, admin: Person, tmp_path: Path) -> None:
    """Byte by byte, with the write-ahead log."""
    await _live(house, admin)
    await house.stop()
    content = _bytes_in(tmp_path)
    tokens = [secret for secret in house.secrets if len(secret) < 700]
    assert CANARY.encode() in content
    assert [token for token in tokens if token.encode() in content] == []


async def test_errors_do_not_repeat_what_was_sent(house: House, admin: Person) -> None:
    """It may have been a secret in the wrong place."""
    body: dict[str, Any] = {
        "title": [CANARY],
        "deliveryType": CANARY,
        "tapUrl": f"data:{CANARY}",
        "sound": CANARY * 20,
    }
    answers = [
        await admin.api.post("/api/v1/messages", body),
        await admin.api.post("/api/v1/access-tokens", {"name": "x", "scopes": [CANARY], "expiresAt": CANARY}),
        await admin.api.call("POST", "/api/v1/messages", raw=CANARY.encode()),
        await house.api.with_token(CANARY).get("/api/v1/users/me"),
        await admin.api.get(f"/api/v1/messages?cursor={CANARY}"),
        await house.api.get(f"/{CANARY}"),
    ]
    assert all(answer.status >= 400 for answer in answers)
    assert not any(CANARY.encode() in answer.body for answer in answers)


async def _rows(house: House, table: str) -> list[dict[str, object]]:
    rows = await house.pieces.db.read(lambda tx: tx.all(f"SELECT * FROM {table}"))  # noqa: S608 - our own names
    return [dict(row) for row in rows]


def _bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
