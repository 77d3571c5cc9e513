"""`hushpost conformance`, as somebody types it who has a relay to check."""

import asyncio
import json
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import IdentityKey
from relay.conformance.case import Verdict, run
from relay.conformance.cases import CASES
from relay.conformance.given import Device, Given
from relay.conformance.subject import Subject
from relay.wire import App
from tests.harness.foreign_process import HUSHPOST
from tests.harness.ports import free_port
from tests.relay.conformance.conftest import DENIED, SERVER, Place

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return _written(tmp_path / "server.key", SERVER)


def _written(file: Path, key: IdentityKey) -> Path:
    file.touch(0o600)
    file.write_text(f"{key.text}\n")
    return file


async def _conformance(*arguments: str | Path) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHPOST_")}
    process = await asyncio.create_subprocess_exec(
        HUSHPOST,
        "conformance",
        *arguments,
        env=kept,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    return process.returncode or 0, said.decode(), complaint.decode()


async def test_a_relay_that_conforms_is_shown_check_by_check(
    subjects: dict[str, Subject], place: Place, key_file: Path
) -> None:
    url = subjects["allowlist"].url
    code, table, counts = await _conformance(url, "--key", key_file, "--relay-keys", place.key_file)
    assert code == 0, table + counts
    assert "✓  signature_profile: a nonce of 15 bytes" in table
    assert "needs a device's push token" in table
    assert "0 failed" in counts


async def test_nothing_is_pushed_unless_a_token_was_given(subjects: dict[str, Subject], place: Place) -> None:
    place.providers.clear()
    plain = replace(
        subjects["allowlist"], given=Given(SERVER, denied=DENIED, epochs=place.epochs), handles={}
    )
    verdicts = [(await run(case, plain)).verdict for case in CASES]
    assert Verdict.FAILED not in verdicts
    assert [record for record in place.providers.recorded if record.provider != "google"] == []


async def test_a_given_token_is_pushed_to(subjects: dict[str, Subject], place: Place, key_file: Path) -> None:
    token = place.providers.token("apns")
    name = f"apns/{place.providers.app}/production={token}"
    code, said, _ = await _conformance(
        subjects["allowlist"].url, "--key", key_file, "--token", name, "--only", "accepted", "--json"
    )
    assert code == 0
    assert {one["result"] for one in json.loads(said)} == {"passed"}
    assert [record.token for record in place.providers.recorded].count(token) == len(json.loads(said))


async def test_without_a_key_it_says_what_the_relay_must_admit(subjects: dict[str, Subject]) -> None:
    code, said, complaint = await _conformance(subjects["allowlist"].url, "--json")
    results: list[dict[str, Any]] = json.loads(said)
    assert code == 0
    skipped = [one for one in results if one["result"] == "skipped" and "key_not_admitted" in one["found"]]
    assert len(skipped) > len(results) / 3
    assert "to relay.allowlist" in complaint


async def test_a_relay_that_does_something_else_fails_and_says_what(
    subjects: dict[str, Subject], tmp_path: Path
) -> None:
    """A key that nobody has denied is given out as a denied one."""
    other = _written(tmp_path / "other.key", IdentityKey.generate(secrets.token_bytes))
    code, said, _ = await _conformance(
        subjects["allowlist"].url, "--denied-key", other, "--only", "key_denied", "--json"
    )
    assert code == 1
    assert [one["found"] for one in json.loads(said)] == [
        "refused as 403 key_not_admitted instead of key_denied"
    ] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nonsense",), 2, "is not an address"),
        ((f"http://127.0.0.1:{free_port()}",), 1, "no answer"),
        (("http://127.0.0.1", "--only", "no such check"), 2, "no check has"),
        (("http://127.0.0.1", "--token", "smoke/signal=abc"), 2, "PROVIDER/APP/ENVIRONMENT=TOKEN"),
        (("http://127.0.0.1", "--key", "missing.key"), 2, "there is no such key file"),
    ],
)
async def test_what_is_asked_wrongly_is_said_in_one_sentence(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended, shown, complaint = await _conformance(*arguments)
    assert (ended, shown) == (code, "")
    assert said in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["apns/org.example.app=ab", "apns//production=ab", "apns/a/production=", "a"]
)
async def test_a_token_is_named_whole(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        Device.read(text)
    right = Device.read("fcm/my-project/production=a=b")
    assert right == Device(App(provider="fcm", app="my-project", environment="production"), "a=b")
