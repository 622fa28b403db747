"""docs/reference/cli.md, made from the commands themselves."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer.main

from cli.help_index import record
from cli.lazy import LazyCommand
from cli.main import app

WIDTH = 100
HEAD = """# Command line

<!-- Made from the commands by `python -m cli`; a test keeps the two in step. -->

Every command that works on a link reads `./giftsync.toml`, or the file named with `--config`. With `--json`
it prints one JSON object and nothing else on standard output. Without a terminal there are no colours, no
bars, and no folded lines. Serials are shown by their last four characters only.

| exit code | means |
| --- | --- |
| 0 | done, and everything is in step |
| 1 | done, and conflicts are waiting for a person: `giftsync conflicts list`; or nothing was found |
| 2 | some of the work failed or is left: run it again |
| 3 | nothing could be done; the message says why and what to do |

Ctrl-C (or SIGTERM) lets what is under way come to its end; a second one stops at once. Both are safe: the
next run finds out what an interrupted call did. A command that is stopped at once exits with 130.
"""


def render_reference() -> str:
    """The whole page."""
    lines = [HEAD]
    for path, command in _commands(["giftsync"], typer.main.get_command(app)):
        lines += [f"## `{' '.join(path)}`", "", *textwrap.wrap(_help(command), WIDTH), ""]
        lines += [*_parameters(command)]
    return "\n".join(lines)


def render_help_index() -> str:
    """The recorded help of every command that is loaded when it is used."""
    return record(_with_contexts())


def _with_contexts() -> Iterator[tuple[list[str], Any, Any]]:
    """Each with its words below `giftsync`, in the order of the help; groups, too."""
    root: Any = typer.main.get_command(app)
    top = root.context_class(root, info_name="giftsync", **root.context_settings)
    for one in root.commands.values():
        if isinstance(one, LazyCommand):
            yield from _each([], one.loaded(), top)


def _each(path: list[str], command: Any, parent: Any) -> Iterator[tuple[list[str], Any, Any]]:
    words = [*path, command.name]
    context = command.context_class(
        command, parent=parent, info_name=command.name, **command.context_settings
    )
    yield words, command, context
    for inner in getattr(command, "commands", {}).values():
        yield from _each(words, inner, context)


def _commands(path: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    """Every command that can be run, in the order of the help."""
    if isinstance(command, LazyCommand):
        command = command.loaded()
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _commands([*path, name], one)


def _help(command: Any) -> str:
    return " ".join((command.help or "").split())


def _parameters(command: Any) -> list[str]:
    shown = [p for p in command.params if p.name != "help"]
    if not shown:
        return []
    return ["| | |", "| --- | --- |", *(_row(parameter) for parameter in shown), ""]


def _row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if is_option else (parameter.metavar or parameter.name.upper())
    words = (parameter.help or "").replace("|", "\\|")
    kind = parameter.type_descriptor.annotation
    if inspect.isclass(kind) and issubclass(kind, Enum):
        words += f" One of {', '.join(str(one.value) for one in kind)}."
    if parameter.required:
        words += " Required." if is_option else ""
    elif is_option and not parameter.is_flag and parameter.default not in (None, ""):
        words += f" Default: {getattr(parameter.default, 'value', parameter.default)}."
    return f"| `{name}` | {words.strip()} |"
