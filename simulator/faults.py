"""What a provider can be told to do wrong. `simulator.scripts` reads what it is told, and to whom.

A fault meets only a request that would have been accepted: a faulty request is refused for its own fault, as a
real provider would, and does not use up a script. Over HTTP/1.1, a fault that only HTTP/2 has
drops the connection, after delivering where it would have delivered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

APNS_REASONS = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
"""Reason and status, from Apple's "Handling error responses from Apple Push Notification service"."""

FCM_CODES = {
    "UNSPECIFIED_ERROR": (500, "UNKNOWN"),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT"),
    "UNREGISTERED": (404, "NOT_FOUND"),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "INTERNAL": (500, "INTERNAL"),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED"),
}
"""FCM's error code, HTTP status and canonical code, from the v1 reference's `ErrorCode`."""

OAUTH_ERRORS = {
    "invalid_grant": 400,
    "invalid_scope": 400,
    "invalid_request": 400,
    "unsupported_grant_type": 400,
    "invalid_client": 401,
    "unauthorized_client": 401,
    "internal_failure": 500,
    "temporarily_unavailable": 503,
}


class Kind(StrEnum):
    """The word "answers" below: with a `reason` or a `status` it is that refusal, without it the push is accepted."""

    ANSWER = "answer"
    """The refusal that `reason` or `status` names; its body filled up to `size` bytes."""
    HANG = "hang"
    """Never answers; the connection goes on."""
    DELAY = "delay"
    """Delivers, and answers `delay` seconds later."""
    SLOW = "slow"
    """Answers in pieces, `delay` seconds apart: HEADERS, then each byte of the body, then the end of the stream."""
    PADDED = "padded"
    """Answers in frames padded as far as they can be (HTTP/2)."""
    CONTINUED = "continued"
    """Answers with a header block in many CONTINUATION frames (HTTP/2)."""
    INTERIM = "interim"
    """Answers after a frame of an unknown type and an informational 103 (HTTP/2)."""
    TRAILERS = "trailers"
    """Answers with trailers after the body (HTTP/2)."""

    RESET = "reset"
    """RST_STREAM with `code`; nothing was delivered (HTTP/2)."""
    REFUSED = "refused"
    """RST_STREAM REFUSED_STREAM: certainly not processed, may be sent again (HTTP/2)."""
    RESET_AFTER = "reset_after"
    """Delivers, then RST_STREAM with `code`: the sender cannot know (HTTP/2)."""

    GOAWAY = "goaway"
    """GOAWAY with this stream unprocessed, then closes (HTTP/2). `code` and `reason` are the GOAWAY's."""
    GOAWAY_OPEN = "goaway_open"
    """GOAWAY with this stream unprocessed, after which the connection stays open and silent (HTTP/2)."""
    GOAWAY_DRAIN = "goaway_drain"
    """GOAWAY with this stream unprocessed; earlier ones are still answered, newer ones ignored, and the connection
    stays open until the client closes it (HTTP/2)."""
    GOAWAY_TAKEN = "goaway_taken"
    """Delivers, then GOAWAY that counts this stream as processed, and closes: the sender cannot know (HTTP/2)."""
    GOAWAY_ANSWERED = "goaway_answered"
    """GOAWAY that counts this stream as processed; it is answered after that, and the rest is as `goaway_drain`."""
    GOAWAY_GRACEFUL = "goaway_graceful"
    """Answers; GOAWAY with the highest stream id as a notice, `delay` seconds later the final one, and closes when
    everything until then is answered (HTTP/2)."""

    SETTINGS = "settings"
    """Answers; new `settings` of the connection, put back after `delay` seconds if that is not 0 (HTTP/2)."""
    STALL = "stall"
    """Answers; no WINDOW_UPDATE any more, or none for `delay` seconds if that is not 0 (HTTP/2)."""
    MUTE = "mute"
    """The connection reads nothing and answers nothing any more, not even PING, or not for `delay` seconds."""
    WRONG = "wrong"
    """Sends bytes that HTTP/2 does not allow, `form` says which (simulator.http2_frames.WRONG), and goes on
    as if nothing had been; a connection that begins so says nothing more (HTTP/2)."""

    CLOSE = "close"
    """Drops the connection without a word, not even TLS's; nothing was delivered."""
    HANG_UP = "hang_up"
    """Closes the connection as TLS wants it, with no word of HTTP; nothing was delivered."""
    LOSE = "lose"
    """Delivers to the device, then drops the connection: the sender cannot know."""

    CERTIFICATE = "certificate"
    """A new connection is shown a certificate that does not fit: `form` is one of CERTIFICATES."""
    UNREACHABLE = "unreachable"
    """New connections are refused from now on, for `delay` seconds; open ones stay."""


ONLY_HTTP2 = frozenset(
    {
        *(Kind.PADDED, Kind.CONTINUED, Kind.INTERIM, Kind.TRAILERS),
        *(Kind.RESET, Kind.REFUSED, Kind.RESET_AFTER, Kind.SETTINGS, Kind.STALL, Kind.WRONG),
        *(kind for kind in Kind if kind.startswith("goaway")),
    }
)
MAY_REFUSE = frozenset(
    {
        *(Kind.ANSWER, Kind.DELAY, Kind.SLOW, Kind.PADDED, Kind.CONTINUED, Kind.INTERIM, Kind.TRAILERS),
        *(Kind.SETTINGS, Kind.STALL),
    }
)
"""Those that answer with the refusal that a script states."""
ANSWERS = (MAY_REFUSE - {Kind.ANSWER}) | {Kind.GOAWAY_ANSWERED, Kind.GOAWAY_GRACEFUL}
DELIVERS = ANSWERS | {Kind.LOSE, Kind.RESET_AFTER, Kind.GOAWAY_TAKEN}
HAS_CODE = frozenset({Kind.RESET, Kind.RESET_AFTER, *(kind for kind in Kind if kind.startswith("goaway"))})
HAS_FORM = frozenset({Kind.WRONG, Kind.CERTIFICATE})
AT_CONNECT = frozenset(
    {
        Kind.CLOSE,
        Kind.HANG_UP,
        Kind.MUTE,
        Kind.SETTINGS,
        Kind.STALL,
        Kind.WRONG,
        Kind.GOAWAY,
        Kind.CERTIFICATE,
    }
)
"""Those that may meet a new connection instead of a push."""
CERTIFICATES = ("name", "expired", "stranger", "none")
"""Of another host; out of date; of an authority that nobody knows; none, the handshake is broken off."""
PROVIDERS = ("apns", "fcm", "google", "webpush")
"""`google` is the OAuth 2 token endpoint; it shares its listener with `fcm`."""
OF_WEBPUSH = frozenset(
    {
        *(Kind.ANSWER, Kind.HANG, Kind.DELAY, Kind.SLOW, Kind.CLOSE, Kind.HANG_UP, Kind.LOSE),
        *(Kind.CERTIFICATE, Kind.UNREACHABLE),
    }
)


class BadScript(ValueError):
    """A fault that no provider could show; the text names the field and what would be right."""


@dataclass(frozen=True)
class Fault:
    """`since` in milliseconds (a 410's timestamp); `retry_after` is the header as given: seconds or an HTTP date.

    `status` is 0 where no refusal was asked for; `code` and the names in `settings` are HTTP/2's own.
    """

    kind: Kind
    reason: str
    status: int
    retry_after: str | None
    since: int | None
    delay: float
    size: int
    code: str
    form: str
    settings: Mapping[str, int]

    @property
    def delivers(self) -> bool:
        """Whether a push that meets it is accepted, whatever its sender learns."""
        return self.kind in DELIVERS and not self.refuses

    @property
    def refuses(self) -> bool:
        return self.kind in MAY_REFUSE and self.status != 0

    def answered(self, right: int) -> int:
        """Give the status that goes out, `right` where the push is accepted and 0 where none does."""
        if self.refuses:
            return self.status
        return right if self.kind in ANSWERS else 0
