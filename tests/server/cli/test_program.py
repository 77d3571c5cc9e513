"""The command itself: its version, its faults, and `hushpost config`."""

import json
from importlib import metadata
from pathlib import Path

from tests.harness.hushpost import hushpost


def test_it_says_its_version(tmp_path: Path) -> None:
    assert hushpost("--version", folder=tmp_path).out == f"hushpost {metadata.version('hushpost')}\n"


def test_a_command_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    done = hushpost("sned", folder=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err


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
