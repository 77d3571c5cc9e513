"""The example is complete: every setting stands in it, commented out, with its default."""

import re
import tomllib
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT

from server.cli.configfile import Loaded, load
from server.cli.settings_tree import Setting, all_settings
from server.config import Settings

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
SETTINGS = list(all_settings())


def uncommented() -> dict[str, Any]:
    return tomllib.loads(re.sub(r"(?m)^# (?=\w+ = |\[\[)", "", EXAMPLE.read_text("utf-8")))


def at(document: dict[str, Any], setting: Setting) -> Any:
    found: Any = document
    for step in setting.path:
        found = found[step]
    return found


def test_as_it_stands_it_changes_nothing() -> None:
    assert load(EXAMPLE, {}) == Loaded(Settings(), {})


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_stands_there_with_its_default(setting: Setting) -> None:
    written = at(uncommented(), setting)
    if setting.default is None or setting.default is NODEFAULT:
        return  # an app's own: the example can only show its form
    default = [*setting.default] if isinstance(setting.default, tuple) else setting.default
    assert written == (default.value if isinstance(default, Enum) else default)


def test_it_holds_nothing_that_does_not_exist(tmp_path: Path) -> None:
    full = tmp_path / "full.toml"
    full.write_text(re.sub(r"(?m)^# (?=\w+ = |\[\[)", "", EXAMPLE.read_text("utf-8")), "utf-8")
    assert set(load(full, {}).places) == {setting.path for setting in SETTINGS}


def test_each_setting_has_a_variable_of_its_own() -> None:
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)
