"""The tables of reasons, beyond what a provider's documentation lists."""

import pytest

from relay.http2 import Fault
from relay.providers import apns_reasons, fcm_reasons
from relay.providers.provider import read_retry_after
from relay.providers.transport import FAULTS
from simulator.faults import APNS_REASONS, FCM_CODES

FRONT = b"""{"error":{"code":429,"message":"Quota exceeded for quota metric 'Send requests'","status":"RESOURCE_EXHAUSTED",
    "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com"},
    {"@type":"type.googleapis.com/google.rpc.Help","links":[]}]}}"""
OWN = b"""{"error":{"code":429,"message":"%s","status":"RESOURCE_EXHAUSTED","details":[%s
    {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"QUOTA_EXCEEDED"}]}}"""
DEVICE = b'{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"device:1"}]},'


@pytest.mark.parametrize(
    ("status", "body", "wait", "expected"),
    [
        (429, FRONT, None, True),
        (429, FRONT, 10, True),
        (429, OWN % (b"Message rate exceeded", b""), 10, True),
        (429, OWN % (b"Message rate exceeded", b""), None, False),
        (429, OWN % (b"Device message rate exceeded", b""), 10, False),
        (429, OWN % (b"Quota exceeded", DEVICE), 10, False),
        (429, b"<html>", 10, True),
        (429, b"<html>", None, False),
        (429, b'{"error":{"details":[7,{"violations":7}]}}', 10, True),
        (503, b'{"error":{"status":"UNAVAILABLE"}}', 10, False),
    ],
)
def test_only_a_quota_of_the_project_concerns_everybody(
    status: int, body: bytes, wait: int | None, *, expected: bool
) -> None:
    found = fcm_reasons.verdict(status, body)
    assert fcm_reasons.exhausted(found, wait, body) is expected


def test_every_fault_of_a_connection_is_a_retry_with_a_reason_of_its_own() -> None:
    assert FAULTS.keys() == set(Fault)
    assert {verdict.status for verdict in FAULTS.values()} == {"retry"}
    # A process that stops leaves its pushes as a lost connection does.
    assert len({verdict.reason for verdict in FAULTS.values()}) == len(FAULTS) - 1


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"name": 7}', b"{}", b'{"name": null}'])
def test_an_accepted_message_may_have_no_name(body: bytes) -> None:
    assert fcm_reasons.message_name(body) is None


NOW = 1_800_000_000


def test_every_documented_reason_has_its_row() -> None:
    assert APNS_REASONS.keys() <= apns_reasons.REASONS.keys()
    assert FCM_CODES.keys() == fcm_reasons.REASONS.keys()


def test_only_dead_tokens_are_gone() -> None:
    tables = (apns_reasons.REASONS, fcm_reasons.REASONS, fcm_reasons.CANONICAL, fcm_reasons.STATUSES)
    gone = {str(name) for table in tables for name, row in table.items() if row.status == "gone"}
    assert gone == {"Unregistered", "ExpiredToken", "UNREGISTERED"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (410, b"", ("gone", "unregistered")),
        (429, b"{}", ("retry", "throttled")),
        (500, b"<html>", ("retry", "unavailable")),
        (503, b'{"reason": 7}', ("retry", "unavailable")),
        (400, b"[]", ("rejected", "unknown_refusal")),
        (400, b'{"reason": "Unheard"}', ("rejected", "unknown_refusal")),
        (0, b"", ("rejected", "unknown_refusal")),
    ],
)
def test_what_apns_does_not_explain_goes_by_its_status(
    status: int, body: bytes, expected: tuple[str, str]
) -> None:
    found = apns_reasons.verdict(status, body)
    assert (found.status, found.reason) == expected


def test_a_time_that_is_no_time_is_left_out() -> None:
    for value in (b'"soon"', b"true", b"-1", b"1.5", b"null", b"9" * 40):
        assert apns_reasons.verdict(410, b'{"reason":"Unregistered","timestamp":%s}' % value).since is None
    assert apns_reasons.verdict(410, b'{"reason":"Unregistered","timestamp":5}').since == 5


ABOUT_TOKEN = b"""{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[
    {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}%s]}}"""


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, ABOUT_TOKEN % b"", ("rejected", "bad_device_token")),
        (
            400,
            ABOUT_TOKEN % b',{"fieldViolations":[{"field":"message.token"}]}',
            ("rejected", "bad_device_token"),
        ),
        (
            400,
            ABOUT_TOKEN % b',{"fieldViolations":[{"field":"message.data"}]}',
            ("rejected", "bad_provider_request"),
        ),
        (
            400,
            ABOUT_TOKEN % b',{"fieldViolations":[{"field":[{}]}]}',
            ("rejected", "bad_provider_request"),
        ),
        (400, b'{"error":{"status":"INVALID_ARGUMENT"}}', ("rejected", "bad_provider_request")),
        (401, b'{"error":{"status":"UNAUTHENTICATED"}}', ("retry", "access_token_refused")),
        (403, b'{"error":{"status":"PERMISSION_DENIED"}}', ("rejected", "credentials_refused")),
        (404, b'{"error":{"status":"NOT_FOUND"}}', ("rejected", "unknown_project")),
        (404, b"<html>", ("rejected", "unknown_refusal")),
        (429, b"", ("retry", "throttled")),
        (502, b"<html>", ("retry", "unavailable")),
        (503, b"[]", ("retry", "unavailable")),
        (302, b"", ("rejected", "unknown_refusal")),
        (400, b'{"error":{"details":[7,{"errorCode":{}}]}}', ("rejected", "unknown_refusal")),
        (400, b'{"error":{"details":"x"}}', ("rejected", "unknown_refusal")),
    ],
)
def test_fcms_own_code_decides_and_the_front_says_nothing_of_tokens(
    status: int, body: bytes, expected: tuple[str, str]
) -> None:
    found = fcm_reasons.verdict(status, body)
    assert (found.status, found.reason) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("30", 30),
        ("0", 0),
        ("999999999999999", 3_600),
        ("-1", None),
        ("soon", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 31),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, expected: int | None) -> None:
    assert read_retry_after(value, NOW) == expected
