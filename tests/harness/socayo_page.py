"""The page of Socayo's API: what is said of all of its calls, and in which order they stand (docs/apis/socayo.md)."""

from server.dialects.socayo.rpc import ROOT, TAG
from tests.harness.api_pages import SERVER, Page, Part

_INTRO = """
# Socayo's notification API

<!-- Written from the routes by `./dev docs`. Change what the routes say of themselves, and run it. -->

Every call is `POST /api/v1/notifications/<name>` with a JSON object, and is answered with one; `inbox-socket` is a WebSocket. A call that needs nothing may come without a body. Unknown fields are passed
over; a field that is null counts as left out. Times are RFC 3339 in UTC with milliseconds. What a call does is what the [native API](../api-reference.md) does: a message that was
sent here is listed, counted, read and taken back there, and the other way round. How to get the tokens, and how to run this behind a gateway: [Publish from your app](../publish-from-your-app.md).

In the tables of answers a `?` is behind what is not always there; what can be null says so.

**Who calls.** `Authorization: Bearer zat_…`. What stands below `manage/` needs a token with the scope `admin` (or an admin who is signed in); the rest is about one user, and
takes a token with `gateway` or `admin` and the header `X-User-ID`, or the user's own sign-in. `X-Tenant-ID` names the tenant, `default` where it is left out, or that of a token that is bound to one.
From anyone else both headers are `403`. Names are 1 to 100 characters; they are your own servers' names for their users and tenants.

**What comes to be.** Calls that send, create, add, register and change make the tenant and the users that they name. Reading makes nothing: who is not there has nothing.

**Lists** take `page` from 1 and `pageSize` up to 100, and say `hasMore`. `total` is exact up to 10,000; of more than that it says 10000, and `totalIsLowerBound` is true.

**Repeating.** What sends takes an `idempotencyKey`: for a day the same call with the same key is answered as the first one was, and sends nothing. With another body it is `409`.

**Errors** are `{"error": {"code", "message", "details": [{"path", "reason", "fix"}]}}`; `details` names every fault of a body at once. [All of them](#errors);
besides, `404 not_found` for a call that there is not, `405 method_not_allowed` for another method than POST, and `500 internal`, of which the server's log says more.
"""

_SAMPLES = {
    "sent": "0197c5a4-8c20-7e66-b753-2dae407c1e31",
    "scheduled": "0197c5a4-8c20-7e66-b753-2dae407c1e32",
    "delayed": "0197c5a4-8c20-7e66-b753-2dae407c1e33",
    "bulk": "0197c5a4-8c20-7e66-b753-2dae407c1e34",
    "to-topic": "0197c5a4-8c20-7e66-b753-2dae407c1e35",
    "notification": "0197c5a4-8c20-7e66-b753-2dae407c1e36",
    "message": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e11",
    "device": "0197c5a4-9d20-7a1f-8d02-6b3c5e9f7a42",
    "device-token": "hpd_…",
    "topic": "0197c5a4-6a00-7c3e-9d1b-5f0a8e2d7b11",
    "session-jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…",
}

SOCAYO = Page(
    file="socayo.md",
    tag=TAG.name,
    root=ROOT,
    golden="socayo",
    intro=_INTRO,
    parts=[
        Part(
            "Devices",
            "What a user is reached by.",
            ["register-push-device", "unregister-push-device", "get-registered-channels"],
        ),
        Part(
            "Inbox",
            "What a user has got by the channel `IN_APP`, the newest first. A `messageId` is one user's; a `notificationId` is the `transactionId` of what was sent.",
            [
                "get-inbox-session",
                "inbox-socket",
                "get-inbox-feed",
                "get-inbox-unseen-count",
                "mark-inbox-message",
                "mark-all-inbox-messages",
                "delete-inbox-message",
            ],
        ),
        Part(
            "Preferences",
            "What a user wants to get. What is of the category `SYSTEM` comes whatever they say.",
            ["get-preferences", "update-preferences"],
        ),
        Part(
            "Sending",
            "Each call is one transaction, by whose id it is cancelled and asked for.",
            [
                "manage/send",
                "manage/send-scheduled",
                "manage/send-delayed",
                "manage/send-bulk",
                "manage/send-to-topic",
                "manage/cancel",
            ],
        ),
        Part(
            "Topics",
            "Named groups of subscribers.",
            [
                "manage/create-topic",
                "manage/delete-topic",
                "manage/add-subscribers-to-topic",
                "manage/remove-subscribers-from-topic",
                "manage/list-topic-subscribers",
                "manage/check-topic-subscription",
            ],
        ),
        Part(
            "Subscribers",
            "A tenant's users.",
            [
                "manage/create-subscriber",
                "manage/get-subscriber",
                "manage/update-subscriber-data",
                "manage/delete-subscriber",
                "manage/list-subscribers",
            ],
        ),
        Part(
            "Delivery",
            "What became of what was sent: `SENT` is on its way, `DELIVERED` is with Apple, Google or the push service, or in the inbox.",
            ["manage/get-delivery-status", "manage/get-notification-activity"],
        ),
    ],
    samples={
        **{f"<{name}>": value for name, value in _SAMPLES.items()},
        "http://<server>": SERVER,
        "ws://<server>": SERVER.replace("https", "wss"),
    },
)
