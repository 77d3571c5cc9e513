"""The same done by RPC and in the native API: step by step the two leave the same rows in every table.

Two tenants of one server do alike at the same moments: the servers of one call the RPCs, those of the other the native API. Whatever
is of one of them is compared with what is of the other: all columns, times too, but ids, which stand for what they name, and hashes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from server.commands.due import run_due
from server.domain.ids import new_id
from server.store.tallies import audit
from tests.harness.acting import JANE, Acting
from tests.harness.native import Reply
from tests.harness.same_rows import Tenant
from tests.server import conftest as served
from tests.server.conftest import House, Person

settings, open_house, house, admin = served.settings, served.open_house, served.house, served.admin

MINUTE = 60_000
CONTENT = {
    "title": "New Message",
    "body": "You have a new coaching update",
    "data": {"screen": "conversation", "id": "conv_abc"},
    "deepLink": "socayo://conversation/conv_abc",
    "imageUrl": "https://example.com/a.png",
}


@dataclass(frozen=True)
class Two:
    """Both tenants: `rpc` calls the RPCs, `native` the native API."""

    house: House
    rpc: Tenant
    native: Tenant

    async def alike(self) -> dict[str, list[str]]:
        """Hold the rows of the two against each other and return them by table."""
        db = self.house.pieces.db
        for tenant in (self.rpc, self.native):
            await tenant.learn(db)
        ones, others = await self.rpc.rows(db), await self.native.rows(db)
        assert ones == others
        return ones

    async def do(
        self, name: str, asked: object, *same: tuple[str, str, object], user: str | None = None
    ) -> None:
        """Have one call an RPC and the other the native API, perhaps more than once; then they are alike."""
        answer = await self.rpc.api.for_user(user).rpc(name, asked)
        assert answer.status == 200, (name, answer.body)
        for method, path, body in same:
            answered = await self.native.api.for_user(user).call(method, path, body)
            assert answered.status in (200, 201, 204), (method, path, answered.body)
        await self.alike()

    async def send(
        self, rpc: str, to: dict[str, Any], native: dict[str, Any], *, channel: str, title: str, **more: Any
    ) -> None:
        """Send the same with both, and remember what it is called."""
        content = {**CONTENT, "title": title}
        key = more.pop("key", None)
        body = {"channel": channel, "content": content, "idempotencyKey": key, **to, **more}
        answer = await self.rpc.api.rpc(f"manage/{rpc}", body)
        assert answer.status == 200, answer.body
        flat = {**content, "deliveryType": "NORMAL", "channels": [channel], **native, **more}
        answered = await self._post(flat, key)
        assert answered.status == 201, answered.body
        self.rpc.sent[title], self.native.sent[title] = answer["transactionId"], answered["id"]
        await self.alike()

    async def _post(self, body: dict[str, Any], key: str | None) -> Reply:
        headers = self.native.api.headers | ({} if key is None else {"Idempotency-Key": key})
        return await self.native.api.api.call("POST", "/api/v1/messages", body, headers=headers)

    async def items(self, user: str, title: str) -> tuple[str, str]:
        """Return the inbox items that a message is for a user, of either tenant."""
        return await self._item(self.rpc, user, title), await self._item(self.native, user, title)

    async def _item(self, tenant: Tenant, user: str, title: str) -> str:
        named = (tenant.sent[title], user)
        row = await self.house.pieces.db.read(lambda tx: tx.one(_ITEM, *named))
        assert row is not None
        return str(row["id"])

    async def mark(self, user: str, title: str, status: str) -> None:
        one, other = await self.items(user, title)
        await self.do(
            "mark-inbox-message",
            {"messageId": one, "status": status},
            ("PATCH", f"/api/v1/notifications/{other}/{status.lower()}", {}),
            user=user,
        )

    async def cancel(self, title: str) -> None:
        await self.do(
            "manage/cancel",
            {"transactionId": self.rpc.sent[title]},
            ("DELETE", f"/api/v1/messages/{self.native.sent[title]}", None),
        )

    async def wait(self, milliseconds: int) -> None:
        """Let time go by, do what is due, and hand over what waits."""
        self.house.clock.now += milliseconds
        pieces = self.house.pieces
        while await run_due(pieces.db, now=self.house.clock(), random=pieces.random, log=pieces.log):
            pass
        while await self.house.accept_pushes():
            pass
        await self.alike()

    async def pair(self, *names: str) -> None:
        """Give users a phone each."""
        await self.alike()
        for tenant in (self.rpc, self.native):
            ids = {name: id_ for id_, name in tenant.named.items()}
            for name in names:
                await self._pair(ids[f"users {name}"], f"{name}'s phone")
        await self.alike()

    async def _pair(self, user: str, name: str) -> None:
        values = (new_id(1, self.house.random), user, name, self.house.random(32))
        await self.house.pieces.db.write(lambda tx: tx.run(_DEVICE, *values))


_ITEM = "SELECT i.id FROM inbox_items i JOIN users u ON u.id = i.user_id WHERE i.message_id = $1 AND u.external_id = $2"
_DEVICE = (
    "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
    " VALUES ($1, $2, $3, 'ios', 'h', $4, 0, 1)"
)


@pytest.fixture
async def two(house: House, admin: Person) -> Two:
    token = await house.token(admin, "admin")
    rpc, native = (Tenant(name, Acting(token, name)) for name in ("by-rpc", "by-rest"))
    two = Two(house, rpc, native)
    await _subscribers(two)
    await two.pair("ann", "bob", "eve")
    return two


async def _subscribers(two: Two) -> None:
    """Make ann, bob and eve, of whom something is known."""
    for name, known in (("ann", JANE), ("bob", {"timezone": "Europe/Berlin"}), ("eve", {})):
        await two.do(
            "manage/create-subscriber",
            {"userId": name, "subscriberData": known},
            ("POST", "/api/v1/subscribers", {"userId": name, **known}),
        )


async def _topic(two: Two, *names: str) -> None:
    await two.do(
        "manage/create-topic",
        {"topicKey": "weekly-updates"},
        ("POST", "/api/v1/topics", {"key": "weekly-updates"}),
    )
    await two.do(
        "manage/add-subscribers-to-topic",
        {"topicKey": "weekly-updates", "subscriberIds": [*names]},
        ("POST", "/api/v1/topics/weekly-updates/subscribers", {"userIds": [*names]}),
    )


def _to(*names: str) -> Sequence[dict[str, Any]]:
    """Return how users are named in either API."""
    return {"userIds": [*names]}, {"userIds": [*names]}


async def test_subscribers_are_the_same(two: Two) -> None:
    changed = {"email": "jane.updated@example.com", "locale": "en-GB", "phone": None}
    await two.do(
        "manage/update-subscriber-data",
        {"userId": "ann", "subscriberData": changed},
        ("PATCH", "/api/v1/subscribers/ann", changed),
    )
    rows = await two.alike()
    assert any("jane.updated@example.com" in row for row in rows["users"])
    assert len(rows["users"]) == len(rows["devices"]) == 3


async def test_topics_are_the_same(two: Two) -> None:
    """Those who are named for the first time come to be."""
    await _topic(two, "ann", "bob", "newcomer")
    assert len((await two.alike())["bucket_members"]) == 3
    await two.do(
        "manage/remove-subscribers-from-topic",
        {"topicKey": "weekly-updates", "subscriberIds": ["ann", "bob"]},
        ("DELETE", "/api/v1/topics/weekly-updates/subscribers/ann", None),
        ("DELETE", "/api/v1/topics/weekly-updates/subscribers/bob", None),
    )
    assert len((await two.alike())["bucket_members"]) == 1


async def test_preferences_are_the_same(two: Two) -> None:
    for wanted in (
        {"channel": "PUSH", "category": "PROMOTIONAL", "enabled": False},
        {"channel": "IN_APP", "enabled": False},
        {"channel": "PUSH", "category": "PROMOTIONAL", "enabled": True},
    ):
        same = ("PATCH", "/api/v1/preferences", wanted)
        await two.do("update-preferences", wanted, same, user="ann")
    assert len((await two.alike())["opt_outs"]) == 1


@pytest.mark.parametrize("channel", ["PUSH", "IN_APP", "EMAIL", "SMS", "CHAT"])
@pytest.mark.parametrize("category", ["SYSTEM", "TRANSACTIONAL", "PRODUCT", "PROMOTIONAL"])
async def test_messages_are_the_same(two: Two, channel: str, category: str) -> None:
    """To those too who do not want them."""
    if category != "SYSTEM":
        refused = {"channel": channel, "category": category, "enabled": False}
        await two.do("update-preferences", refused, ("PATCH", "/api/v1/preferences", refused), user="bob")
    one: dict[str, Any] = {"channel": channel, "category": category}
    await two.send("send", {"userId": "ann"}, {"userIds": ["ann"]}, title="one", key="k", **one)
    await two.send("send-bulk", *_to("ann", "bob", "eve"), title="many", **one)
    await two.wait(MINUTE)
    rows = await two.alike()
    assert (len(rows["messages"]), len(rows["deliveries"]), len(rows["idempotency_keys"])) == (2, 4, 1)
    assert len(rows["inbox_items"]) == (0 if channel != "IN_APP" else 4 - (category != "SYSTEM"))


async def test_messages_to_topics_are_the_same(two: Two) -> None:
    await _topic(two, "ann", "bob", "newcomer")
    topic = {"topicKey": "weekly-updates"}
    await two.send("send-to-topic", topic, topic, channel="PUSH", title="weekly", category="PRODUCT")
    assert len((await two.alike())["deliveries"]) == 3
    await two.wait(MINUTE)


async def test_what_waits_for_its_time_is_the_same(two: Two) -> None:
    at = "2027-01-15T09:00:00"
    place = {"timezone": "Europe/London"}
    to = ({"userId": "ann"}, {"userIds": ["ann"]})
    await two.send("send-delayed", *to, channel="PUSH", title="delayed", delaySeconds=60)
    one, other = {**to[0], "scheduledAt": at, **place}, {**to[1], "scheduledSendAt": at, **place}
    await two.send("send-scheduled", one, other, channel="IN_APP", title="scheduled")
    assert len((await two.alike())["tasks"]) == 2
    await two.wait(MINUTE)
    await two.wait(60 * MINUTE)
    rows = await two.alike()
    assert (len(rows["tasks"]), len(rows["deliveries"]), len(rows["inbox_items"])) == (0, 2, 1)


async def test_what_is_taken_back_is_the_same(two: Two) -> None:
    """Before its time, while it waits, once phones have it, and out of inboxes; of a topic too."""
    to = ({"userId": "ann"}, {"userIds": ["ann"]})
    await two.send("send-delayed", *to, channel="PUSH", title="planned", delaySeconds=60)
    await two.send("send", *to, channel="PUSH", title="queued")
    await two.send("send", *to, channel="IN_APP", title="in the inbox")
    for title in ("planned", "queued", "in the inbox"):
        await two.cancel(title)
    await two.send("send", *to, channel="PUSH", title="on phones")
    await _topic(two, "ann", "bob")
    topic = {"topicKey": "weekly-updates"}
    await two.send("send-to-topic", topic, topic, channel="IN_APP", title="to a topic")
    await two.wait(MINUTE)
    for title in ("on phones", "to a topic", "to a topic"):
        await two.cancel(title)
    rows = await two.alike()
    assert sum('"state": "cancelled"' in row for row in rows["deliveries"]) == 2
    assert sum('"kind": 2' in row for row in rows["deliveries"]) == 1
    await two.wait(60 * MINUTE)


async def test_marks_are_the_same(two: Two) -> None:
    """And what the user's phones are told of them."""
    body = {"userIds": ["ann"]}
    for title in ("first", "second", "third"):
        await two.send("send", {"userId": "ann"}, body, channel="IN_APP", title=title)
    two.house.clock.now += MINUTE
    await two.mark("ann", "first", "READ")
    two.house.clock.now += MINUTE
    await two.mark("ann", "first", "READ")
    await two.mark("ann", "first", "UNREAD")
    await two.do(
        "mark-all-inbox-messages",
        {"status": "READ"},
        ("POST", "/api/v1/notifications/read-all", {}),
        user="ann",
    )
    one, other = await two.items("ann", "second")
    await two.do(
        "delete-inbox-message",
        {"messageId": one},
        ("DELETE", f"/api/v1/notifications/{other}", None),
        user="ann",
    )
    rows = await two.alike()
    assert sum('"read_at": null' in row for row in rows["inbox_items"]) == 0
    assert sum('"deleted_at": null' in row for row in rows["inbox_items"]) == 2


async def test_what_is_deleted_leaves_the_same(two: Two) -> None:
    await _topic(two, "ann", "bob")
    topic = {"topicKey": "weekly-updates"}
    await two.send("send-to-topic", topic, topic, channel="IN_APP", title="to a topic")
    await two.send("send", {"userId": "ann"}, {"userIds": ["ann"]}, channel="PUSH", title="to ann")
    await two.do("manage/delete-topic", topic, ("DELETE", "/api/v1/topics/weekly-updates", None))
    await two.do("manage/delete-subscriber", {"userId": "ann"}, ("DELETE", "/api/v1/subscribers/ann", None))
    await two.wait(MINUTE)
    rows = await two.alike()
    assert not any("jane@example.com" in row for row in rows["users"])
    found = await two.house.pieces.db.read(audit)
    assert found.holds, found
