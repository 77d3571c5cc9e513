"""Commands whose modules are imported when they are named, so that none waits for what only the others need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Place:
    """Where a command is: `attribute` of `server.cli.module` is its function, or the typer of a group. `options` are typer's."""

    panel: str
    module: str
    attribute: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self, name: str) -> Any:
        """Import it and make typer's command of it."""
        found = getattr(import_module(f"server.cli.{self.module}"), self.attribute)
        alone = typer.Typer()
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name, rich_help_panel=self.panel, **self.options)
        else:
            alone.command(name, rich_help_panel=self.panel, **self.options)(found)
        return get_group(alone).commands[name]


class LateGroup(TyperGroup):
    """A group of commands that are not there yet. To list them with their help, all are imported.

    `Any` is what typer's own copy of click has no public names for.
    """

    places: ClassVar[Mapping[str, Place]]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # For a name that is none, typer looks among those that it knows for one that is like it.
        for name in (cmd_name,) if cmd_name in self.places else self.places:
            if name not in self.commands:
                self.commands[name] = self.places[name].load(name)
        return super().get_command(ctx, cmd_name)
