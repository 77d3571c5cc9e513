"""The field by which push services know the relay: one for each of them, good for hours, the same from every process."""

from functools import partial

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import unb64u
from crypto.webpush import read_point
from relay.providers.webpush_vapid import KEPT, Vapid
from tests.relay.web import SUBJECT, VAPID

NOW = 1_764_000_000
HOUR = 3_600


def said(field: str) -> dict[str, object]:
    token, _, key = field.removeprefix("vapid t=").partition(", k=")
    public = read_point(unb64u(key))
    claims: dict[str, object] = jwt.decode(
        token,
        public,
        algorithms=["ES256"],
        options={"verify_exp": False, "verify_aud": False},
    )
    return claims


def test_it_names_the_service_the_operator_and_the_key() -> None:
    field = Vapid(VAPID, SUBJECT, lambda: NOW).authorization("push.example.org")
    claims = said(field)
    assert claims == {"aud": "https://push.example.org", "sub": SUBJECT, "exp": claims["exp"]}
    assert field.endswith(f", k={VAPID.application_server_key}")


@given(now=st.floats(0, 4e9))
def test_it_is_good_for_more_than_six_hours_and_at_most_twelve(now: float) -> None:
    expires = said(Vapid(VAPID, SUBJECT, lambda: now).authorization("push.example.org"))["exp"]
    assert isinstance(expires, int)
    assert 6 * HOUR < expires - now <= 12 * HOUR


def test_every_process_says_the_same_within_six_hours() -> None:
    start = NOW // (6 * HOUR) * 6 * HOUR
    fields = {
        Vapid(VAPID, SUBJECT, partial(float, at)).authorization("push.example.org")
        for at in (start, start + HOUR, start + 6 * HOUR - 0.001)
    }
    assert len(fields) == 1


@pytest.mark.parametrize("services", [KEPT + 1, 3 * KEPT])
def test_services_that_strangers_choose_do_not_fill_the_memory(services: int) -> None:
    vapid = Vapid(VAPID, SUBJECT, lambda: NOW)
    fields = {vapid.authorization(f"{number}.example") for number in range(services)}
    assert len(fields) == services
    assert len(vapid._fields) == KEPT


def test_one_that_is_asked_for_often_is_not_forgotten() -> None:
    vapid = Vapid(VAPID, SUBJECT, lambda: NOW)
    for number in range(2 * KEPT):
        vapid.authorization("often.example")
        vapid.authorization(f"{number}.example")
    assert "often.example" in vapid._fields
