"""The words that a reason may have as a label of a metric.

A relay may answer with any word, and each would be a series of its own for ever: what is not ours is counted as `other`. The
database and the log keep the word that came.
"""

from http import HTTPStatus

from relay.wire import ERROR_STATUS

OTHER = "other"

_OURS = frozenset(
    {
        "",
        "retracted",
        "no_handle",
        "woken_before",
        "not_sealed",
        "too_large",
        "bad_key",
        "handle_replaced",
        "batch_failed",
        "resolver_busy",
        "resolver_failed",
    }
)
# Of one push: the relay's own tables (docs/protocol.md, section 4).
_OF_THE_RELAY = frozenset(
    {
        "access_token_refused",
        "background_unsupported",
        "bad_collapse",
        "bad_device_token",
        "bad_endpoint",
        "bad_envelope",
        "bad_provider_request",
        "connect_failed",
        "connection_lost",
        "credentials_refused",
        "credentials_unusable",
        "dns_failed",
        "duplicate_id",
        "going_away",
        "handle_expired",
        "handle_invalid",
        "internal",
        "limited",
        "malformed",
        "not_configured",
        "payload_too_large",
        "protocol_error",
        "provider_error",
        "provider_token_expired",
        "provider_token_updates",
        "registered_since",
        "sender_mismatch",
        "stream_reset",
        "third_party_auth",
        "throttled",
        "timeout",
        "tls_failed",
        "token_expired",
        "topic_disallowed",
        "ttl_out_of_range",
        "unavailable",
        "unknown_project",
        "unknown_refusal",
        "unreachable",
        "unregistered",
        "wrong_topic",
    }
)
# Of a whole batch: why the relay could not be asked, or did not answer (`GatewayFault`).
_OF_BATCHES = frozenset(
    {
        "no_relay",
        "relay_answer_malformed",
        "relay_answer_not_verified",
        "relay_directory_refused",
        "relay_directory_unreachable",
        "relay_timeout",
        "relay_unreachable",
        *(f"relay_{code}" for code in ERROR_STATUS),
        *(f"relay_http_{status.value}" for status in HTTPStatus),
    }
)
_KNOWN = _OURS | _OF_THE_RELAY | _OF_BATCHES


def label_of(reason: str | None) -> str:
    """Return the label of a reason: itself where it is one of ours, empty where there is none."""
    word = reason or ""
    return word if word in _KNOWN else OTHER
