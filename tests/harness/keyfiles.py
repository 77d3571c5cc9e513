"""Key files where a server or relay looks for them, as `hushpost keys new` makes them, without a process of their own."""

from pathlib import Path

from server.cli import files
from server.config import ServerSettings, Settings


def make_server_keys(data: Path) -> None:
    """Make the keys of a server whose data are in a folder."""
    files.make_server_keys(_settings(data))


def make_relay_keys(data: Path) -> None:
    files.make_relay_keys(_settings(data))


def _settings(data: Path) -> Settings:
    return Settings(server=ServerSettings(data_dir=str(data)))
