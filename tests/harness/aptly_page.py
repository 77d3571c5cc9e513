"""The page of Aptly's API: what is said of all of its operations, and in which order they stand (docs/apis/aptly.md)."""

from http import HTTPStatus

from server.dialects.aptly.rest import ROOT, TAG
from tests.harness.api_pages import Page, Part

_INTRO = """
# Aptly's notification API

<!-- Written from the routes by `./dev docs`. Change what the routes say of themselves, and run it. -->

Notifications that are made from templates, and the inboxes that hold them. Every path stands below `/notification/v1/` as well as below `/v1/`. Bodies are JSON objects; unknown fields are passed over; a field that is null counts as left out.
Every answer is `{"statusCode": 200, "timestamp", "message": "Success", "data"}`; what is created comes with the HTTP status 201. Times are RFC 3339 in UTC with milliseconds. What a request does is what the [native API](../api-reference.md) does: a notification that was made here is pushed, listed, counted and read there,
and what was sent there is in the inbox here. What to change in a client, and how to make its tokens: [Publish from your app](../publish-from-your-app.md#8-from-an-aptly-client).

In the tables of answers a `?` is behind what is not always there; what can be null says so. In those of fields a `?` is before what stands in the URL's query.

**Who calls.** `Authorization: Bearer zat_…`. Templates and new notifications need a token with the scope `admin` (or an admin who is signed in). The rest is about one user's inbox: a token with `gateway` or `admin` and the header `X-User-ID`, or the user's own sign-in.

**The tenant** is the `tenantId` of a body or a query, or the header `X-Tenant-ID`; that of a token that is bound to one, where nothing is said. Where it is said twice, both have to agree. Another tenant than the token's is `404`, as one that nobody has; in the header it is `403`.

**What comes to be.** A tenant that a template names for the first time, and a user whom a notification names. Reading makes nothing.

**Ids** are those of entries in an inbox: a notification for one user has one. [Templates](#post-v1templates) have placeholders, `{{name}}`, in title and text; a value that is missing is `400`, one that the template does not need is passed over.

**Lists** take `page` from 1 and `limit` up to 100, 20 where it is left out. `total` is exact up to 10,000; of more than that it says 10000, and `totalIsLowerBound` is true.

**Errors** are `{"statusCode", "timestamp", "message", "error"}`; `message` names every fault of a request at once. [All of them](#errors); besides, `404 Not Found` for a path that there is not, `405 Method Not Allowed`, and `500 Internal Server Error`, of which the server's log says more.
"""


def refused(status: int, _code: str) -> tuple[int, str]:
    """Return the status, and how it is called."""
    return status, HTTPStatus(status).phrase


APTLY = Page(
    file="aptly.md",
    tag=TAG.name,
    root=ROOT,
    golden="aptly",
    intro=_INTRO,
    parts=[
        Part(
            "Notifications",
            "From a template to an inbox, and what its user does with it.",
            [
                "POST /v1/notifications",
                "GET /v1/notifications",
                "GET /v1/notifications/count",
                "GET /v1/notifications/{id}",
                "PATCH /v1/notifications/{id}/toggle-status",
                "PATCH /v1/notifications/mark-all",
                "DELETE /v1/notifications/{id}",
            ],
        ),
        Part(
            "Templates",
            "What notifications say. Changing or deleting one changes nothing that was sent.",
            [
                "POST /v1/templates",
                "GET /v1/templates",
                "GET /v1/templates/{id}",
                "PATCH /v1/templates/{id}",
                "DELETE /v1/templates/{id}",
            ],
        ),
    ],
    samples={
        "<template>": "0197c5a4-6a00-7c3e-9d1b-5f0a8e2d7b12",
        "<notification>": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e11",
        "<printed>": "550e8400-e29b-41d4-a716-446655440002",
        "<missing>": "placeholders.delegation_id is missing: the template needs it",
    },
    methods=True,
    refused=refused,
    faults="message",
    envelope={"statusCode", "timestamp", "message"},
)
