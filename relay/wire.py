"""The relay's wire format (PROTOCOL.md, sections 3 and 4): structs, limits and error codes, and nothing that acts.

Server, simulator and relay import this module, so that the shapes exist once.
A struct writes only the fields that are set: an absent field and a null are not the same thing on this wire.
Handles and envelopes are secrets to a log: no struct that holds one shows it in `repr`.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

MAX_PUSHES: Final = 500
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_TTL: Final = 2_419_200
COLLAPSE_BYTES: Final = 16
SIZES: Final = (768, 1536, 2304, 2944)
WEBPUSH_LARGEST: Final = 2304

PUSH_PATH: Final = "/v1/push"
STATUS_PATH: Final = "/v1/status"
HANDLES_PATH: Final = "/v1/handles"
APPS_PATH: Final = "/v1/apps"
DIRECTORY_PATH: Final = "/.well-known/http-message-signatures-directory"

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
DIRECTORY_TYPE: Final = "application/http-message-signatures-directory+json"

ERROR_STATUS: Final[dict[str, HTTPStatus]] = {
    "signature_missing": HTTPStatus.UNAUTHORIZED,
    "signature_invalid": HTTPStatus.UNAUTHORIZED,
    "key_mismatch": HTTPStatus.UNAUTHORIZED,
    "created_skew": HTTPStatus.UNAUTHORIZED,
    "signature_expired": HTTPStatus.UNAUTHORIZED,
    "signature_profile": HTTPStatus.BAD_REQUEST,
    "key_not_admitted": HTTPStatus.FORBIDDEN,
    "key_denied": HTTPStatus.FORBIDDEN,
    "pass_invalid": HTTPStatus.FORBIDDEN,
    "nonce_replayed": HTTPStatus.CONFLICT,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "digest_mismatch": HTTPStatus.BAD_REQUEST,
    "bad_json": HTTPStatus.BAD_REQUEST,
    "bad_request": HTTPStatus.BAD_REQUEST,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_pushes": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "encoding_unsupported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "limited": HTTPStatus.TOO_MANY_REQUESTS,
    "nonce_store_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "starting": HTTPStatus.SERVICE_UNAVAILABLE,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}

Priority = Literal["high", "normal"]
PushType = Literal["alert", "background"]
OutcomeStatus = Literal["accepted", "gone", "retry", "rejected"]


class Push(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One push. `id` UUIDv4 in lowercase, `ttl` seconds, `collapse` b64u of 16 bytes.

    `envelope` (b64u) is left out for a wake. Unknown fields are refused: a server that leaks content into the
    request by mistake is told so instead of being served.
    """

    id: str
    handle: str
    envelope: str | UnsetType = UNSET
    priority: Priority
    ttl: int
    collapse: str
    type: PushType

    def __repr__(self) -> str:
        return f"Push(id={self.id!r}, type={self.type!r})"


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one push. `id` is None only where the push had no usable one.

    `reason` is from the relay's own tables (snake case); `retryAfter` seconds; `since` milliseconds since the
    epoch.
    """

    id: str | None
    status: OutcomeStatus
    reason: str | None = None
    providerId: str | None = None  # noqa: N815  the wire's name
    retryAfter: int | None = None  # noqa: N815  the wire's name
    since: int | None = None


class Pushes(msgspec.Struct, frozen=True):
    """The body of `POST /v1/push`."""

    pushes: Sequence[Push]


class Outcomes(msgspec.Struct, frozen=True):
    """The body of its answer."""

    outcomes: list[Outcome]


class App(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of `GET /v1/apps`."""

    provider: Literal["apns", "fcm", "webpush"]
    app: str
    environment: Literal["production", "sandbox"]
    applicationServerKey: str | None = None  # noqa: N815  the wire's name


class LimitState(msgspec.Struct, frozen=True, kw_only=True):
    """One limit in `GET /v1/status`; `resetsAt` milliseconds since the epoch."""

    name: str
    limit: int
    remaining: int
    resetsAt: int  # noqa: N815  the wire's name


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `GET /v1/status`; `server` is the caller's key id."""

    limits: list[LimitState]
    apps: list[App]
    server: str


def encode_pushes(pushes: Iterable[Push]) -> bytes:
    return msgspec.json.encode(Pushes(list(pushes)))


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    return msgspec.json.encode(Outcomes(outcomes))


def decode_outcomes(body: bytes) -> list[Outcome]:
    """Read an answer's body. Raises `msgspec.MsgspecError` where it is not one; unknown fields are ignored."""
    return msgspec.json.decode(body, type=Outcomes).outcomes
