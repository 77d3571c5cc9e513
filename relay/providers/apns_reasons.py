"""APNs' answers as verdicts: every reason that Apple documents, and why it is what it is.

The list is that of "Handling notification responses from APNs".

`gone` retires a handle for good, so only the two reasons that Apple gives for a token that was valid and no
longer is may say it. Whatever can also mean that this relay is wrongly configured is `rejected`: the device
stays.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from relay.providers.provider import Verdict

_GONE_STATUS: Final = 410
_THROTTLED_STATUS: Final = 429
_SERVER_FAULT: Final = 500
_LATEST: Final = 2**53
"""Milliseconds; no time is beyond, and nobody need store a longer number."""

REASONS: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        # 400. A token of another environment looks the same to Apple as a malformed one: maybe our
        # configuration.
        "BadDeviceToken": Verdict("rejected", "bad_device_token"),
        # The app's topic is not that of the token: the app was registered under the wrong name, or we use the
        # wrong one.
        "DeviceTokenNotForTopic": Verdict("rejected", "wrong_topic"),
        # The topic is configured here, and this key may not use it.
        "TopicDisallowed": Verdict("rejected", "topic_disallowed"),
        "BadTopic": Verdict("rejected", "wrong_topic"),
        "MissingTopic": Verdict("rejected", "wrong_topic"),
        # Headers and paths that only we write: a bug of ours, the same at every attempt.
        "BadCollapseId": Verdict("rejected", "bad_provider_request"),
        "BadExpirationDate": Verdict("rejected", "bad_provider_request"),
        "BadMessageId": Verdict("rejected", "bad_provider_request"),
        "BadPriority": Verdict("rejected", "bad_provider_request"),
        "DuplicateHeaders": Verdict("rejected", "bad_provider_request"),
        "InvalidPushType": Verdict("rejected", "bad_provider_request"),
        "MissingDeviceToken": Verdict("rejected", "bad_provider_request"),
        "PayloadEmpty": Verdict("rejected", "bad_provider_request"),
        # The connection was idle too long and closes; a new one is made for the next attempt.
        "IdleTimeout": Verdict("retry", "connection_lost"),
        # 403. Certificates are not used here: Apple saw no token where it wanted one.
        "BadCertificate": Verdict("rejected", "credentials_refused"),
        "BadCertificateEnvironment": Verdict("rejected", "credentials_refused"),
        "MissingProviderToken": Verdict("rejected", "credentials_refused"),
        # The key is revoked, or key id, team id and key do not belong together.
        "InvalidProviderToken": Verdict("rejected", "credentials_refused"),
        "Forbidden": Verdict("rejected", "credentials_refused"),
        # Since 2025 keys are bound to an environment or to topics; this one is for others.
        "BadEnvironmentKeyIdInToken": Verdict("rejected", "credentials_refused"),
        "BadEnvironmentKeyInToken": Verdict("rejected", "credentials_refused"),
        "UnrelatedKeyIdInToken": Verdict("rejected", "credentials_refused"),
        # Older than an hour by Apple's clock: the next attempt carries a new one.
        "ExpiredProviderToken": Verdict("retry", "provider_token_expired", retry_after=5),
        # 404, 405. The path is ours, but for the token, which was checked to be hexadecimal.
        "BadPath": Verdict("rejected", "bad_provider_request"),
        "MethodNotAllowed": Verdict("rejected", "bad_provider_request"),
        # 410. The two that mean what `gone` means; both say since when.
        "Unregistered": Verdict("gone", "unregistered"),
        "ExpiredToken": Verdict("gone", "token_expired"),
        # 413. The four sizes fit, so this is a limit that Apple changed: never going to work as it is.
        "PayloadTooLarge": Verdict("rejected", "payload_too_large"),
        # 429. Tokens are renewed once in forty minutes; another process with this key renews too often.
        "TooManyProviderTokenUpdates": Verdict("retry", "provider_token_updates", retry_after=60),
        # Too many to this one device.
        "TooManyRequests": Verdict("retry", "throttled", retry_after=60),
        # 500, 503. No wait is given: the server's own back-off reaches the quarter of an hour that Apple
        # speaks of.
        "InternalServerError": Verdict("retry", "provider_error"),
        "ServiceUnavailable": Verdict("retry", "unavailable"),
        "Shutdown": Verdict("retry", "unavailable"),
    }
)


def verdict(status: int, body: bytes) -> Verdict:
    """The verdict of an answer other than 200. Unknown reasons go by the status, and never beyond what it says."""
    reason, since = _read(body)
    known = REASONS.get(reason) or _by_status(status)
    return Verdict("gone", known.reason, since=since) if known.status == "gone" else known


def _by_status(status: int) -> Verdict:
    if status == _GONE_STATUS:
        return Verdict("gone", "unregistered")
    if status == _THROTTLED_STATUS:
        return Verdict("retry", "throttled", retry_after=60)
    if status >= _SERVER_FAULT:
        return Verdict("retry", "unavailable")
    return Verdict("rejected", "unknown_refusal")


def _read(body: bytes) -> tuple[str, int | None]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(document, dict):
        return "", None
    reason, since = document.get("reason"), document.get("timestamp")
    known = type(since) is int and 0 <= since <= _LATEST
    return reason if isinstance(reason, str) else "", since if known else None
