"""What became of a message: the eight words, as the table has them."""

import pytest

from server.domain.delivery import WAITING, State
from server.domain.result import THROTTLES, Result, Standing, overall, result_of
from server.worker.reasons import OTHER, label_of

OVER = Standing(waits=False, retracted=False, users=3, kept=False)

TABLE = [
    (State.QUEUED, None, Result.SENT),
    (State.QUEUED, "unavailable", Result.SENT),
    (State.QUEUED, "throttled", Result.RATE_LIMITED),
    (State.QUEUED, "limited", Result.RATE_LIMITED),
    (State.QUEUED, "relay_limited", Result.RATE_LIMITED),
    (State.QUEUED, "relay_http_429", Result.RATE_LIMITED),
    (State.LEASED, None, Result.SENT),
    (State.LEASED, "throttled", Result.RATE_LIMITED),
    (State.ACCEPTED, None, Result.DELIVERED),
    (State.ACCEPTED, "throttled", Result.DELIVERED),
    (State.GONE, "unregistered", Result.INVALID_CREDENTIAL),
    (State.EXPIRED, "throttled", Result.FAILED),
    (State.FAILED, "payload_too_large", Result.FAILED),
    (State.CANCELLED, "retracted", Result.CANCELLED),
    (State.SUPPRESSED, "opted_out", Result.OPTED_OUT),
    (State.SUPPRESSED, "no_channel", Result.NO_CHANNEL),
]


@pytest.mark.parametrize(("state", "reason", "result"), TABLE)
def test_a_delivery_has_the_result_of_its_state(state: State, reason: str | None, result: Result) -> None:
    assert result_of(state, reason) is result


def test_every_state_has_a_result_and_every_result_a_state() -> None:
    assert {state for state, _, _ in TABLE} == set(State)
    assert {result for _, _, result in TABLE} == set(Result)


def test_what_counts_as_a_throttle_is_a_reason_that_the_worker_knows() -> None:
    assert all(label_of(reason) == reason != OTHER for reason in THROTTLES)
    assert all(result_of(state, reason) is Result.RATE_LIMITED for state in WAITING for reason in THROTTLES)


@pytest.mark.parametrize(
    ("results", "whole"),
    [
        ({Result.FAILED: 9, Result.SENT: 5, Result.DELIVERED: 1}, Result.DELIVERED),
        ({Result.FAILED: 9, Result.RATE_LIMITED: 9, Result.SENT: 1}, Result.SENT),
        ({Result.OPTED_OUT: 1, Result.NO_CHANNEL: 2}, Result.NO_CHANNEL),
        ({Result.RATE_LIMITED: 1}, Result.RATE_LIMITED),
        ({Result.CANCELLED: 2, Result.OPTED_OUT: 1}, Result.CANCELLED),
        (
            {Result.FAILED: 1, Result.INVALID_CREDENTIAL: 1},
            Result.INVALID_CREDENTIAL,
        ),  # the first of the list
        ({Result.DELIVERED: 0, Result.FAILED: 1}, Result.FAILED),
    ],
)
def test_a_message_has_its_best_result_or_the_commonest(results: dict[Result, int], whole: Result) -> None:
    assert overall(results, OVER) is whole


@pytest.mark.parametrize(
    ("standing", "whole"),
    [
        (Standing(waits=True, retracted=False, users=0, kept=False), Result.SENT),
        (Standing(waits=False, retracted=True, users=0, kept=False), Result.CANCELLED),
        (Standing(waits=False, retracted=False, users=0, kept=False), Result.NO_CHANNEL),
        (Standing(waits=False, retracted=False, users=3, kept=True), Result.DELIVERED),
        (Standing(waits=False, retracted=False, users=3, kept=False), Result.SENT),
        (Standing(waits=False, retracted=True, users=3, kept=True), Result.CANCELLED),
    ],
)
def test_a_message_without_deliveries_says_what_is_still_known(standing: Standing, whole: Result) -> None:
    assert overall({}, standing) is whole


def test_nothing_is_over_while_a_part_of_it_is_still_to_be_written() -> None:
    first_page = {Result.NO_CHANNEL: 500}
    waits = Standing(waits=True, retracted=False, users=100_000, kept=False)
    assert overall(first_page, waits) is Result.SENT
    taken_back = Standing(waits=True, retracted=True, users=100_000, kept=False)
    assert overall({Result.CANCELLED: 500}, taken_back) is Result.CANCELLED
