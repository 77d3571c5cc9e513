"""One tenant never slows another: neither by how often it asks, nor by how much it sends or uploads."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.commands.attachments import MOST_AT_ONCE
from server.config import Settings
from server.domain.ids import new_id
from server.domain.ports import Transaction
from tests.harness.acting import Acting
from tests.server.api.test_limits import Open, left, small
from tests.server.conftest import House, Person

CHECK = "manage/check-topic-subscription"
ASKED = {"topicKey": "news", "subscriberId": "ann"}
FEW = 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter
async def test_a_tenant_that_has_used_up_its_quota_takes_nothing_from_another(
    open_house: Open, settings: Settings
) -> None:
    """With one token that serves both; what is refused is refused in the form of the API that was asked."""
    house = await small(open_house, settings, credential=FEW)
    token = await house.token(await house.register("admin"), "admin")
    loud, quiet = Acting(token, "loud"), Acting(token, "quiet")
    answers = [await loud.rpc(CHECK, ASKED) for _ in range(FEW + 1)]
    assert [answer.status for answer in answers] == [404, 404, 404, 429]
    limited = answers[-1]
    assert limited["error"]["code"] == "limited"
    assert limited["error"]["details"] == []
    assert 1 <= int(limited.headers["Retry-After"]) <= 10
    assert left(limited) == ("requests", 0)
    for user in (None, "ann"):
        assert (await loud.for_user(user).rpc(CHECK, ASKED)).status == 429
    assert left(await quiet.rpc(CHECK, ASKED)) == ("requests", FEW - 1)
    assert left(await Acting(token).rpc(CHECK, ASKED)) == ("requests", FEW - 1)
    assert left(await Acting(token, "default").rpc(CHECK, ASKED)) == ("requests", FEW - 2)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["", " ", "x" * 101, "other"])
async def test_a_token_of_one_tenant_has_one_quota_whatever_it_names(
    open_house: Open, settings: Settings, value: str
) -> None:
    """What is refused counts as well, and names that it makes up are no way round."""
    house = await small(open_house, settings, credential=FEW)
    admin = await house.register("admin")
    token = await house.token_of(admin, "acme", "admin")
    statuses = []
    for number in range(FEW + 1):
        named = Acting(token, value and f"{value}{number}" if value == "other" else value)
        statuses.append((await named.rpc(CHECK, ASKED)).status)
    assert statuses[-1] == 429
    assert set(statuses[:-1]) <= {400, 403}
    assert (await Acting(await house.token_of(admin, "acme", "admin")).rpc(CHECK, ASKED)).status == 404


async def test_a_tenant_that_floods_stands_behind_one_that_does_not(house: House, admin: Person) -> None:
    """Whomever its messages are from and to, and with however many tokens: it is one sender."""
    tokens = [await house.token(admin, "admin") for _ in range(2)]
    tokens.append(await house.token_of(admin, "loud", "admin"))
    people = [f"user-{number}" for number in range(20)]
    for token in tokens:
        for sender in (None, "ann", "ben"):
            await send(Acting(token, "loud", sender), people, house)
    house.clock.advance(1)
    await send(Acting(tokens[0], "quiet"), ["user-1"], house)
    turns = {"loud": list[int](), "quiet": list[int]()}
    for tenant, turn in await queued(house):
        turns[tenant].append(turn)
    assert len(turns["loud"]) == len(tokens) * 3 * len(people)
    [quiet] = turns["quiet"]
    assert quiet == house.clock()
    behind = [turn for turn in turns["loud"] if turn > quiet]
    assert len(behind) >= len(turns["loud"]) - len(people), "all but what came first"


@pytest.mark.parametrize("user", [None, "new"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_tenant_that_uploads_slowly_keeps_nobody_elses_place(
    house: House, admin: Person, user: str | None
) -> None:
    """Also where it names no user, or one who is not there yet: nobody of one tenant is not nobody of another."""
    token, end = await house.token(admin, "admin"), asyncio.Event()
    loud, quiet = Acting(token, "loud", user), Acting(token, "quiet", user)

    async def form(ended: asyncio.Event) -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nHello'
        await ended.wait()
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="userIds"\r\n\r\nann\r\n--b--\r\n'

    async def upload(acting: Acting, ended: asyncio.Event) -> int:
        headers = {
            **acting.headers,
            "Authorization": f"Bearer {token.token}",
            "Content-Type": "multipart/form-data; boundary=b",
        }
        data = form(ended)
        async with token.session.post(token.url + "/api/v1/messages", data=data, headers=headers) as response:
            return response.status

    slow = [asyncio.create_task(upload(loud, end)) for _ in range(MOST_AT_ONCE + 1)]
    [refused], rest = await asyncio.wait(slow, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert refused.result() == 429
    at_once = asyncio.Event()
    at_once.set()
    assert await upload(quiet, at_once) == 404  # ann is nobody: it was read, and answered
    end.set()
    assert {await one for one in rest} == {404}


async def test_a_tenant_that_floods_with_alarms_stands_behind_the_alarm_of_another(
    house: House, admin: Person
) -> None:
    """An alarm goes before what is none, and only who raises many of them stands back."""
    token, people = await house.token(admin, "admin"), [f"user-{number}" for number in range(20)]
    loud, quiet = Acting(token, "loud"), Acting(token, "quiet")
    for _ in range(5):
        await send(loud, people, house, kind="CRITICAL")
    house.clock.advance(1)
    await send(quiet, ["user-1"], house, kind="CRITICAL")
    await send(quiet, ["user-2"], house)
    turns = {"loud": list[int](), "quiet": list[int]()}
    for tenant, turn in await queued(house):
        turns[tenant].append(turn)
    alarm, other = turns["quiet"]
    assert alarm < house.clock() <= other
    assert len([turn for turn in turns["loud"] if alarm < turn < other]) >= len(turns["loud"]) - len(people)


async def send(acting: Acting, people: list[str], house: House, kind: str = "NORMAL") -> None:
    """Send to users of a tenant, each with a phone: by their names, or to the topic in which they all are."""
    await phones(house, acting, people)
    to = {"topicKey": "t"} if acting.user == "ben" else {"userIds": people}
    sent = await acting.call("POST", "/api/v1/messages", {"title": "Hello", "deliveryType": kind, **to})
    assert sent.status == 201, sent.body


async def phones(house: House, acting: Acting, people: list[str]) -> None:
    """Make these users, each with a phone and in a topic, where they are not there yet."""
    made = [await acting.for_user(name).rpc("manage/create-topic", {"topicKey": "t"}) for name in people]
    assert {answer.status for answer in made} <= {200, 409}

    async def job(tx: Transaction) -> None:
        rows = await tx.all(
            "SELECT u.id FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE t.name = $1"
            " AND u.external_id LIKE 'user-%' AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.user_id = u.id)",
            acting.tenant,
        )
        await tx.many(
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1)",
            [(new_id(house.clock(), house.random), row["id"], house.random(32)) for row in rows],
        )
        await tx.run(
            "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at)"
            " SELECT b.id, u.id, '[\"READ\"]', 1 FROM buckets b JOIN users u ON u.tenant_id = b.tenant_id"
            " WHERE b.topic_key = 't' AND u.external_id LIKE 'user-%' ON CONFLICT DO NOTHING"
        )

    await house.pieces.db.write(job)


async def queued(house: House) -> list[tuple[str, int]]:
    """Return tenant and turn of each push that waits, in the order in which they go out."""

    async def job(tx: Transaction) -> list[tuple[str, int]]:
        rows = await tx.all(
            "SELECT t.name, d.turn FROM deliveries d JOIN tenants t ON t.id = d.tenant_id"
            " WHERE d.state = 'queued' ORDER BY d.turn, d.id"
        )
        return [(row["name"], row["turn"]) for row in rows]

    return await house.pieces.db.read(job)
