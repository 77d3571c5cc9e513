"""The page of Velt's API: what is said of all of its calls, and in which order they stand (docs/apis/velt.md)."""

from http import HTTPStatus

from server.api.answers import Refused
from server.dialects.velt.errors import show_error, status_of
from server.dialects.velt.rpc import ROOT, TAG
from tests.harness.api_pages import Page, Part

_INTRO = """
# Velt's notification API

<!-- Written from the routes by `./dev docs`. Change what the routes say of themselves, and run it. -->

Every call is `POST /v2/<name>` with `{"data": {…}}`, and is answered with `{"result": {"status": "success", "message", "data"}}`. Unknown fields are passed over; a field that is null counts as left out. Times are RFC 3339 in UTC with milliseconds.
What a call does is what the [native API](../api-reference.md) does: a notification that was added here is pushed, listed, counted, read and taken back there, and the other way round. What to change in a client, and how to make its tokens:
[Publish from your app](../publish-from-your-app.md#7-from-a-velt-client).

In the tables of answers a `?` is behind what is not always there, and `*` stands for each id that is a name of a field; what can be null says so.

**Who calls.** Two headers, both needed: `x-velt-auth-token` says who this is, `x-velt-api-key` is any access token of this server (the same one will do). With an `admin` token, or an admin's sign-in, as the auth token every call is open; a token with `gateway` may call
[notifications/get](#notificationsget) for the user whom it names; who is signed in may call it for themselves. Where either token is bound to a tenant, nothing else is there: another organization is `404`, as one that nobody has.

**Organizations are tenants**, and an organization's users are all users of the tenant, whichever API has made them. Documents are things that notifications are about, with a list of who has access.

**What comes to be.** Users come to be by being named. An organization or a document that is not there is `404`, but where [notifications/add](#notificationsadd) is told to make it.

**Lists** take `pageSize` up to 100, 20 where it is left out; where there is more, `pageToken` beside `data` is what the next call takes.

**Repeating.** A notification with a `notificationId` of your own is added once: the same call again does nothing, another one under the same id is `409`. Where it is deleted its id is free.

**Errors** are `{"error": {"message", "status"}}`; `message` names every fault of a body at once, with its place and what would be right. [All of them](#errors); besides, `NOT_FOUND` for a call that there is not, and `INTERNAL` (500), of which the server's log says more.
"""


def refused(status: int, code: str) -> tuple[int, str]:
    """Return the HTTP status and the word with which this API shows a refusal."""
    what = Refused(HTTPStatus(status), code, "", ())
    return show_error(what).status, status_of(what).value


VELT = Page(
    file="velt.md",
    tag=TAG.name,
    root=ROOT,
    golden="velt",
    intro=_INTRO,
    parts=[
        Part(
            "Notifications",
            "What somebody has done in a document, for those whom it concerns.",
            ["notifications/add", "notifications/get", "notifications/update", "notifications/delete"],
        ),
        Part(
            "Organizations",
            "Worlds of their own: what is of one is not there for another.",
            ["organizations/add", "organizations/get", "organizations/update", "organizations/delete"],
        ),
        Part(
            "Users of an organization",
            "Those whom its notifications can reach.",
            ["organizations/users/add", "organizations/users/get", "organizations/users/remove"],
        ),
        Part(
            "Documents",
            "What notifications are about.",
            ["documents/add", "documents/get", "documents/update", "documents/delete"],
        ),
        Part(
            "Access to documents",
            "Who is on a document's list, and to which values of its fields they have access. A notification with `verifyUserPermissions` reaches who is on the list;"
            " one with `context.access` reaches who has access to every value that it names.",
            ["documents/access/add", "documents/access/get", "documents/access/remove"],
        ),
        Part(
            "Where texts are asked for",
            "Of a notification with `isNotificationResolverUsed` this server keeps no texts: it asks the organization's own server for them. [What that one has to answer](../keep-the-texts-yourself.md).",
            ["organizations/resolver/set", "organizations/resolver/get"],
        ),
    ],
    samples={
        "<error-message>": "data.notifyUsers is empty: name somebody, or leave out notifyAll to reach everyone",
        "<with-context>": "0197c5a4-8c20-7e66-b753-2dae407c1e37",
        "<with-permissions>": "0197c5a4-8c20-7e66-b753-2dae407c1e38",
        "<secret>": "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    },
    refused=refused,
    faults="message",
    envelope={"result", "result.status", "result.message"},
)
