"""One `hushpost up`, made from nothing, for all tests of the commands that need a server."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.hushpost import LIGHT, Ended, hushpost, start

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Up:
    """A running server and relay, and its admin's token."""

    folder: Path
    url: str
    token: str
    ready_after: float

    def run(self, *arguments: str, given: bytes = b"", token: str | None = None) -> Ended:
        settings = {"HUSHPOST_URL": self.url, "HUSHPOST_TOKEN": token or self.token}
        return hushpost(*arguments, folder=self.folder, settings=settings, given=given)


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    began = time.monotonic()
    process = start("up", "--data", "data", "--listen", "127.0.0.1:0", folder=folder, settings=LIGHT)
    assert process.stdout is not None
    url = process.stdout.readline().decode().removeprefix("Hushpost is up at ").strip()
    ready_after = time.monotonic() - began
    try:
        yield Up(folder, url, _register(folder, url), ready_after)
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(30) == 0


def _register(folder: Path, url: str) -> str:
    done = hushpost(
        *("register", "--email", "ada@example.org", "--username", "ada", "--password-stdin"),
        folder=folder,
        settings={"HUSHPOST_URL": url},
        given=PASSWORD.encode(),
    )
    assert done.code == 0, done.err
    return done.out.partition("export HUSHPOST_TOKEN=")[2].strip()
