"""The reasons are apart for us, and the text that could leave says no more than the reason."""

import pytest

from crypto.errors import Altered, CryptoError, Expired, Malformed, NotMyKey, TooLarge

REASONS = {
    NotMyKey: "not_my_key",
    Altered: "altered",
    Expired: "expired",
    Malformed: "malformed",
    TooLarge: "too_large",
}


@pytest.mark.parametrize(("kind", "reason"), REASONS.items(), ids=REASONS.values())
def test_each_kind_has_its_stable_reason(kind: type[CryptoError], reason: str) -> None:
    assert kind("detail").reason == kind.reason == reason
    assert issubclass(kind, CryptoError)


def test_no_kind_is_caught_as_another() -> None:
    for kind in REASONS:
        assert [other for other in REASONS if issubclass(kind, other)] == [kind]
