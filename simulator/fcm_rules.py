"""What FCM's HTTP v1 accepts, after Google's reference of `projects.messages` and `ErrorCode`.

Pure: a decoded body goes in; an accepted `Message` comes out, or `Rejected`, which carries the documented answer.
Field names are proto3 JSON: snake case and camel case both count, an unknown one is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.devices import Device
from simulator.faults import FCM_CODES

LARGEST = 4096
LONGEST_TTL = 2_419_200
TOKEN = re.compile(r"[A-Za-z0-9_-]{11,64}:[A-Za-z0-9_-]{20,512}")
TTL = re.compile(r"([0-9]{1,12})(?:\.[0-9]{1,9})?s")
RESERVED = re.compile(r"from|message_type|(?:google|gcm).*")
PRIORITIES = {"HIGH", "NORMAL"}
TARGETS = ("token", "topic", "condition")
REQUEST_FIELDS = {"message", "validate_only"}
MESSAGE_FIELDS = {"name", "data", "notification", "android", "webpush", "apns", "fcm_options", *TARGETS}
ANDROID_FIELDS = {
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
    "bandwidth_constrained_ok",
    "restricted_satellite_ok",
}
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


class Rejected(Exception):
    """`body` is the whole answer."""

    def __init__(self, status: int, canonical: str, message: str, details: list[dict[str, Any]]) -> None:
        super().__init__(canonical)
        self.status = status
        self.reason = next((str(one["errorCode"]) for one in details if "errorCode" in one), canonical)
        self.body = {"error": {"code": status, "message": message, "status": canonical, "details": details}}


@dataclass(frozen=True)
class Message:
    """`token` is None for a topic or a condition, which nobody here subscribes to; `ttl` in seconds."""

    token: str | None = field(repr=False)
    data: Mapping[str, str] = field(repr=False)
    priority: str
    ttl: float | None
    collapse: str | None
    validate_only: bool


def fcm_error(code: str, message: str) -> Rejected:
    """Make the documented answer for one of FCM's own codes."""
    status, canonical = FCM_CODES[code]
    return Rejected(status, canonical, message, [{"@type": FCM_ERROR, "errorCode": code}])


def invalid(where: str, why: str) -> Rejected:
    """Make a 400 with the field that was wrong."""
    violation: dict[str, Any] = {
        "@type": BAD_REQUEST,
        "fieldViolations": [{"field": where, "description": why}],
    }
    details = [violation, {"@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT"}]
    return Rejected(400, "INVALID_ARGUMENT", why, details)


def read_message(body: Any) -> Message:
    """Check everything about a send request that needs no knowledge of devices."""
    request = _fields(body, REQUEST_FIELDS, "")
    if "message" not in request:
        raise invalid("message", "The message is not set.")
    message = _fields(request["message"], MESSAGE_FIELDS, "message")
    token = _target(message)
    android = _fields(message.get("android", {}), ANDROID_FIELDS, "message.android")
    data = {
        **_data(message.get("data", {}), "message.data"),
        **_data(android.get("data", {}), "message.android.data"),
    }
    return Message(
        token=token,
        data=data,
        priority=_priority(android.get("priority", "NORMAL")),
        ttl=_ttl(android.get("ttl")),
        collapse=_text(android.get("collapse_key"), "message.android.collapse_key"),
        validate_only=request.get("validate_only") is True,
    )


def check_device(token: str, device: Device | None, project: str) -> None:
    if not TOKEN.fullmatch(token):
        raise fcm_error("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token")
    if device is None or device.target.provider != "fcm" or device.gone_since is not None:
        raise fcm_error("UNREGISTERED", "Requested entity was not found.")
    if device.target.app != project:
        raise fcm_error("SENDER_ID_MISMATCH", "SenderId mismatch")


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter.group().lower(), name)


def _fields(value: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(where, f"Invalid value at '{where}' (type.googleapis.com), an object was expected")
    fields = {_snake(name): content for name, content in value.items()}
    for name in fields:
        if name not in known:
            place = f" at '{where}'" if where else ""
            raise invalid(
                where, f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
            )
    if len(fields) < len(value):
        raise invalid(where, "Invalid JSON payload received. A field is given twice.")
    return fields


def _target(message: Mapping[str, Any]) -> str | None:
    given = [name for name in TARGETS if message.get(name)]
    if len(given) != 1:
        raise invalid("message", "Exactly one of token, topic or condition is required")
    target = _text(message[given[0]], f"message.{given[0]}")
    return target if given[0] == "token" else None


def _text(value: Any, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise invalid(where, f"Invalid value at '{where}' (TYPE_STRING), {value!r}")
    return value


def _data(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise invalid(where, f"Invalid value at '{where}' (Map), an object was expected")
    for index, (key, content) in enumerate(value.items()):
        if not isinstance(content, str):
            place = f"{where}[{index}].value"
            raise invalid(place, f"Invalid value at '{place}' (TYPE_STRING), {content!r}")
        if RESERVED.fullmatch(key):
            raise invalid(f"{where}[{index}].key", f"Invalid data payload key: {key}")
    if sum(len(key.encode()) + len(content.encode()) for key, content in value.items()) > LARGEST:
        raise fcm_error("INVALID_ARGUMENT", "Android message is too big")
    return dict(value)


def _priority(value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in PRIORITIES:
        where = "message.android.priority"
        raise invalid(where, f"Invalid value at '{where}' (AndroidMessagePriority), {value!r}")
    return value.upper()


def _ttl(value: Any) -> float | None:
    if value is None:
        return None
    matched = TTL.fullmatch(value) if isinstance(value, str) else None
    if matched is None or float(value[:-1]) > LONGEST_TTL:
        raise invalid(
            "message.android.ttl", "Invalid ttl: a duration of 0 to 2419200 seconds is expected, as '3.5s'"
        )
    return float(value[:-1])
