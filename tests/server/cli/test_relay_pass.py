"""Passes: what `hushpost relay pass issue` prints, a relay that admits by pass takes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.keys import IdentityKey
from relay.admission import LONGEST_PASS_SECONDS
from relay.passes import read_pass, sign_pass, why_refused
from tests.harness.hushpost import Ended, hushpost
from tests.relay.running import PASS_KEY, PUBLIC_URL, SERVER_KEY, STRANGER_KEY

SERVER = SERVER_KEY.public.id
NOW = 1_800_000_000
URL = "https://relay.example.org"


def issue(folder: Path, *options: str, **settings: str) -> Ended:
    wanted = ("relay", "pass", "issue", "--server", SERVER, *options)
    return hushpost(*wanted, folder=folder, settings={"HUSHPOST_RELAY_PUBLIC_URL": URL, **settings})


def show(folder: Path, token: str, *options: str, **settings: str) -> Ended:
    wanted = ("relay", "pass", "show", "-", *options)
    settings = {"HUSHPOST_RELAY_PUBLIC_URL": URL, **settings}
    return hushpost(*wanted, folder=folder, settings=settings, given=token.encode())


@pytest.fixture
def public(tmp_path: Path) -> str:
    """A pass key that is made, and what its maker is told to write into the relay's settings."""
    made = hushpost("keys", "new", "pass", folder=tmp_path)
    assert made.code == 0, made.err
    name, _, value = made.out.strip().partition(" = ")
    assert name == "relay.pass_keys"
    [key] = json.loads(value)
    return str(key)


def test_a_pass_that_is_issued_is_good_for_its_server_at_its_relay(tmp_path: Path, public: str) -> None:
    admitting = {"HUSHPOST_RELAY_PASS_KEYS": public, "HUSHPOST_RELAY_ADMISSION": "pass"}
    issued = issue(tmp_path, "--quota", "500", "--days", "30", **admitting)
    assert issued.code == 0, issued.err
    assert issued.err.startswith(f"a pass for {SERVER} at {URL}, 500 pushes a minute, good until 20")
    shown = show(tmp_path, issued.out, "--json", **admitting)
    assert shown.code == 0, shown.err
    said = json.loads(shown.out)
    assert (said["server"], said["relay"], said["quota"]) == (SERVER, URL, "500 pushes a minute")
    assert said["good"] is True


def test_whoever_issues_a_pass_is_told_what_the_relay_still_lacks(tmp_path: Path, public: str) -> None:
    said = issue(tmp_path).err.splitlines()
    assert (
        said[0] == f'the relay does not take it yet: add "{public}" to relay.pass_keys, and send it a SIGHUP'
    )
    assert said[1] == 'nobody needs it yet: relay.admission is "allowlist"'


def test_a_pass_for_another_relay_or_by_another_key_is_shown_and_called_bad(
    tmp_path: Path, public: str
) -> None:
    token = issue(tmp_path).out
    elsewhere = show(tmp_path, token, HUSHPOST_RELAY_PUBLIC_URL="https://other.example.org")
    assert elsewhere.code == 1
    assert "aud must be this relay's URL" in elsewhere.err
    assert f"server: {SERVER}" in elsewhere.out
    other = tmp_path / "other.pass"
    hushpost("keys", "new", "pass", str(other), folder=tmp_path)
    foreign = issue(tmp_path, "--key", str(other)).out
    assert "no configured key has signed it" in show(tmp_path, foreign, HUSHPOST_RELAY_PASS_KEYS=public).err


def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, public: str) -> None:
    missing = issue(tmp_path, "--key", "nowhere.pass")
    assert missing.code == 2
    assert missing.err == (
        "hushpost: nowhere.pass: there is no such key file; make it with: hushpost keys new pass\n"
    )
    bad = hushpost("relay", "pass", "issue", "--server", "short", folder=tmp_path)
    assert (bad.code, bad.err.partition(";")[0]) == (
        2,
        "hushpost: --server: is not a key id, which has 43 characters",
    )
    assert issue(tmp_path, "--days", "91").code == 2
    assert show(tmp_path, "no pass").err.startswith("hushpost: this is no pass")
    assert public not in show(tmp_path, "a.b.c").out


def test_a_pass_key_is_never_overwritten_and_never_added_to_the_relays_keys(
    tmp_path: Path, public: str
) -> None:
    again = hushpost("keys", "new", "pass", folder=tmp_path)
    assert again.code == 2
    assert "is there already" in again.err
    hushpost("keys", "new", "relay", folder=tmp_path)
    into = hushpost("keys", "new", "pass", "data/keys/relay.keys", folder=tmp_path)
    assert "is there already" in into.err
    assert public


def token(key: IdentityKey = PASS_KEY, *, seconds: int = 60, now: int = NOW) -> str:
    return sign_pass(key, server=SERVER, relay=PUBLIC_URL, quota=None, now=now, seconds=seconds)


def refusal(one: str, now: float = NOW) -> str | None:
    return why_refused(one, keys=[PASS_KEY.public], relay=PUBLIC_URL, now=now)


def test_a_pass_is_good_until_it_expires() -> None:
    assert refusal(token()) is None
    assert refusal(token(), NOW + 59.9) is None
    assert "it has expired" in str(refusal(token(), NOW + 60))


def test_the_longest_pass_is_good_at_once_where_the_relays_clock_is_behind() -> None:
    longest = token(seconds=LONGEST_PASS_SECONDS)
    assert refusal(longest, NOW - 120) is None
    assert (read_pass(longest) or {})["exp"] == NOW + LONGEST_PASS_SECONDS - 300


def test_a_pass_that_another_key_signed_is_refused() -> None:
    assert "no configured key has signed it" in str(refusal(token(STRANGER_KEY)))


@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    assert refusal(text) is not None
