"""Runs the `hushpost` command as a process, as people and scripts do."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_COMMAND = [sys.executable, "-m", "server.cli"]
# What hashing costs is not what these tests are about.
LIGHT = {"HUSHPOST_ACCOUNTS_ARGON2_MEMORY_KIB": "8192", "HUSHPOST_ACCOUNTS_ARGON2_TIME": "1"}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with no settings but these."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("HUSHPOST_")}
    return {**bare, **settings}


def hushpost(
    *arguments: str, folder: Path, settings: Mapping[str, str] | None = None, given: bytes = b""
) -> Ended:
    """Run a command to its end; `given` is its standard input."""
    done = subprocess.run(
        [*_COMMAND, *arguments],
        cwd=folder,
        env=environment(settings or {}),
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def start(*arguments: str, folder: Path, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start one that runs until it is stopped; its log is err.log in the folder."""
    with (folder / "err.log").open("wb") as log:
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            cwd=folder,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )


def get(url: str, token: str | None = None) -> Any:
    """The decoded JSON of an answer, which must be 200."""
    return json.loads(get_text(url, token))


def get_text(url: str, token: str | None = None) -> str:
    """The text of an answer, which must be 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    finally:
        connection.close()
