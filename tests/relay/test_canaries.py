"""What a relay shows of its secrets: nothing, in logs, metrics, errors, arguments and environment, whatever is done to it."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.harness.exposed import Shown, expose


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return asyncio.run(expose(tmp_path_factory.mktemp("relay")))


def test_the_secrets_went_through_every_kind_of_success_and_refusal(shown: Shown) -> None:
    through = shown.canaries.found_in(shown.providers)
    assert {"a token", "a subscription", "an envelope", "a push's id", "a collapse value"} <= through
    assert {
        "nonce_replayed",
        "signature_invalid",
        "pass_invalid",
        "digest_mismatch",
        "bad_json",
    } <= shown.codes


def test_the_log_names_no_secret_at_any_level(shown: Shown) -> None:
    assert shown.canaries.found_in(shown.log) == set()


def test_the_log_names_a_server_by_a_keyed_hash(shown: Shown) -> None:
    lines = [json.loads(line) for line in shown.log.splitlines()]
    assert {len(line["server"]) for line in lines if line.get("event") == "pushed"} == {12}


def test_metrics_and_other_pages_name_no_secret(shown: Shown) -> None:
    assert b"hushpost_relay_pushes_total" in shown.pages["/metrics"]
    assert {path: shown.canaries.found_in(page) for path, page in shown.pages.items()} == {
        path: set() for path in shown.pages
    }


def test_no_refusal_repeats_what_it_refuses(shown: Shown) -> None:
    assert len(shown.errors) > 30
    assert [error for error in shown.errors if shown.canaries.found_in(error)] == []


def test_arguments_and_environment_name_no_secret(shown: Shown) -> None:
    assert b"relay" in shown.process
    assert shown.canaries.found_in(shown.process) == set()


def test_an_operator_who_asks_for_it_finds_servers_in_the_log(tmp_path: Path) -> None:
    shown = asyncio.run(expose(tmp_path, log_servers=True, briefly=True))
    assert shown.key_id.encode() in shown.log
    assert shown.canaries.found_in(shown.log) == {"the server's key id"}
