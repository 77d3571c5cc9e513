"""Who is on which page where everyone of a tenant is meant, and who of them has access to a document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from server.domain.audience import Recipients, Within, recipients_of
from server.domain.delivery import Channel
from server.domain.ports import Database, Transaction
from server.store.audience import START, Place, Reach, count_readers, reached
from server.store.erasing import bury, drop_own

BUCKET, TENANT, OTHER, DOCUMENT = "bucket", "tenant", "other", "document"
BOTH = (Channel.IN_APP, Channel.PUSH)
PHONES = {"ann": 2, "ben": 0, "cleo": 1, "dan": 3, "eve": 1, "fay": 0, "gil": 1}
EVERYONE = Recipients(None, (), TENANT)
LISTED = Within(DOCUMENT, listed=True, fields=())


@dataclass(frozen=True)
class Town:
    """A tenant's users by name, who are also their ids, with phones named as `ann-0`; only ann and ben are members of the bucket."""

    db: Database

    async def run(self, sql: str, *rows: Sequence[object]) -> None:
        await self.db.write(lambda tx: tx.many(sql, rows))

    async def settle(self, tenant: str, *names: str) -> None:
        users = [(name, tenant) for name in names]
        await self.run(
            "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', 1)",
            *users,
        )

    async def phones(self, numbers: Mapping[str, int]) -> None:
        """Give users so many phones each."""
        names = [(user, f"{user}-{index}") for user, number in numbers.items() for index in range(number)]
        await self.run(
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($2, $1, 'phone', 'ios', 'h', $3, 0, 1)",
            *((user, phone, phone.encode()) for user, phone in names),
        )

    async def let(self, user: str, *fields: tuple[str, str], document: str = DOCUMENT) -> None:
        """Put somebody on the access list of a document, with access to these values."""
        sql = "INSERT INTO document_access (document_id, user_id, created_at) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING"
        await self.run(sql, (document, user))
        await self.run(
            "INSERT INTO document_fields (document_id, user_id, field, value) VALUES ($1, $2, $3, $4)",
            *((document, user, *pair) for pair in fields),
        )

    async def pages(self, recipients: Recipients, limit: int, *channels: Channel) -> list[Place]:
        """Return all who are reached, page by page, with what is seen to be there at each."""
        reach, after, found = Reach(BUCKET, recipients, channels or BOTH, "PRODUCT"), START, list[Place]()
        while True:
            page = await self.db.read(lambda tx, after=after: reached(tx, reach, after=after, limit=limit))  # type: ignore[misc] # of a lambda
            assert len(page) <= limit
            found += page
            if len(page) < limit:
                return found
            after = page[-1]

    async def names(self, recipients: Recipients, limit: int = 3) -> list[str]:
        """Return who is reached, each once, after it was seen that they are counted as many."""
        found = await self.pages(recipients, limit)
        names = list(dict.fromkeys(place.user_id for place in found))
        assert names == sorted(names)
        reach = Reach(BUCKET, recipients, BOTH, "PRODUCT")
        assert await self.db.read(lambda tx: count_readers(tx, reach)) == len(names)
        return names


@pytest.fixture
async def town(database: Database) -> Town:
    found = Town(database)
    await found.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", (TENANT,), (OTHER,))
    await found.settle(TENANT, *PHONES)
    await found.settle(OTHER, "aaron", "cyd", "zoe")
    await found.phones(PHONES)
    await found.run(
        "INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ($1, $2, 'direct', 'direct', 1)",
        (BUCKET, TENANT),
    )
    await found.run(
        "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 1)",
        (BUCKET, "ann"),
        (BUCKET, "ben"),
    )
    await found.run(
        "INSERT INTO documents (id, tenant_id, key, created_at) VALUES ($1, $2, $1, 1)",
        (DOCUMENT, TENANT),
        ("another", TENANT),
    )
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8, 9, 100])
async def test_everyone_of_the_tenant_is_on_one_page_with_each_of_their_phones(
    town: Town, limit: int
) -> None:
    """Whatever the size of a page; nobody of another tenant is."""
    found = [(place.user_id, place.device_id) for place in await town.pages(EVERYONE, limit)]
    assert found == [
        (name, f"{name}-{index}" if number else "")
        for name, number in PHONES.items()
        for index in range(max(number, 1))
    ]
    without = await town.pages(EVERYONE, limit, Channel.IN_APP)
    assert [(place.user_id, place.device_id) for place in without] == [(name, "") for name in PHONES]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_who_is_excluded_or_deleted_is_on_none(town: Town, limit: int) -> None:
    async def delete(tx: Transaction) -> None:
        await drop_own(tx, "dan")
        await bury(tx, "dan", 2)

    await town.db.write(delete)
    but = replace(EVERYONE, but=("ann", "gil", "zoe", "nobody"))
    assert await town.names(but, limit) == ["ben", "cleo", "eve", "fay"]


async def test_who_is_named_too_is_all_that_is_left_of_everyone(town: Town) -> None:
    named = replace(EVERYONE, only=["fay", "zoe", "ann", "nobody"])
    assert await town.names(named) == ["ann", "fay"]


async def test_what_a_member_has_muted_and_does_not_want_is_known_and_others_have_muted_nothing(
    town: Town,
) -> None:
    """Who is no member of the bucket yet can have refused a category all the same."""
    await town.run(
        "UPDATE bucket_members SET snoozed_until = 99, quiet_times = $2 WHERE user_id = $1", ("ann", "[]")
    )
    await town.run("UPDATE users SET profile = $2 WHERE id = $1", ("ann", '{"timezone": "Asia/Tokyo"}'))
    await town.run(
        "INSERT INTO opt_outs (user_id, channel, category, created_at) VALUES ($1, $2, $3, 1)",
        ("ben", "PUSH", "PRODUCT"),
        ("cleo", "IN_APP", ""),
        ("gil", "PUSH", "PROMOTIONAL"),
    )
    found = {place.user_id: place for place in await town.pages(EVERYONE, 3)}
    assert (found["ann"].snoozed_until, found["ann"].quiet_times) == (99, "[]")
    assert json.loads(found["ann"].profile or "") == {"timezone": "Asia/Tokyo"}
    assert (found["ben"].snoozed_until, found["cleo"].quiet_times, found["cleo"].profile) == (None,) * 3
    unwilling = {name: {*place.opted_out} for name, place in found.items() if place.opted_out}
    assert unwilling == {"ben": {Channel.PUSH}, "cleo": {Channel.IN_APP}}


@pytest.mark.parametrize("everyone", [TENANT, None])
async def test_who_is_on_the_list_and_has_every_value_is_reached(town: Town, *, everyone: str | None) -> None:
    """Of everyone and of the members of a bucket alike; access to another document is none."""
    if everyone is None:
        members = [(BUCKET, name) for name in PHONES if name not in ("ann", "ben")]
        sql = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 1)"
        await town.run(sql, *members)
    await town.let("ann", ("board", "sales"), ("board", "costs"), ("entity", "5"))
    await town.let("ben", ("board", "sales"), ("entity", "5"))
    await town.let("cleo", ("entity", "5"))
    await town.let("dan")
    await town.let("eve", ("board", "sales"), ("entity", "5"), document="another")
    await town.let("gil", ("board", "5"), ("entity", "sales"))
    expected: dict[tuple[tuple[str, str], ...], list[str]] = {
        (): ["ann", "ben", "cleo", "dan", "gil"],
        (("entity", "5"),): ["ann", "ben", "cleo"],
        (("entity", "5"), ("board", "sales")): ["ann", "ben"],
        (("board", "sales"), ("board", "costs"), ("entity", "5")): ["ann"],
        (("board", "sales"), ("entity", "6")): [],
    }
    for fields, names in expected.items():
        for limit in (1, 2, 3, 100):
            recipients = Recipients(None, (), everyone, Within(DOCUMENT, listed=True, fields=fields))
            assert await town.names(recipients, limit) == names, fields
        unlisted = Recipients(None, (), everyone, Within(DOCUMENT, listed=False, fields=fields))
        assert await town.names(unlisted) == (names if fields else list(PHONES)), fields
    but = Recipients(["dan", "ann", "eve"], ("ann",), everyone, LISTED)
    assert await town.names(but) == ["dan"]


async def test_whoever_is_not_of_the_tenant_is_not_reached_by_being_on_a_list(town: Town) -> None:
    await town.let("zoe", ("entity", "5"))
    await town.let("ann", ("entity", "5"))
    assert await town.names(replace(EVERYONE, within=LISTED)) == ["ann"]
    fields = Within(DOCUMENT, listed=False, fields=(("entity", "5"),))
    assert await town.names(replace(EVERYONE, within=fields)) == ["ann"]


async def test_a_page_shows_who_has_access_at_its_moment(town: Town) -> None:
    """Taken away, it is from the next page on; so it is where the document is deleted."""
    for name in PHONES:
        await town.let(name, ("entity", "5"))
    within = Within(DOCUMENT, listed=False, fields=(("entity", "5"),))
    reach = Reach(BUCKET, replace(EVERYONE, within=within), BOTH, None)
    first = await town.db.read(lambda tx: reached(tx, reach, after=START, limit=3))
    assert [place.device_id for place in first] == ["ann-0", "ann-1", ""]
    await town.run("DELETE FROM document_access WHERE user_id = $1", ("cleo",))
    await town.run("DELETE FROM document_fields WHERE user_id = $1", ("eve",))
    await town.settle(TENANT, "hal")
    await town.let("hal", ("entity", "5"))
    rest = await town.db.read(lambda tx: reached(tx, reach, after=first[-1], limit=9))
    assert [place.user_id for place in rest] == ["dan", "dan", "dan", "fay", "gil", "hal"]
    await town.run("DELETE FROM documents WHERE id = $1", (DOCUMENT,))
    assert await town.db.read(lambda tx: reached(tx, reach, after=first[-1], limit=9)) == []


@pytest.mark.parametrize(
    "recipients",
    [
        EVERYONE,
        Recipients(["a", "b"], ("c",)),
        Recipients(None, (), TENANT, LISTED),
        Recipients(["a"], (), None, Within(DOCUMENT, listed=False, fields=(("a", "1"), ("a", "2")))),
    ],
)
def test_a_task_keeps_who_is_meant(recipients: Recipients) -> None:
    assert recipients_of(json.loads(json.dumps(recipients.payload()))) == Recipients(
        recipients.only, [*recipients.but], recipients.everyone, recipients.within
    )


@pytest.mark.parametrize(
    ("payload", "meant"),
    [
        ({"only": None}, Recipients(None)),
        ({"only": ["a"]}, Recipients(["a"])),
        ({"only": None, "but": ["b"]}, Recipients(None, ["b"])),
    ],
)
def test_a_task_of_an_earlier_version_means_who_it_meant(payload: dict[str, Any], meant: Recipients) -> None:
    """There was no everyone then, no document, and first of all nobody who is excluded."""
    assert recipients_of({**payload, "page": 500, "after": ["", ""]}) == meant
