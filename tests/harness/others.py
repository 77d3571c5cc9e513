"""Libraries that others wrote, installed by name and version from their registries, for tests of how we get on with them.

They lie in a folder of their own for each set of versions, beside this interpreter's packages, and are installed once. Where that cannot be done
(no Node, no npm, no network) the tests that need them are skipped; where CI is set it is a failure.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

NODE = {
    "@parse/node-apn": "8.1.0",
    "firebase-admin": "13.10.0",
    "http-message-sig": "0.3.0",
    "http_ece": "1.2.1",
    "web-push": "3.6.7",
}
"""firebase-admin: the last that runs on Node 20."""
PYTHON = {"firebase-admin": "7.7.0", "http-ece": "1.2.1"}
"""Not among our own packages: they bring versions of libraries that ours might not take."""

INSTALL_SECONDS = 300
RUN_SECONDS = 60
_FOLDER = Path(sys.prefix) / "others"


def node_packages() -> Path:
    """The folder whose `node_modules` has them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing("node and npm are not installed")
    names = [f"{name}@{version}" for name, version in NODE.items()]
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")

    def install(folder: Path) -> list[Sequence[str]]:
        (folder / "package.json").write_text("{}")
        return [(npm, "install", "--prefix", str(folder), *options, *names)]

    return _installed("node", NODE, install)


def python_packages() -> Path:
    """The interpreter of an environment that has them."""
    names = [f"{name}=={version}" for name, version in PYTHON.items()]

    def install(folder: Path) -> list[Sequence[str]]:
        pip = (
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        )
        return [(sys.executable, "-m", "venv", str(folder)), (*pip, *names)]

    return _installed("python", PYTHON, install) / "bin" / "python"


def _installed(
    kind: str, versions: Mapping[str, str], install: Callable[[Path], list[Sequence[str]]]
) -> Path:
    """Where they are; made whole under another name first, so that what is there is whole."""
    wanted = json.dumps([versions, sys.version_info[:2]]).encode()
    folder = _FOLDER / f"{kind}-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not folder.exists():
        _FOLDER.mkdir(exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=_FOLDER))
        for command in install(making):
            _run(command)
        if not folder.exists():
            making.rename(folder)
    return folder


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or b""
        missing(f"{Path(command[0]).name} cannot install: {error} {said.decode(errors='replace')[-500:]}")


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


SCRIPTS = Path(__file__).parents[1] / "interop" / "scripts"


async def node(script: str, given: Mapping[str, Any], *, roots: Path | None = None) -> Any:
    """What a script of `tests/interop/scripts` answers, in JSON, to what it is given; `roots`: PEM of whom to trust besides."""
    packages = await asyncio.to_thread(node_packages)
    env = {} if roots is None else {"NODE_EXTRA_CA_CERTS": str(roots)}
    return await _answer(("node", str(SCRIPTS / script)), {**given, "packages": str(packages)}, env)


async def python(script: str, given: Mapping[str, Any], *, roots: Path | None = None) -> Any:
    """The same for a script in Python, on the others' interpreter."""
    interpreter = await asyncio.to_thread(python_packages)
    env = {} if roots is None else {"REQUESTS_CA_BUNDLE": str(roots), "SSL_CERT_FILE": str(roots)}
    return await _answer((str(interpreter), str(SCRIPTS / script)), given, env)


async def _answer(command: Sequence[str], given: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    running = await asyncio.create_subprocess_exec(
        *command,
        env={**kept, **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, complaint = await running.communicate(json.dumps(given).encode())
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, complaint.decode(errors="replace")
    return json.loads(said)
