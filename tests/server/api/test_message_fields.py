"""Each field of a message, of an attachment and of an action: what becomes of a good value, and what is said of a bad one."""

from typing import Any

import pytest

from server.api.reading import DEEPEST_BODY
from server.domain.message import DEEPEST_DATA, MOST_PARTS
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
URL = "https://example.com/a"
LONG = "x" * 101
LONG_URL = f"https://example.com/{'x' * 2029}"
MISSING = object()

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def attachment(**more: Any) -> dict[str, Any]:
    return {"attachments": [{"mediaType": "IMAGE", "url": URL} | more]}


def action(kind: str, value: Any = MISSING, **more: Any) -> dict[str, Any]:
    entry = {"type": kind, **more} | ({} if value is MISSING else {"value": value})
    return {"actions": [entry], "tapAction": entry}


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"title": None}, "title", "is missing"),
    ({"title": ""}, "title", "is empty"),
    ({"title": LONG}, "title", "has 101 characters"),
    ({"title": 5}, "title", "is a number"),
    ({"title": "a\x00"}, "title", "holds a control character"),
    ({"subtitle": LONG}, "subtitle", "has 101 characters"),
    ({"body": "x" * 501}, "body", "has 501 characters"),
    ({"bucketId": None}, "bucketId", "is missing"),
    ({"bucketId": []}, "bucketId", "is a list"),
    ({"deliveryType": None}, "deliveryType", "is missing"),
    ({"deliveryType": "normal"}, "deliveryType", "is none of the known words"),
    ({"attachments": {}}, "attachments", "is an object"),
    ({"attachments": '[{"mediaType": "IMAGE"}]'}, "attachments", "is a text"),
    ({"attachments": [{"mediaType": "IMAGE", "url": URL}] * 11}, "attachments", "has 11 entries"),
    ({"attachments": [None]}, "attachments[0]", "is null"),
    ({"actions": "DELETE"}, "actions", "is a text"),
    ({"actions": [{"type": "DISMISS"}] * 11}, "actions", "has 11 entries"),
    ({"actions": ["DISMISS"]}, "actions[0]", "is a text"),
    ({"tapAction": []}, "tapAction", "is a list"),
    ({"tapAction": {}}, "tapAction.type", "is missing"),
    ({"sound": LONG}, "sound", "has 101 characters"),
    ({"sound": "a\nb"}, "sound", "holds a control character or a line break"),
    ({"addMarkAsReadAction": "true"}, "addMarkAsReadAction", "is a text"),
    ({"addOpenNotificationAction": 1}, "addOpenNotificationAction", "is a number"),
    ({"addDeleteAction": []}, "addDeleteAction", "is a list"),
    ({"snoozes": 5}, "snoozes", "is a number"),
    ({"snoozes": [5] * 11}, "snoozes", "has 11 entries"),
    ({"snoozes": [0, 5, 10_081, "5", 1.5]}, "snoozes[0] snoozes[2] snoozes[3] snoozes[4]", "is out of range"),
    ({"postpones": [0]}, "postpones[0]", "is out of range"),
    ({"locale": "en_EN"}, "locale", "is not a language tag (BCP 47)"),
    ({"groupId": LONG}, "groupId", "has 101 characters"),
    ({"groupId": " a"}, "groupId", "begins or ends with a space"),
    ({"collapseId": LONG}, "collapseId", "has 101 characters"),
    ({"userIds": []}, "userIds", "names nobody"),
    ({"userIds": 5}, "userIds", "is a number"),
    ({"userIds": ["a", 5]}, "userIds[1]", "is a number"),
    ({"userIds": '["a", '}, "userIds", "is not JSON (line 1, column 7: unexpected end of data)"),
    ({"imageUrl": "/a.png"}, "imageUrl", "is not an http or https URL"),
    ({"videoUrl": "ftp://example.com/a"}, "videoUrl", "is not an http or https URL"),
    ({"gifUrl": LONG_URL}, "gifUrl", "has 2049 characters"),
    ({"tapUrl": "javascript:alert(1)"}, "tapUrl", "has a scheme that a tap must not open"),
    ({"tapUrl": "data:text/html,x"}, "tapUrl", "has a scheme that a tap must not open"),
    ({"tapUrl": "file:///etc/passwd"}, "tapUrl", "has a scheme that a tap must not open"),
    ({"tags": ["a"] * 11}, "tags", "has 11 entries"),
    ({"tags": ["a", LONG]}, "tags[1]", "has 101 characters"),
    ({"ephemeral": "yes"}, "ephemeral", "is a text"),
    ({"remindEveryMinutes": 0}, "remindEveryMinutes", "is out of range"),
    ({"remindEveryMinutes": 10_081}, "remindEveryMinutes", "is out of range"),
    ({"remindEveryMinutes": 5, "maxReminders": 101}, "maxReminders", "is out of range"),
    ({"maxReminders": 3}, "maxReminders", "is given without remindEveryMinutes"),
]

BAD_ATTACHMENTS: list[tuple[dict[str, Any], str, str]] = [
    ({"mediaType": None}, "mediaType", "is missing"),
    ({"mediaType": "PICTURE"}, "mediaType", "is none of the known words"),
    ({"mediaType": 5}, "mediaType", "is a number"),
    ({"name": LONG}, "name", "has 101 characters"),
    ({"name": "a\nb"}, "name", "holds a control character or a line break"),
    ({"url": None}, "url", "is missing"),
    ({"url": "javascript:alert(1)"}, "url", "is not an http or https URL"),
    ({"url": LONG_URL}, "url", "has 2049 characters"),
    ({"attachmentUuid": "01991a3e-0000-7000-8000-000000000000"}, "url", "is given beside attachmentUuid"),
    ({"url": None, "attachmentUuid": "5"}, "attachmentUuid", "is not an id"),
    ({"saveOnServer": "true"}, "saveOnServer", "is a text"),
]

BAD_ACTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"actions": [{}]}, "actions[0].type", "is missing"),
    (action("EXPLODE", "x"), "tapAction.type", "is none of the known words"),
    (action("NAVIGATE"), "actions[0].value", "is missing"),
    (action("NAVIGATE", ""), "actions[0].value", "is empty"),
    (action("NAVIGATE", "javascript:alert(1)"), "tapAction.value", "has a scheme that a tap must not open"),
    (action("OPEN_URL", "//evil.example"), "actions[0].value", "is neither a URL nor a path"),
    (action("NAVIGATE", LONG_URL), "actions[0].value", "has 2049 characters"),
    (action("BACKGROUND_CALL", URL), "actions[0].value", "does not begin with a method and ::"),
    (action("BACKGROUND_CALL", f"TRACE::{URL}"), "actions[0].value", "does not begin with a method and ::"),
    (action("BACKGROUND_CALL", "POST::/a"), "actions[0].value", "is not an http or https URL"),
    (action("WEBHOOK"), "actions[0].value", "is missing"),
    (action("WEBHOOK", f"POST::{URL}"), "actions[0].value", "is not an http or https URL"),
    (action("WEBHOOK", "https://user:pw@a.example/"), "actions[0].value", "has a user name or password"),
    (
        action("BACKGROUND_CALL", "PUT::https://u@a.example"),
        "tapAction.value",
        "has a user name or password",
    ),
    (action("SNOOZE"), "actions[0].value", "is missing"),
    (action("SNOOZE", "soon"), "actions[0].value", "is a text"),
    (action("SNOOZE", 0), "actions[0].value", "is out of range"),
    (action("POSTPONE", "10081"), "actions[0].value", "is out of range"),
    (action("POSTPONE", "9" * 5000), "actions[0].value", "is out of range"),
    (action("POSTPONE", 1.5), "actions[0].value", "is a number"),
    (action("DELETE", 5), "actions[0].value", "is a number"),
    (action("DELETE", destructive="yes"), "actions[0].destructive", "is a text"),
    (action("DELETE", icon=LONG), "actions[0].icon", "has 101 characters"),
    (action("DELETE", title=LONG), "tapAction.title", "has 101 characters"),
]


@pytest.mark.parametrize(("more", "paths", "reason"), BAD_FIELDS + BAD_ACTIONS)
async def test_a_bad_value_is_named_with_its_place(
    admin: Person, more: dict[str, Any], paths: str, reason: str
) -> None:
    """Each, and what is right beside it is not."""
    body = {"title": "Hi", "bucketId": "default", "deliveryType": "NORMAL"} | more
    refused = await admin.api.post(MESSAGES, body)
    assert (refused.status, refused.code) == (400, "invalid")
    expected = set(paths.split())
    if "tapAction" in more and "actions" in more:  # the same action in both places
        [path] = expected
        expected |= {path.replace("tapAction", "actions[0]"), path.replace("actions[0]", "tapAction")}
    assert refused.faults.keys() == expected
    assert refused.faults[paths.split(maxsplit=1)[0]] == reason


@pytest.mark.parametrize(("more", "name", "reason"), BAD_ATTACHMENTS)
async def test_what_is_wrong_with_an_attachment_is_named_with_its_place(
    house: House, admin: Person, more: dict[str, Any], name: str, reason: str
) -> None:
    refused = await house.send(admin.api, "default", **attachment(**more))
    assert (refused.status, refused.faults) == (400, {f"attachments[0].{name}": reason})


@pytest.mark.parametrize(
    ("media", "stored"),
    [(one, one) for one in ("IMAGE", "VIDEO", "GIF", "AUDIO", "ICON", "FILE")] + [("DOCUMENT", "FILE")],
)
async def test_an_attachment_is_of_a_kind(house: House, admin: Person, media: str, stored: str) -> None:
    sent = await house.send(admin.api, "default", **attachment(mediaType=media, name="a", unknown=1))
    assert sent["attachments"] == [{"mediaType": stored, "name": "a", "url": URL}]


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("NAVIGATE", "/orders/123", {"value": "/orders/123"}),
        ("NAVIGATE", "myapp://orders/123", {"value": "myapp://orders/123"}),
        ("OPEN_URL", URL, {"type": "NAVIGATE", "value": URL}),
        ("BACKGROUND_CALL", f"DELETE::{URL}", {"value": f"DELETE::{URL}"}),
        ("WEBHOOK", URL, {"value": URL}),
        ("SNOOZE", 15, {"value": "15"}),
        ("SNOOZE", "15", {"value": "15"}),
        ("POSTPONE", 10_080.0, {"value": "10080"}),
        ("MARK_AS_READ", MISSING, {}),
        ("DELETE", "", {}),
        ("OPEN_NOTIFICATION", None, {}),
        ("DISMISS", "later", {"value": "later"}),
    ],
)
async def test_an_action_has_the_value_that_its_type_needs(
    house: House, admin: Person, kind: str, value: Any, stored: dict[str, Any]
) -> None:
    more = action(kind, value, title="Do it", icon="check", destructive=True, unknown=1)
    sent = await house.send(admin.api, "default", **more)
    expected = {"type": kind, "title": "Do it", "icon": "check", "destructive": True} | stored
    assert sent.status == 201, sent.body
    assert (sent["actions"], sent["tapAction"]) == ([expected], expected)


async def test_flags_add_actions_that_are_not_there(house: House, admin: Person) -> None:
    flags = {"addMarkAsReadAction": True, "addOpenNotificationAction": True, "addDeleteAction": True}
    own = {"type": "MARK_AS_READ", "title": "Seen"}
    sent = await house.send(admin.api, "default", actions=[own], **flags)
    added = [{"type": "OPEN_NOTIFICATION"}, {"type": "DELETE", "destructive": True}]
    assert sent["actions"] == [own, *added]


async def test_a_tap_action_is_said_once_and_in_full_before_in_short(house: House, admin: Person) -> None:
    sent = await house.send(admin.api, "default", tapUrl="/short", tapAction={"type": "DISMISS"})
    assert sent["tapAction"] == {"type": "DISMISS"}


async def test_what_shortcuts_add_counts(house: House, admin: Person) -> None:
    """Towards the most that there may be."""
    many = {"attachments": [{"mediaType": "IMAGE", "url": URL}] * MOST_PARTS, "imageUrl": URL}
    buttons = {"actions": [{"type": "DISMISS"}] * MOST_PARTS, "addDeleteAction": True}
    refused = await house.send(admin.api, "default", **many, **buttons)
    reason = "has 11 entries, with what shortcuts and files add"
    assert (refused.status, refused.faults) == (400, {"attachments": reason, "actions": reason})


async def test_an_ephemeral_message_lives_for_a_day_and_may_remind(house: House, admin: Person) -> None:
    sent = await house.send(admin.api, "default", ephemeral=True, remindEveryMinutes=30)
    assert (sent["ephemeral"], sent["remindEveryMinutes"], sent["maxReminders"]) == (True, 30, 10)
    assert sent["expiresAt"] == "2027-01-16T08:00:00.000Z"


@pytest.mark.parametrize("levels", [DEEPEST_DATA + 1, DEEPEST_BODY, 300, 1000])
async def test_what_is_nested_too_deep_is_refused(admin: Person, levels: int) -> None:
    """In what is read, in JSON and in a form, and in what would be passed over but for the key of the request."""
    deep, key = b"[" * levels + b"]" * levels, {"Idempotency-Key": str(levels)}
    start = b'{"title": "Hi", "bucketId": "default", "deliveryType": "NORMAL", '
    data = await admin.api.call("POST", MESSAGES, raw=start + b'"data": {"a": %b}}' % deep)
    place = "data" if levels + 2 <= DEEPEST_BODY else ""
    assert (data.status, {*data.faults}) == (400, {place})
    other = await admin.api.call("POST", MESSAGES, raw=start + b'"other": %b}' % deep, headers=key)
    assert other.status == (201 if levels < DEEPEST_BODY else 400)
    form = b'title=Hi&bucketId=default&data={"a":%b}' % deep
    as_form = await admin.api.call(
        "POST", MESSAGES, raw=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (as_form.status, {*as_form.faults}) == (400, {"data"})


async def test_what_is_long_and_flat_is_not_too_deep(house: House, admin: Person) -> None:
    many: list[list[str]] = [[] for _ in range(10 * DEEPEST_BODY)]
    assert (await house.send(admin.api, "default", other=many)).status == 201


async def test_every_fault_is_named_at_once(house: House, admin: Person) -> None:
    """However deep it is."""
    wrong = {"attachments": [{"mediaType": "X"}, {"url": "x"}], "actions": [{"type": "SNOOZE", "value": 0}]}
    refused = await house.send(admin.api, "default", title="", tags=[""], **wrong)
    assert refused.faults.keys() == {
        "title",
        "tags[0]",
        "attachments[0].mediaType",
        "attachments[0].url",
        "attachments[1].mediaType",
        "attachments[1].url",
        "actions[0].value",
    }
