"""The commands that call a server: what they print, and what they say when it refuses."""

import json
from typing import Any

import pytest

from tests.harness.hushpost import get, hushpost
from tests.server.cli.conftest import PASSWORD, Up


def message(up: Up, message_id: str) -> Any:
    return get(f"{up.url}/api/v1/messages/{message_id}", up.token)


def test_send_prints_the_id_of_the_message_and_takes_the_buckets_name_as_title(up: Up) -> None:
    done = up.run("send", "Backup finished ✓")
    assert (done.code, done.err) == (0, "")
    sent = message(up, done.out.strip())
    assert (sent["title"], sent["body"]) == ("default", "Backup finished ✓")


def test_send_reads_standard_input_and_takes_every_option(up: Up) -> None:
    options = (
        "--title",
        "Nightly",
        "--subtitle",
        "disk 2",
        "--delivery",
        "silent",
        "--tap",
        "https://a.example",
    )
    done = up.run("send", *options, "--json", given="Über\nalles\n".encode())
    sent = json.loads(done.out)
    assert (sent["title"], sent["subtitle"], sent["body"]) == ("Nightly", "disk 2", "Über\nalles")
    assert sent["deliveryType"] == "SILENT"
    assert sent["tapAction"]["value"] == "https://a.example"


def test_send_looks_up_the_name_of_a_bucket_given_by_its_id(up: Up) -> None:
    bucket = str(message(up, up.run("send", "x").out.strip())["bucketId"])
    assert message(up, up.run("send", "y", "--bucket", bucket).out.strip())["title"] == "default"


def test_a_text_that_is_too_long_is_refused_with_the_reason_and_what_to_do(up: Up) -> None:
    done = up.run("send", "x" * 501)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hushpost: body: ")
    assert "500" in done.err


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "standard input is empty"), (b"\xff\xfe", "standard input is not UTF-8")]
)
def test_standard_input_that_is_no_message_is_refused(up: Up, given: bytes, said: str) -> None:
    done = up.run("send", "-", given=given)
    assert done.code == 2
    assert said in done.err


def test_an_unknown_bucket_is_said_in_the_servers_words(up: Up) -> None:
    done = up.run("send", "x", "--bucket", "nowhere")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hushpost: ")
    assert "Traceback" not in done.err


def test_without_a_token_send_says_how_to_get_one(up: Up) -> None:
    done = hushpost("send", "x", folder=up.folder, settings={"HUSHPOST_URL": up.url})
    assert done.code == 2
    assert "HUSHPOST_TOKEN is not set; `hushpost login`" in done.err


def test_a_token_that_is_no_good_is_said_to_be(up: Up) -> None:
    done = up.run("send", "x", token="zat_" + "A" * 43)
    assert done.code == 1
    assert "`hushpost login` prints a new HUSHPOST_TOKEN" in done.err
    assert "AAAA" not in done.err


def test_where_no_server_is_the_address_is_named(up: Up) -> None:
    done = hushpost(
        "send", "x", "--url", "http://127.0.0.1:9", folder=up.folder, settings={"HUSHPOST_TOKEN": "t"}
    )
    assert done.code == 1
    assert done.err.startswith("hushpost: no server answers at http://127.0.0.1:9 (")


def test_a_token_made_for_scripts_sends_and_is_listed_and_deleted(up: Up) -> None:
    token = up.run("tokens", "new", "backups").out.strip()
    assert up.run("send", "x", token=token).code == 0
    assert up.run("devices", "list", token=token).code == 1
    listed = {entry["name"]: entry for entry in json.loads(up.run("tokens", "list", "--json").out)}
    assert listed["backups"]["scopes"] == ["messages:create"]
    assert token not in json.dumps(listed)
    assert up.run("tokens", "delete", listed["backups"]["id"]).code == 0
    assert up.run("send", "x", token=token).code == 1


def test_login_prints_what_a_shell_takes(up: Up) -> None:
    done = up.run("login", "--username", "ada", "--password-stdin", given=PASSWORD.encode())
    assert done.out.splitlines()[0] == f"export HUSHPOST_URL={up.url}"
    assert done.out.splitlines()[1].startswith("export HUSHPOST_TOKEN=eyJ")


def test_where_nobody_can_be_asked_what_is_missing_is_named(up: Up) -> None:
    done = up.run("login", "--username", "ada")
    assert (done.code, done.out) == (2, "")
    assert "password is missing" in done.err


def test_pair_shows_a_link_and_a_code_to_scan(up: Up) -> None:
    done = up.run("devices", "pair")
    assert done.out.startswith("hushpost://pair?s=")
    assert "█" in done.out


def test_no_device_is_listed_where_none_is(up: Up) -> None:
    assert up.run("devices", "list", "--json").out == "[]\n"


def test_an_unknown_device_cannot_be_tested_or_deleted(up: Up) -> None:
    for command in ("test", "delete"):
        done = up.run("devices", command, "018f0000-0000-7000-8000-000000000000")
        assert (done.code, done.out) == (1, "")
        assert done.err == "hushpost: no such device\n"
