"""Commands that are imported when they are used, so that `--version` and the help do not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import typer.main
from typer.core import TyperCommand, TyperGroup

from connectors.installed import installed, shipped, shipped_commands


@dataclass(frozen=True)
class Later:
    """Where a command is, and its line in the help of giftsync."""

    #: A function or a `typer.Typer`: `cli.commands.sync:run`.
    target: str
    help: str


class LazyCommand(TyperCommand):
    """Stands for a command, or a group of them, until it is used."""

    def __init__(self, name: str, words: str, load: Callable[[], Any]) -> None:
        super().__init__(name=name, help=words, callback=None, rich_markup_mode=None)
        self._load = load

    def loaded(self) -> Any:
        """The command itself."""
        return self._load()

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """From here on the command itself is at work."""
        from config.logging import configure_logging

        configure_logging(level="WARNING")
        return self.loaded().make_context(info_name, args, parent=parent, **extra)


def lazy_group(commands: Mapping[str, Later]) -> type[TyperGroup]:
    """A group of these commands and of those that installed connectors bring along, in this order."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            for name, later in commands.items():
                self.commands[name] = LazyCommand(name, later.help, partial(_found, name, later))
            for name, kind in shipped_commands().items():
                words = f"Commands of the connector {kind}."
                self.commands.setdefault(name, LazyCommand(name, words, partial(_of_connector, kind)))
            # Of a type that was installed beside giftsync only its import tells what it brings along.
            for kind in (one for one in installed() if one not in shipped()):
                found = _of_connector(kind)
                if found is not None:
                    self.commands.setdefault(found.name, found)

    return LazyGroup


def _of_connector(kind: str) -> Any:
    """The commands of a connector; None for one that has none."""
    from cli.connector_commands import commands_of

    made = commands_of(kind)
    return None if made is None else built(*made)


def _found(name: str, later: Later) -> Any:
    module, _, attribute = later.target.partition(":")
    return built(name, getattr(import_module(module), attribute))


def built(name: str, target: Any) -> Any:
    """The command of a function or of a `typer.Typer`, as it is below `giftsync`."""
    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    holder.callback()(_nothing)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name)(target)
    return typer.main.get_group(holder).commands[name]


def _nothing() -> None:
    """A group has to have a function of its own."""
