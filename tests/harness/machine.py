"""A machine for the commands that operators type: a working directory, settings, and a database that may be anywhere."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.store.migrations import migrate
from tests.harness import databases
from tests.harness.filled import contents, fill
from tests.harness.hushpost import Ended, hushpost
from tests.harness.keyfiles import make_server_keys


class Machine:
    """A machine with a working directory and the settings' defaults, but for the database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.settings = {"HUSHPOST_DATABASE_URL": url}
        folder.mkdir()

    @classmethod
    def small(cls, folder: Path) -> "Machine":
        """A server on SQLite with rows in every table and its keys."""
        machine = cls(folder, f"sqlite:///{folder}/data/hushpost.db")
        migrate(machine.url)
        asyncio.run(fill(machine.url))
        make_server_keys(machine.data)
        return machine

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, *arguments: str) -> Ended:
        return hushpost(*arguments, folder=self.folder, settings=self.settings)

    def backup(self) -> Path:
        done = self.run("backup", "--out", "backup.tar")
        assert done.code == 0, done.err
        return self.folder / "backup.tar"

    def keys(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.data / "keys").iterdir()}

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        return asyncio.run(contents(self.url))

    def left_over(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.name.startswith(".hushpost")]


@contextmanager
def machine_on(engine: str, folder: Path) -> Iterator[Machine]:
    if engine == "sqlite":
        yield Machine(folder, f"sqlite:///{folder}/data/hushpost.db")
    else:
        with databases.postgres_database(migrated=False) as url:
            yield Machine(folder, url)
