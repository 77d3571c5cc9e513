"""A clock that is wrong is found by what providers say, said once, and named where it is the likely cause."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay.config import FcmClient
from relay.http2 import Response
from relay.providers.fcm_quota import Quota
from relay.providers.provider import Verdict
from relay.providers.signs import Signs
from relay.providers.skew import Skew
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.sending import apns, delivery, fcm, new_signs, send


def ahead_of(clock: SettableClock, seconds: float) -> Callable[[], float]:
    return lambda: clock() / 1000 + seconds


def shown(signs: Signs, provider: str) -> float:
    value = signs.registry.get_sample_value("hushpost_relay_clock_ahead_seconds", {"provider": provider})
    assert value is not None
    return value


def said(logs: list[Any]) -> list[str]:
    return [f"{entry['provider']} {entry.get('clock')}" for entry in logs if entry["event"] == "clock_skew"]


@pytest.mark.parametrize("client", list(FcmClient))
async def test_a_clock_that_differs_from_googles_is_said_once_and_shown(
    providers: Providers, clock: SettableClock, client: FcmClient
) -> None:
    signs = new_signs()
    token = providers.token("fcm")
    with capture_logs() as logs:
        async with fcm(providers, ahead_of(clock, 50), signs=signs, client=client) as provider:
            for number in range(3):
                await send(provider, delivery(token, number))
                clock.advance(61_000)
            assert provider.trouble is None
    assert said(logs) == ["fcm 50 s ahead of"]
    assert 49 <= shown(signs, "fcm") <= 51


@pytest.mark.parametrize("client", list(FcmClient))
async def test_a_clock_that_goes_wrong_is_found_by_the_next_pushes(
    providers: Providers, clock: SettableClock, client: FcmClient
) -> None:
    token, wrong = providers.token("fcm"), 0.0
    with capture_logs() as logs:
        async with fcm(providers, lambda: clock() / 1000 + wrong, client=client) as provider:
            await send(provider, delivery(token))
            wrong = 90.0
            await send(provider, delivery(token))
    assert said(logs) == ["fcm 90 s ahead of"]


async def test_a_clock_that_is_right_is_not_spoken_of(providers: Providers, clock: SettableClock) -> None:
    signs = new_signs()
    with capture_logs() as logs:
        async with fcm(providers, ahead_of(clock, -20), signs=signs) as provider:
            await send(provider, delivery(providers.token("fcm")))
    assert said(logs) == []
    assert -21 <= shown(signs, "fcm") <= -19


async def test_credentials_that_are_refused_for_the_clocks_sake_say_so(
    providers: Providers, clock: SettableClock
) -> None:
    providers.script("google", reason="invalid_grant", times=1)
    async with fcm(providers, ahead_of(clock, -400)) as provider:
        [verdict] = await send(provider, delivery(providers.token("fcm")))
        assert verdict.reason == "credentials_refused"
        assert provider.trouble == "credentials_refused: the clock is 400 s behind the provider's"


async def test_a_provider_token_that_apple_calls_expired_shows_a_clock_that_is_behind(
    providers: Providers, clock: SettableClock
) -> None:
    signs = new_signs()
    token = providers.token("apns")
    with capture_logs() as logs:
        async with apns(providers, ahead_of(clock, -4 * 3_600), signs=signs) as provider:
            verdicts = await send(provider, *(delivery(token, number) for number in range(5)))
            assert {verdict.reason for verdict in verdicts} == {"provider_token_expired"}
            assert "behind the provider's" in (provider.trouble or "")
    assert len(said(logs)) == 1
    # At least so much: from ten minutes to fifty, as old as our token seems to us.
    assert -3_000 <= shown(signs, "apns") <= -600


async def test_a_clock_that_was_set_right_is_no_longer_spoken_of(
    providers: Providers, clock: SettableClock
) -> None:
    signs = new_signs()
    token = providers.token("apns")
    async with apns(providers, ahead_of(clock, 0), signs=signs) as provider:
        await send(provider, delivery(token))
        providers.script("apns", reason="ExpiredProviderToken", times=1)
        await send(provider, delivery(token))
        assert shown(signs, "apns") < 0
        await send(provider, delivery(token))
        assert provider.trouble is None
        assert shown(signs, "apns") == 0


async def test_a_new_provider_token_that_is_refused_after_a_good_one_makes_the_clock_suspect(
    providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("apns")
    with capture_logs() as logs:
        async with apns(providers, ahead_of(clock, 0)) as provider:
            await send(provider, delivery(token))
            clock.advance(41 * 60_000)
            providers.script("apns", reason="InvalidProviderToken")
            for _ in range(3):
                await send(provider, delivery(token))
    assert [entry["event"] for entry in logs].count("clock_skew_suspected") == 1


async def test_a_key_that_was_never_taken_makes_no_clock_suspect(
    providers: Providers, clock: SettableClock
) -> None:
    providers.script("apns", reason="InvalidProviderToken")
    with capture_logs() as logs:
        async with apns(providers, ahead_of(clock, 0)) as provider:
            await send(provider, delivery(providers.token("apns")))
    assert "clock_skew_suspected" not in [entry["event"] for entry in logs]


def skew(now: Callable[[], float], signs: Signs) -> Skew:
    return signs.skew("fcm", now)


def dated(at: float) -> Response:
    date = format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    return Response(200, ((b"date", date.encode()),))


def test_answers_are_looked_at_once_in_a_minute() -> None:
    signs, now = new_signs(), [1_800_000_000.0]
    watch = skew(lambda: now[0], signs)
    watch.look(dated(now[0]))
    watch.look(dated(now[0] - 500))
    assert shown(signs, "fcm") == 0
    now[0] += 60
    watch.look(dated(now[0] - 500))
    assert shown(signs, "fcm") == 500


def test_what_is_said_is_said_again_after_an_hour() -> None:
    now = [1_800_000_000.0]
    with capture_logs() as logs:
        watch = skew(lambda: now[0], new_signs())
        for _ in range(121):
            watch.look(dated(now[0] + 90))
            now[0] += 60
    assert said(logs) == ["fcm 90 s behind"] * 3


@pytest.mark.parametrize("headers", [(), ((b"date", b"yesterday"),), ((b"date", b"\xff"),)])
def test_an_answer_without_a_time_says_nothing(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    signs = new_signs()
    skew(lambda: 1_800_000_000, signs).look(Response(200, headers))
    assert shown(signs, "fcm") == 0


async def test_a_clock_that_is_put_back_ends_a_refusal_that_it_caused(
    providers: Providers, clock: SettableClock
) -> None:
    token, ahead = providers.token("fcm"), 86_400.0
    providers.script("google", reason="invalid_grant", times=1)
    async with fcm(providers, lambda: clock() / 1000 + ahead) as provider:
        [verdict] = await send(provider, delivery(token))
        assert verdict.reason == "credentials_refused"
        ahead = 0.0
        assert provider.trouble is None
        [verdict] = await send(provider, delivery(token))
        assert verdict.status == "accepted"


def test_a_quota_is_held_although_the_clock_was_put_back() -> None:
    quota = Quota()
    quota.spent(90_000.0, 60, high=True)
    assert quota.held(1_000.0, high=True) is None
    quota.spent(1_000.0, 60, high=True)
    assert quota.held(1_000.0, high=True) == Verdict("retry", "throttled", retry_after=60)
    assert quota.held(1_000.0, high=False) == Verdict("retry", "throttled", retry_after=60)
