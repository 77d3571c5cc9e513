"""`hushpost keys` and the relay's VAPID key."""

import json
import stat
from pathlib import Path

from crypto.encoding import b64u
from crypto.vapid import VapidKey
from tests.harness.hushpost import hushpost

PEM = "data/keys/vapid.pem"


def test_a_vapid_key_is_made_for_its_owner_only_and_its_public_half_is_said(tmp_path: Path) -> None:
    made = hushpost("keys", "new", "vapid", folder=tmp_path)
    assert made.code == 0
    file = tmp_path / PEM
    key = VapidKey.from_text(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.out.splitlines() == [
        "[[relay.webpush]]",
        f'key_file = "{PEM}"',
        f"applicationServerKey {key.application_server_key}",
    ]
    for secret in (b64u(key.scalar), *key.text.splitlines()[1:-1]):
        assert secret not in made.out + made.err


def test_no_vapid_key_is_overwritten(tmp_path: Path) -> None:
    hushpost("keys", "new", "vapid", folder=tmp_path)
    before = (tmp_path / PEM).read_text()
    again = hushpost("keys", "new", "vapid", folder=tmp_path)
    assert again.code == 2
    assert "is there already" in again.err
    assert (tmp_path / PEM).read_text() == before


def test_it_is_made_where_the_settings_look_for_it_and_shown_from_there(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(
        '[relay]\npublic_url = "https://relay.example"\n'
        '[[relay.webpush]]\napp = "web"\nkey_file = "push/vapid.pem"\nsubject = "mailto:a@example.org"\n'
    )
    made = hushpost("keys", "new", "vapid", "--json", "--config", "relay.toml", folder=tmp_path)
    [described] = json.loads(made.out)
    key = VapidKey.from_text((tmp_path / "push/vapid.pem").read_text())
    assert described == {
        "file": "push/vapid.pem",
        "type": "vapid",
        "id": "-",
        "applicationServerKey": key.application_server_key,
    }
    shown = hushpost("keys", "show", "--config", "relay.toml", folder=tmp_path)
    assert f"  applicationServerKey {key.application_server_key}" in shown.out.splitlines()
    (tmp_path / "push/vapid.pem").chmod(0o644)
    loose = hushpost("keys", "check", "--config", "relay.toml", folder=tmp_path)
    assert (loose.code, "run: chmod 600" in loose.err) == (2, True)


def test_a_key_that_another_library_made_is_shown(tmp_path: Path) -> None:
    key = VapidKey(bytes([1]) * 32)
    file = tmp_path / "vapid.txt"
    file.write_text(b64u(key.scalar))
    file.chmod(0o600)
    shown = hushpost("keys", "show", "vapid.txt", folder=tmp_path)
    assert key.application_server_key in shown.out
    assert b64u(key.scalar) not in shown.out
