"""How often one may try to sign in: at one account from one address, from one address, and from everywhere."""

import pytest

from server.app.accounts import SIGN_INS_BY_ACCOUNT, SIGN_INS_BY_ADDRESS, SIGN_INS_BY_PAIR
from server.commands.sessions import SignIn, SignInLimits
from server.domain.errors import Limited
from server.domain.throttle import Quota, Throttle
from server.live.throttles import SharedThrottle
from tests.harness.clock import SettableClock

HOUR = 3_600_000


def throttle(quota: Quota) -> SharedThrottle:
    return SharedThrottle(Throttle(quota, keys=10_000), None)


@pytest.fixture
def limits() -> SignInLimits:
    return SignInLimits(
        throttle(SIGN_INS_BY_ADDRESS), throttle(SIGN_INS_BY_PAIR), throttle(SIGN_INS_BY_ACCOUNT)
    )


def attempt(address: object, name: str = "ann@example.com") -> SignIn:
    return SignIn(name, "a password", f"192.0.2.{address}")


async def refused(limits: SignInLimits, command: SignIn, now: int) -> str | None:
    """Count an attempt, and return the policy that refuses it."""
    try:
        await limits.take(command, now)
    except Limited as limited:
        return limited.allowance.policy
    return None


async def test_many_addresses_together_have_three_hundred_an_hour(
    limits: SignInLimits, clock: SettableClock
) -> None:
    for address in range(30):
        assert {await refused(limits, attempt(address), clock()) for _ in range(10)} == {None}
    assert await refused(limits, attempt("owner"), clock()) == "sign-in-account"
    assert await refused(limits, attempt("owner", "ben@example.com"), clock()) is None
    clock.advance(HOUR // 300)
    assert await refused(limits, attempt("owner"), clock()) is None
    assert await refused(limits, attempt("owner"), clock()) == "sign-in-account"


async def test_one_address_alone_never_locks_an_account(limits: SignInLimits, clock: SettableClock) -> None:
    """What it is refused is not counted for the account, however long it goes on."""
    for _ in range(HOUR // 1000):
        await refused(limits, attempt("stranger"), clock())
        clock.advance(1000)
    assert await refused(limits, attempt("owner"), clock()) is None


async def test_a_right_password_costs_nothing(limits: SignInLimits, clock: SettableClock) -> None:
    """And makes up for the owner's mistakes, not for those of others."""
    for address in range(29):
        assert {await refused(limits, attempt(address), clock()) for _ in range(10)} == {None}
    for _ in range(400):
        assert await refused(limits, attempt("owner"), clock()) is None
        await limits.give_back(attempt("owner"), clock())
    assert limits.left(attempt("owner"), clock()).remaining == 10
    later = [await refused(limits, attempt("another"), clock()) for _ in range(10)]
    assert later == [None] * 10
    assert await refused(limits, attempt("owner"), clock()) == "sign-in-account"
