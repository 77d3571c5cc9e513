"""`hushpost tokens`: access tokens from the first to the last day, as somebody keeps them at a terminal."""

import json
from typing import Any

import pytest

from tests.harness.hushpost import Ended
from tests.server.cli.conftest import Up

LATER, LATEST = "2090-01-31T12:00:00.000Z", "2091-01-31T12:00:00.000Z"
GATEWAY = ("--scope", "gateway", "--tenant", "acme")


def new(up: Up, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(up.run("tokens", "new", "app", *options, "--json").out)
    return made


def line_of(up: Up, made: dict[str, Any]) -> list[str] | None:
    """Return what a list says of a token, None where it is not there."""
    found = [line for line in up.run("tokens", "list").out.splitlines() if made["id"] in line]
    return found[0].split("  ")[1:-1] if found else None


def use(up: Up, token: str) -> Ended:
    """Call with a token: of an admin it may list the tokens, of anybody else it is known, and may not."""
    return up.run("tokens", "list", token=token)


def test_a_list_says_when_a_token_ends_and_for_which_tenant_it_is(up: Up) -> None:
    made = new(up, *GATEWAY, "--expires", LATER)
    assert line_of(up, made) == ["app", "gateway", "tenant acme", f"ends {LATER}"]
    assert made["token"] not in up.run("tokens", "list").out


def test_a_token_is_changed_and_keeps_what_is_not_named(up: Up) -> None:
    made = new(up, "--scope", "admin", "--scope", "gateway", "--tenant", "acme")
    changed = up.run("tokens", "change", made["id"], "--name", "old app", "--expires", LATER)
    assert changed.out.split("  ")[1:-1] == ["old app", "admin,gateway", "tenant acme", f"ends {LATER}"]
    narrower = up.run("tokens", "change", made["id"], "--scope", "gateway", "--expires", "never", "--json")
    assert json.loads(narrower.out) == {
        **{name: value for name, value in made.items() if name != "token"},
        "name": "old app",
        "scopes": ["gateway"],
    }
    assert line_of(up, made) == ["old app", "gateway", "tenant acme"]


def test_what_cannot_be_changed_is_said(up: Up) -> None:
    made = new(up, *GATEWAY)
    nothing = up.run("tokens", "change", made["id"])
    assert (nothing.code, "--name" in nothing.err) == (2, True)
    wider = up.run("tokens", "change", made["id"], "--scope", "admin")
    assert (wider.code, "scopes[0]" in wider.err) == (1, True)
    past = up.run("tokens", "change", made["id"], "--expires", "2020-01-01T00:00:00Z")
    assert (past.code, "expiresAt" in past.err) == (1, True)
    assert line_of(up, made) == ["app", "gateway", "tenant acme"]


def test_one_takes_the_place_of_another_at_once(up: Up) -> None:
    """It may do the same, for the same tenant and as long."""
    made = new(up, *GATEWAY, "--expires", LATER)
    fresh = json.loads(up.run("tokens", "replace", made["id"], "--json").out)
    assert fresh["token"] != made["token"]
    assert line_of(up, fresh) == ["app", "gateway", "tenant acme", f"ends {LATER}"]
    assert line_of(up, made) is None
    assert "unknown, deleted or expired" in use(up, made["token"]).err
    assert "scope" in use(up, fresh["token"]).err


def test_both_are_good_for_as_long_as_is_said(up: Up) -> None:
    """While an app's servers change over, one after the other."""
    made = new(up, "--scope", "admin")
    token = up.run("tokens", "replace", made["id"], "--keep-until", LATEST).out.strip()
    assert token.startswith("zat_")
    assert [use(up, one).code for one in (token, made["token"])] == [0, 0]
    assert line_of(up, made) == ["app", "admin", f"ends {LATEST}"]


def test_where_the_old_one_cannot_be_ended_there_is_no_new_one(up: Up) -> None:
    made = new(up, *GATEWAY)
    before = up.run("tokens", "list").out
    refused = up.run("tokens", "replace", made["id"], "--keep-until", "2020-01-01T00:00:00Z")
    assert (refused.code, "expiresAt" in refused.err) == (1, True)
    assert up.run("tokens", "list").out == before


@pytest.mark.parametrize("command", [("delete",), ("replace",), ("change", "--name", "x")])
def test_a_token_that_is_not_there_is_not_found(up: Up, command: tuple[str, ...]) -> None:
    name, *options = command
    gone = up.run("tokens", name, "0190d1f0-0000-7000-8000-000000000001", *options)
    assert (gone.code, "no such access token" in gone.err) == (1, True)


def test_a_deleted_token_is_refused_from_then_on(up: Up) -> None:
    made = new(up, "--scope", "admin")
    assert use(up, made["token"]).code == 0
    assert up.run("tokens", "delete", made["id"]).code == 0
    assert line_of(up, made) is None
    assert use(up, made["token"]).code == 1
