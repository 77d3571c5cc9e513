"""A newcomer's way with `hushpost up`: pair a phone from the terminal, list it, test it, take it away again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.conservation import read_books
from tests.harness.hushpost import LIGHT, environment, get_text, hushpost, start


@contextmanager
def running(process: "subprocess.Popen[bytes]") -> Iterator[Any]:
    """A process's standard output, line by line; it is ended afterwards."""
    assert process.stdout is not None
    try:
        yield (line.decode().rstrip("\n") for line in iter(process.stdout.readline, b""))
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def simulator(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments], env=environment({}), stdout=subprocess.PIPE
    )


def sign_in(folder: Path, url: str) -> str:
    names = ("--email", "ada@example.org", "--username", "ada")
    done = hushpost("register", *names, "--url", url, "--password-stdin", folder=folder, given=b"long enough")
    return done.out.partition("HUSHPOST_TOKEN=")[2].strip()


def test_a_phone_is_paired_listed_tested_and_deleted(tmp_path: Path) -> None:
    up = start("up", "--data", "data", "--listen", "127.0.0.1:0", folder=tmp_path, settings=LIGHT)
    providers = simulator("providers", "--data", str(tmp_path / "providers"))
    with running(up) as said, running(providers) as told:
        url = next(said).removeprefix("Hushpost is up at ")
        control = json.loads(next(told))["control"]
        settings = {"HUSHPOST_URL": url, "HUSHPOST_TOKEN": sign_in(tmp_path, url)}
        with running(start("devices", "pair", "--wait", folder=tmp_path, settings=settings)) as pairing:
            link = next(pairing)
            phone = simulator("phone", "--control", control, "--link", link, "--name", "Ada's phone")
            with running(phone) as events:
                paired = json.loads(next(events))
                *_, last = pairing
                device = paired["deviceId"]
                assert last == f"paired: Ada's phone ({device}), fingerprint {paired['fingerprint']}"

                def devices(*arguments: str) -> Any:
                    return hushpost("devices", *arguments, folder=tmp_path, settings=settings)

                assert [entry["id"] for entry in json.loads(devices("list", "--json").out)] == [device]
                tested = devices("test", device)
                assert tested.code == 1
                assert "provider: rejected (not_configured)" in tested.out
                assert "the test push is failed" in tested.err
                assert devices("delete", device).code == 0
                assert devices("list").err.startswith("no device is paired yet")
                books = read_books(get_text(f"{url}/metrics", settings["HUSHPOST_TOKEN"]))
                assert books.balanced, books
