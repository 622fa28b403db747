"""What the command line gives to a connector's own commands, `giftsync <type> …`.

A connector makes a typer application from a `CommandHost`. So its commands read the configuration, print, and
end like all others, and nothing of the command line has to be imported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol
from zoneinfo import ZoneInfo

import typer

from connectors.api.build import BuildContext
from connectors.api.settings import SideSection
from connectors.api.side import Side

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration; ./giftsync.toml if left out.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
SideOption = Annotated[
    str | None,
    typer.Option("--side", help="Which side, if the link has several of this type.", show_default=False),
]


@dataclass(frozen=True)
class ConfiguredSide:
    """One side of the type, as the configuration has it."""

    name: str
    section: SideSection
    context: BuildContext
    zone: ZoneInfo


class CommandOutput(Protocol):
    """Words for people, or one JSON object with `--json`."""

    def say(self, words: str) -> None:
        """A line of the answer."""
        ...

    def paragraph(self, words: str, before: str, after: str) -> None:
        """Sentences of the answer, folded on a terminal; `before` and `after` begin the first and other
        lines."""
        ...

    def note(self, words: str) -> None:
        """A line beside the answer, on standard error."""
        ...

    def facts(self, lines: Iterable[tuple[str, object]]) -> None:
        """A table of names and values."""
        ...

    def emit(self, name: str, data: Mapping[str, Any], code: int = 0) -> None:
        """The whole answer for `--json`, with the command's exit code. Never a serial or a token."""
        ...


class CommandHost(Protocol):
    """The command line, for a connector's commands."""

    def side(self, config: Path | None, name: str | None) -> ConfiguredSide:
        """The side of this type; raises an error for people when there is none, or several and none is
        named."""
        ...

    def open(self, config: Path | None, name: str) -> AbstractContextManager[Side]:
        """The side itself, closed at the end."""
        ...

    def output(self, *, as_json: bool) -> CommandOutput: ...

    def stopping(self, output: CommandOutput) -> AbstractContextManager[threading.Event]:
        """An event that Ctrl-C and SIGTERM set."""
        ...

    def serve(self, application: Any, host: str, port: int) -> AbstractContextManager[int]:
        """Serve an ASGI application until the block ends; gives the port, which is chosen when it was 0."""
        ...

    def when(self, moment: datetime, zone: ZoneInfo) -> str:
        """A moment for people."""
        ...

    def error(self, message: str, remedy: str = "") -> Exception:
        """An error for the person at the keyboard, to raise."""
        ...
