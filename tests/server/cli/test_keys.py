"""Key files: who may read them, what is in them, and that none is ever overwritten."""

import json
import secrets
import stat
from pathlib import Path

import pytest

from crypto.keys import EpochKey, IdentityKey, read_keys
from server.cli.keyfiles import (
    KeyFileError,
    ServerSecret,
    append,
    read_identity,
    read_private,
    read_secret,
    write_new,
)
from tests.harness.hushpost import hushpost

KEY = IdentityKey.from_seed(bytes(32))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "server.key"
    write_new(file, [KEY])
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}\\); run: chmod 600"):
        read_identity(file)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owners_is_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "server.key"
    write_new(file, [KEY])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(mode)
    assert read_identity(file) == KEY


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "server.key"
    write_new(file, [KEY])
    with pytest.raises(KeyFileError, match="is there already"):
        write_new(file, [IdentityKey.generate(secrets.token_bytes)])
    assert read_identity(file) == KEY
    assert list(tmp_path.iterdir()) == [file]


def test_keys_are_written_behind_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "relay.keys"
    write_new(file, [KEY])
    epoch = EpochKey.generate(7, secrets.token_bytes)
    append(file, [epoch])
    assert read_keys(read_private(file, hint="")) == [KEY, epoch]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", ["", "hushpost-identity-1:short\n", "no key\n", KEY.text + "\n" + KEY.text])
def test_a_file_that_does_not_hold_one_identity_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "server.key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeyFileError) as raised:
        read_identity(file)
    assert KEY.text not in str(raised.value)


def test_a_secret_comes_back_as_it_was_and_does_not_show(tmp_path: Path) -> None:
    secret = ServerSecret.generate(secrets.token_bytes)
    write_new(tmp_path / "server.secret", [secret])
    assert read_secret(tmp_path / "server.secret") == secret
    assert "raw" not in repr(secret)


def test_what_is_missing_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    settings = {"HUSHPOST_SERVER_RELAY_URL": "https://relay.example"}
    for role, file in (("server", "data/keys/server.key"), ("relay", "data/keys/relay.keys")):
        done = hushpost(role, folder=tmp_path, settings=settings)
        assert done.code == 2
        assert done.err.splitlines()[-1] == (
            f"hushpost: {file}: there is no such key file; make it with: hushpost keys new {role}"
        )


def test_new_makes_what_is_missing_show_never_shows_a_secret_and_check_sees_a_loose_mode(
    tmp_path: Path,
) -> None:
    made = hushpost("keys", "new", "server", "--json", folder=tmp_path)
    assert [key["type"] for key in json.loads(made.out)] == ["identity", "secret"]
    assert "nothing was missing" in hushpost("keys", "new", "server", folder=tmp_path).err
    hushpost("keys", "new", "relay", folder=tmp_path)
    hushpost("keys", "new", "epoch", folder=tmp_path)
    shown = hushpost("keys", "show", "--json", folder=tmp_path)
    assert [key["type"] for key in json.loads(shown.out)] == [
        "identity", "secret", "identity", "epoch", "epoch",
    ]  # fmt: skip
    assert [key["id"] for key in json.loads(shown.out) if key["type"] == "epoch"] == ["1", "2"]
    keys = list((tmp_path / "data/keys").iterdir())
    for secret in [line.rpartition(":")[2] for file in keys for line in file.read_text().splitlines()]:
        assert secret not in shown.out + shown.err + made.out + made.err
    assert hushpost("keys", "check", folder=tmp_path).code == 0
    keys[0].chmod(0o644)
    loose = hushpost("keys", "check", folder=tmp_path)
    assert loose.code == 2
    assert "run: chmod 600" in loose.err
