"""What grants meet."""

import pytest

from server.domain.scopes import INBOX_SESSION, SIMPLE, Grant, Need, known, normal, scope_for

BUCKET = "0190d1f0-0000-7000-8000-000000000001"
OTHER = "0190d1f0-0000-7000-8000-000000000002"
BOUND = f"messages:create:{BUCKET}"

# scope -> what a token of an admin meets, what the same token of a user meets
MET = {
    "messages:create": ({Need.SEND}, {Need.SEND}),
    BOUND: ({Need.SEND}, {Need.SEND}),
    "messages:read": ({Need.READ}, {Need.READ}),
    "metrics": ({Need.METRICS}, set()),
    "gateway": ({Need.ACT, Need.INBOX}, set()),
    "admin": (set(Need), set()),
}


@pytest.mark.parametrize("scope", [*SIMPLE, BOUND])
def test_a_scope_meets_its_needs_and_no_other(scope: str) -> None:
    """Operators' scopes are worth nothing once their owner is not an admin."""
    for operator, met in zip((True, False), MET[scope], strict=True):
        grant = Grant(frozenset({scope}), operator)
        assert {need for need in Need if grant.meets(need)} == met


@pytest.mark.parametrize("need", Need)
def test_who_lacks_a_scope_is_told_of_one_that_a_token_can_have(need: Need) -> None:
    """And of `admin` only where no other will do."""
    scope = scope_for(need)
    assert scope in SIMPLE
    assert Grant(frozenset({scope}), operator=True).meets(need)
    assert (scope == "admin") == (not any(need in MET[one][0] for one in SIMPLE if one != "admin"))


def test_a_token_without_a_scope_meets_nothing() -> None:
    """Not even as an admin's."""
    grant = Grant(frozenset(), operator=True)
    assert not any(grant.meets(need) for need in Need)
    assert not grant.sends_to(BUCKET)


def test_a_person_may_do_what_their_account_may() -> None:
    """Metrics, and what came to nothing, are the operator's."""
    assert all(Grant(None, operator=True).meets(need) for need in Need)
    unmet = {need for need in Need if not Grant(None, operator=False).meets(need)}
    assert unmet == {Need.METRICS, Need.OPERATE, Need.MANAGE}


def test_a_token_of_one_tenant_is_not_the_servers_operators() -> None:
    """What is above the tenants stays with tokens for all of them."""
    grant = Grant(frozenset({"admin"}), operator=True, tenant="acme")
    assert {need for need in Need if not grant.meets(need)} == {Need.METRICS, Need.OPERATE}


def test_an_inbox_session_is_good_for_the_inbox_alone() -> None:
    """Which no access token can be."""
    grant = Grant(frozenset({INBOX_SESSION}), operator=False)
    assert {need for need in Need if grant.meets(need)} == {Need.INBOX}
    assert not known(INBOX_SESSION)


def test_a_bound_token_sends_to_its_bucket_only() -> None:
    """And may leave the bucket out where there is one only."""
    one, two = Grant(frozenset({BOUND}), operator=True), f"messages:create:{OTHER}"
    assert one.sends_to(BUCKET)
    assert not one.sends_to(OTHER)
    assert one.only_bucket == BUCKET
    assert Grant(frozenset({BOUND, two}), operator=True).only_bucket is None
    assert Grant(frozenset({BOUND, "messages:create"}), operator=True).only_bucket is None
    assert Grant(frozenset({"messages:create"}), operator=True).sends_to(OTHER)


@pytest.mark.parametrize(
    "scope", ["", "messages", "messages:create:", "messages:create:Marketing", "ADMIN", "*"]
)
def test_other_words_are_no_scopes(scope: str) -> None:
    """A near miss is not taken for the nearest."""
    assert not known(scope)


def test_scopes_are_kept_once_with_ids_in_lowercase() -> None:
    """The order stays."""
    assert normal([BOUND.upper().replace("MESSAGES:CREATE", "messages:create"), "admin", BOUND]) == (
        BOUND,
        "admin",
    )
