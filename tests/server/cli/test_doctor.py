"""`hushpost doctor`: what is wrong on this machine, and what to do about it; with a server and without."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.store.migrations import migrate
from tests.harness import databases
from tests.harness.hushpost import hushpost
from tests.harness.keyfiles import make_relay_keys, make_server_keys
from tests.harness.machine import Machine, machine_on
from tests.harness.redis import running_redis
from tests.server.cli.conftest import Up


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A server that was never asked to push."""
    machine = Machine(tmp_path / "m", f"sqlite:///{tmp_path}/m/data/hushpost.db")
    make_server_keys(machine.data)
    migrate(machine.url)
    return machine


def found(machine: Machine, *options: str) -> dict[str, list[dict[str, str]]]:
    """The findings by check."""
    done = machine.run("doctor", "--json", *options)
    assert "a fault in Hushpost" not in done.err
    findings: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.out):
        findings.setdefault(finding["check"], []).append(finding)
    failed = any(one["verdict"] == "failed" for ones in findings.values() for one in ones)
    assert done.code == int(failed)
    return findings


def test_on_an_empty_machine_it_says_how_to_begin(tmp_path: Path) -> None:
    done = hushpost("doctor", folder=tmp_path)
    assert (done.code, done.err) == (1, "")
    assert (
        "✗ keys: data/keys/server.key: there is no such key file\n    → make it with: hushpost keys new"
        in done.out
    )
    assert "✗ relay: server.relay_url is not set" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", databases.engines())
def test_a_database_that_no_server_has_open_is_looked_at(tmp_path: Path, engine: str) -> None:
    with machine_on(engine, tmp_path / "m") as machine:
        before = found(machine)
        machine.run("db", "migrate")
        after = found(machine)
    assert before["database"][0]["verdict"] == "unknown"
    assert after["database"][0]["verdict"] == after["deliveries"][0]["verdict"] == "ok"
    assert "0 were created and all are accounted for" in after["deliveries"][0]["found"]


def test_all_faults_of_the_settings_are_named(machine: Machine) -> None:
    machine.settings["HUSHPOST_SERVER_LISTEN"] = "x"
    machine.settings["HUSHPOST_LOG_LEVL"] = "info"
    assert [one["verdict"] for one in found(machine)["settings"]] == ["failed", "failed"]


def test_a_key_file_that_others_may_read(machine: Machine) -> None:
    (machine.data / "keys/server.key").chmod(0o644)
    [fault, good] = found(machine)["keys"]
    assert (fault["verdict"], good["verdict"]) == ("failed", "ok")
    assert fault["fix"].startswith("run: chmod 600 ")


def test_a_key_file_that_is_damaged_is_not_shown(machine: Machine) -> None:
    path = machine.data / "keys/server.key"
    text = path.read_text()
    path.write_text(text[:-5])
    findings = found(machine)
    assert findings["keys"][0]["verdict"] == "failed"
    assert findings["keys"][0]["fix"] == "take the file from a backup"
    assert text[:-5].strip() not in json.dumps(findings)


def test_an_address_that_phones_do_not_take(machine: Machine) -> None:
    machine.settings["HUSHPOST_SERVER_PUBLIC_URL"] = "http://push.example.org"
    assert found(machine)["address"][0]["fix"].startswith("put a proxy with TLS in front")


def test_a_database_that_lost_a_row(machine: Machine) -> None:
    execute(machine, "INSERT INTO delivery_tallies VALUES ('live', 2, 2, 0, 0, 0, 0, 0, 0)")
    [finding] = found(machine)["deliveries"]
    assert finding["verdict"] == "failed"
    assert "created -2, waiting -2" in finding["found"]


def test_a_database_with_rows_that_no_server_writes(tmp_path: Path) -> None:
    [finding] = found(Machine.small(tmp_path / "m"))["database"]
    assert finding["verdict"] == "failed"
    assert "deliveries has rows in states that there are not" in finding["found"]


def test_a_database_of_another_revision(machine: Machine) -> None:
    execute(machine, "UPDATE alembic_version SET version_num = '0001'")
    assert found(machine)["database"][0]["fix"] == "start the server, or run: hushpost db migrate"
    execute(machine, "UPDATE alembic_version SET version_num = '9999'")
    assert found(machine)["database"][0]["verdict"] == "failed"


def test_a_damaged_database(machine: Machine) -> None:
    file = machine.data / "hushpost.db"
    execute(machine, "PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    assert {one["verdict"] for one in found(machine)["database"]} == {"failed"}


def test_a_database_that_cannot_be_reached_is_named_without_its_password(machine: Machine) -> None:
    machine.settings["HUSHPOST_DATABASE_URL"] = "postgresql://ada:hunter2@127.0.0.1:9/none"
    [finding] = found(machine)["database"]
    assert finding["verdict"] == "failed"
    assert "hunter2" not in json.dumps(finding)


def test_a_relay_that_does_not_answer(machine: Machine) -> None:
    machine.settings["HUSHPOST_SERVER_RELAY_URL"] = "http://127.0.0.1:9"
    findings = found(machine)
    assert findings["relay"][0]["found"].startswith("nothing answers at http://127.0.0.1:9")
    assert findings["server"][0]["verdict"] == findings["test push"][0]["verdict"] == "unknown"


def execute(machine: Machine, sql: str) -> None:
    with closing(sqlite3.connect(machine.data / "hushpost.db", isolation_level=None)) as database:
        database.execute(sql)


def test_beside_a_running_up_it_looks_at_both_of_its_parts(up: Up) -> None:
    listen = up.url.removeprefix("http://")
    done = up.run("doctor", "--json", "--data", "data", "--listen", listen)
    verdicts: dict[str, Any] = {one["check"]: one["verdict"] for one in json.loads(done.out)}
    assert verdicts == {
        "settings": "ok",
        "address": "ok",
        "keys": "ok",
        "data": "ok",
        "database": "ok",
        "deliveries": "ok",
        "server": "ok",
        "clock": "ok",
        "relay": "ok",
        "admission": "ok",
        "providers": "failed",  # none is configured
        "test push": "unknown",  # no device is paired
    }


def test_a_device_that_is_not_there_is_said_to_be_missing(up: Up) -> None:
    done = up.run(
        "doctor", "--data", "data", "--listen", up.url.removeprefix("http://"), "--device", "Nobody's"
    )
    assert "✗ test push: you have no device Nobody's\n    → `hushpost devices list`" in done.out


def test_beside_an_up_that_does_not_run_the_relay_is_unknown(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m", f"sqlite:///{tmp_path}/m/data/hushpost.db")
    make_server_keys(machine.data)
    make_relay_keys(machine.data)
    findings = found(machine, "--listen", "127.0.0.1:9")
    assert findings["relay"][0] == {
        "check": "relay",
        "verdict": "unknown",
        "found": "it is in the server's process, which does not run",
        "fix": "start the server",
    }


def test_a_redis_is_asked_for_all_that_is_needed_and_missed_without_a_failure(
    machine: Machine, tmp_path: Path
) -> None:
    assert "redis" not in found(machine)
    with running_redis(tmp_path) as redis:
        machine.settings["HUSHPOST_REDIS_URL"] = redis.url
        [there] = found(machine)["redis"]
    [away] = found(machine)["redis"]
    assert (there["verdict"], away["verdict"]) == ("ok", "unknown")
    assert "is away" in away["found"]
    assert "redis.url" in away["fix"]
