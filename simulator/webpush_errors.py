"""What a push service refuses, with the status that the standards or Mozilla's service give it, and the latter's `errno`.

RFC 8030, section 5 and RFC 8292, section 4.2; the numbers are from the error codes of Mozilla's autopush. There is none
for what its service does not look at.
"""

WEBPUSH_ERRORS: dict[str, tuple[int, int | None]] = {
    "missing_crypto_keys": (400, 101),
    "invalid_crypto_keys": (400, 110),
    "missing_header": (400, 111),
    "duplicate_header": (400, None),
    "invalid_ttl": (400, 112),
    "invalid_topic": (400, 113),
    "invalid_urgency": (400, None),
    "authorization_missing": (401, 109),
    "authorization_invalid": (403, 109),
    "invalid_endpoint": (404, 102),
    "expired_endpoint": (410, 103),
    "unsubscribed": (410, 106),
    "too_large": (413, 104),
    "misdirected": (421, None),
    "too_many_requests": (429, 201),
    "internal": (500, 999),
    "bad_gateway": (502, 902),
    "unavailable": (503, 201),
}
"""Reason: (status, errno)."""
