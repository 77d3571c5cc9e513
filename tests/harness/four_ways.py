"""The same done by each of the four APIs, for one user of a tenant: send, look at the inbox, read, delete for oneself, take back.

A message is known by its id, the same in every API; how each API names the user's own entry is its own affair. Socayo sends by one
channel a call: for the inbox and for phones these are two messages, of which the one for the inbox comes first.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.harness.acting import Acting
from tests.harness.native import Native, Reply
from tests.harness.velt import Velt

TEMPLATE = "SAME_FOR_ALL"
DOCUMENT = "the-document"
DATA = {"screen": "places", "number": 7}


@dataclass(frozen=True)
class Note:
    """What is sent: a title, a text, and data for the app."""

    title: str
    text: str = field(repr=False)
    data: dict[str, Any] = field(repr=False, default_factory=lambda: dict(DATA))


@dataclass(frozen=True)
class Place:
    """Where it is done, and for whom: a client with an operator's token, a tenant, a user, and another one who acts. All are UUIDs."""

    api: Native
    tenant: str
    user: str
    sender: str

    @property
    def manager(self) -> Acting:
        return Acting(self.api, self.tenant)

    @property
    def reader(self) -> Acting:
        return Acting(self.api, self.tenant, self.user)

    async def item(self, message: str) -> str:
        """Return the id of the user's entry, as the native API has it."""
        inbox = await good(self.reader.call("GET", "/api/v1/notifications?limit=100"))
        [found] = [row["id"] for row in inbox["notifications"] if row["messageId"] == message]
        return str(found)


Row = tuple[str, str | None, str | None, Any, bool]
"""What an inbox shows of a message: its id, title, text and data, and whether it was read."""


class Way(Protocol):
    """One of the APIs."""

    name: str

    async def send(self, place: Place, note: Note) -> list[str]:
        """Send a note to the user and return the messages that were made of it, the one in the inbox first."""
        ...

    async def inbox(self, place: Place) -> list[Row]:
        """Return what is in the user's inbox, newest first."""
        ...

    async def unread(self, place: Place) -> int:
        """Return how much is unread."""
        ...

    async def read(self, place: Place, message: str) -> None:
        """Mark a message in the inbox as read."""
        ...

    async def delete(self, place: Place, message: str) -> None:
        """Delete a message from the user's inbox, from nobody else's."""
        ...

    async def take_back(self, place: Place, message: str) -> None:
        """Take a message back from everybody."""
        ...


async def good(asked: Awaitable[Reply]) -> Any:
    """Return what was answered to something that is not refused."""
    answer = await asked
    assert answer.status in {200, 201, 204}, answer.body
    return answer.json if answer.body else None


class NativeWay:
    name = "native"

    async def send(self, place: Place, note: Note) -> list[str]:
        body = {
            "title": note.title,
            "body": note.text,
            "data": note.data,
            "deliveryType": "NORMAL",
            "userIds": [place.user],
        }
        sent = await good(place.manager.call("POST", "/api/v1/messages", body))
        return [str(sent["id"])]

    async def inbox(self, place: Place) -> list[Row]:
        found = await good(place.reader.call("GET", "/api/v1/notifications?limit=100"))
        return [self._row(one) for one in found["notifications"]]

    def _row(self, one: Any) -> Row:
        message = one["message"]
        return one["messageId"], message["title"], message["body"], message["data"], one["readAt"] is not None

    async def unread(self, place: Place) -> int:
        found = await good(place.reader.call("GET", "/api/v1/notifications/counts"))
        return int(found["unread"])

    async def read(self, place: Place, message: str) -> None:
        item = await place.item(message)
        await good(place.reader.call("PATCH", f"/api/v1/notifications/{item}/read"))

    async def delete(self, place: Place, message: str) -> None:
        item = await place.item(message)
        await good(place.reader.call("DELETE", f"/api/v1/notifications/{item}"))

    async def take_back(self, place: Place, message: str) -> None:
        await good(place.manager.call("DELETE", f"/api/v1/messages/{message}"))


class SocayoWay:
    name = "socayo"

    async def send(self, place: Place, note: Note) -> list[str]:
        content = {"title": note.title, "body": note.text, "data": note.data}
        bodies = [
            {"userId": place.user, "channel": channel, "content": content} for channel in ("IN_APP", "PUSH")
        ]
        sent = [await good(place.manager.rpc("manage/send", body)) for body in bodies]
        return [str(one["transactionId"]) for one in sent]

    async def inbox(self, place: Place) -> list[Row]:
        found = await good(place.reader.rpc("get-inbox-feed", {"pageSize": 100}))
        return [
            (one["notificationId"], one["title"], one["body"], one["data"], one["status"] == "READ")
            for one in found["messages"]
        ]

    async def unread(self, place: Place) -> int:
        return int((await good(place.reader.rpc("get-inbox-unseen-count")))["unreadCount"])

    async def read(self, place: Place, message: str) -> None:
        body = {"messageId": await place.item(message), "status": "READ"}
        await good(place.reader.rpc("mark-inbox-message", body))

    async def delete(self, place: Place, message: str) -> None:
        await good(place.reader.rpc("delete-inbox-message", {"messageId": await place.item(message)}))

    async def take_back(self, place: Place, message: str) -> None:
        await good(place.manager.rpc("manage/cancel", {"transactionId": message}))


class VeltWay:
    name = "velt"

    async def send(self, place: Place, note: Note) -> list[str]:
        data = {
            "documentId": DOCUMENT,
            "createDocument": True,
            "actionUser": {"userId": place.sender},
            "displayHeadlineMessageTemplate": note.title,
            "displayBodyMessage": note.text,
            "notificationSourceData": note.data,
            "notifyUsers": [{"userId": place.user}],
            "notifyAll": False,
        }
        await self._said(place, "add", data)
        newest, *_ = await self._said(place, "get", {"pageSize": 1})
        assert newest["displayHeadlineMessage"] == note.title
        return [str(newest["id"])]

    async def inbox(self, place: Place) -> list[Row]:
        found = await self._said(place, "get", {"userId": place.user, "pageSize": 100})
        return [
            (
                one["id"],
                one["displayHeadlineMessage"],
                one["displayBodyMessage"],
                one["notificationSourceData"],
                one["isRead"],
            )
            for one in found
        ]

    async def unread(self, place: Place) -> int:
        return sum(not is_read for *_, is_read in await self.inbox(place))

    async def read(self, place: Place, message: str) -> None:
        data = {"notifications": [{"id": message, "readByUserIds": [place.user]}]}
        assert (await self._said(place, "update", data))[message]["success"]

    async def delete(self, place: Place, message: str) -> None:
        data = {"notificationIds": [message], "userId": place.user}
        assert (await self._said(place, "delete", data))[message]["success"]

    async def take_back(self, place: Place, message: str) -> None:
        assert (await self._said(place, "delete", {"notificationIds": [message]}))[message]["success"]

    async def _said(self, place: Place, name: str, data: dict[str, Any]) -> Any:
        return await Velt.of(place.api).said(
            f"notifications/{name}", {"organizationId": place.tenant, **data}
        )


class AptlyWay:
    """It has no word for taking back: who was notified deletes it for themselves."""

    name = "aptly"

    async def send(self, place: Place, note: Note) -> list[str]:
        template = await place.manager.call(
            "POST",
            "/v1/templates",
            {"tenantId": place.tenant, "key": TEMPLATE, "title": "{{title}}", "message": "{{ text }}"},
        )
        assert template.status in {201, 409}, template.body
        body = {
            "templateKey": TEMPLATE,
            "tenantId": place.tenant,
            "userId": place.user,
            "entityType": "place",
            "entityId": "7",
            "placeholders": {"title": note.title, "text": note.text},
            "payload": note.data,
        }
        item = (await good(place.manager.call("POST", "/v1/notifications", body)))["data"]["id"]
        found = await good(place.reader.call("GET", f"/api/v1/notifications/{item}"))
        return [str(found["messageId"])]

    async def inbox(self, place: Place) -> list[Row]:
        found = (await good(place.reader.call("GET", "/v1/notifications?limit=100")))["data"]["data"]
        natively = await good(place.reader.call("GET", "/api/v1/notifications?limit=100"))
        messages = {one["id"]: one["messageId"] for one in natively["notifications"]}
        return [
            (messages[one["id"]], one["title"], one["message"], one["payload"], one["status"] == "READ")
            for one in found
        ]

    async def unread(self, place: Place) -> int:
        return int((await good(place.reader.call("GET", "/v1/notifications/count")))["data"]["unread"])

    async def read(self, place: Place, message: str) -> None:
        path = f"/v1/notifications/{await place.item(message)}/toggle-status"
        await good(place.reader.call("PATCH", path, {"status": "READ"}))

    async def delete(self, place: Place, message: str) -> None:
        await good(place.reader.call("DELETE", f"/v1/notifications/{await place.item(message)}"))

    async def take_back(self, place: Place, message: str) -> None:
        await self.delete(place, message)


WAYS: tuple[Way, ...] = (NativeWay(), SocayoWay(), VeltWay(), AptlyWay())
