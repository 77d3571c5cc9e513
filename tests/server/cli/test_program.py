"""The command itself: its version, its faults, and `hushpost config`."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from server.cli.program import app
from tests.harness.hushpost import environment, hushpost

COMMANDS = get_command(app).list_commands(None)  # type: ignore[attr-defined]  # a group's
HEAVY = {"aiohttp", "asyncio", "cryptography", "jwt", "msgspec", "rich", "segno", "sqlalchemy"}


def test_it_says_its_version(tmp_path: Path) -> None:
    assert hushpost("--version", folder=tmp_path).out == f"hushpost {metadata.version('hushpost')}\n"


def test_a_command_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    done = hushpost("sned", folder=tmp_path)
    assert done.code == 2
    assert "Did you mean 'send'?" in done.err
    assert "Traceback" not in done.err


def test_its_help_names_every_command(tmp_path: Path) -> None:
    done = hushpost("--help", folder=tmp_path)
    named = [line.removeprefix("│").split()[0] for line in done.out.splitlines() if line.startswith("│ ")]
    assert [name for name in named if name in COMMANDS] == COMMANDS
    assert len(COMMANDS) == 18


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("--version", set()),
        ("tokens list", set()),
        ("send -", set()),
        ("devices pair", set()),
        ("keys show none.key", {"cryptography", "msgspec"}),
        ("config check", {"cryptography", "msgspec"}),
    ],
)
def test_a_command_waits_for_no_library_that_it_has_no_need_of(
    tmp_path: Path, arguments: str, needed: set[str]
) -> None:
    """The commands that call a server are not signed in here: they end before the call."""
    program = (
        "import atexit, sys; from server.cli import main;"
        "atexit.register(lambda: print('loaded:', *{name.partition('.')[0] for name in sys.modules}));"
        f"sys.argv = ['hushpost', *{arguments.split()}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment({}),
        input=b"text",
        capture_output=True,
        timeout=60,
        check=False,
    )
    loaded = set(done.stdout.decode().rpartition("loaded:")[2].split())
    assert "typer" in loaded
    assert loaded & HEAVY == needed


def test_a_command_that_reads_settings_names_all_faults_at_once(tmp_path: Path) -> None:
    (tmp_path / "hushpost.toml").write_text('[server]\nlisten = "x"\nlog = "info"\n')
    done = hushpost(
        *("config", "check", "--config", "hushpost.toml"),
        folder=tmp_path,
        settings={"HUSHPOST_LOG_LEVL": "info"},
    )
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 3
    assert "did you mean HUSHPOST_LOG_LEVEL?" in done.err


def test_settings_in_order_are_said_to_be(tmp_path: Path) -> None:
    assert hushpost("config", "check", folder=tmp_path).out.startswith("the settings are in order")


def test_the_relays_files_are_looked_at_once_it_has_its_keys(tmp_path: Path) -> None:
    hushpost("keys", "new", "relay", folder=tmp_path)
    settings = {"HUSHPOST_RELAY_FCM_0_SERVICE_ACCOUNT_FILE": "none.json"}
    for command in (("config", "check"), ("relay",)):
        done = hushpost(*command, folder=tmp_path, settings=settings)
        assert done.code == 2
        assert done.err == (
            "hushpost: none.json: a file of the relay's apps, cannot be read (No such file or directory)\n"
        )


def test_show_masks_secrets_and_says_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "hushpost.toml").write_text("[worker]\nbatch = 9\n")
    done = hushpost(
        *("config", "show", "--json"),
        folder=tmp_path,
        settings={
            "HUSHPOST_CONFIG": "hushpost.toml",
            "HUSHPOST_DATABASE_URL": "postgresql://ada:hunter2@db/hushpost",
        },
    )
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(done.out)}
    assert rows["database.url"] == ("***", "HUSHPOST_DATABASE_URL")
    assert rows["worker.batch"] == (9, "file")
    assert rows["log.level"] == ("info", "default")
    assert "hunter2" not in done.out + done.err


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    hushpost("keys", "new", "server", folder=tmp_path)
    done = hushpost(
        "server",
        folder=tmp_path,
        settings={"HUSHPOST_DATABASE_URL": "postgresql://ada:hunter2@127.0.0.1:9/hushpost"},
    )
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("hushpost: database.url: ")
    assert "hunter2" not in done.err
    assert "Traceback" not in done.err
