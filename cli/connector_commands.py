"""The commands that connectors bring along, `giftsync <type> …` or a name that they choose."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer

from cli.build import build_context
from cli.errors import OperatorError
from cli.output import Output, facts, when
from cli.session import load_settings, opened_sides
from cli.signals import stop_on_signals
from connectors import registry
from connectors.api.commands import CommandOutput, ConfiguredSide
from connectors.api.side import Side


def commands_of(kind: str) -> tuple[str, typer.Typer] | None:
    """What the commands of a connector type are called, and the commands.

    None for a type that has none or cannot be used.
    """
    try:
        found = registry.connector_type(kind)
    except registry.ConnectorUnusable:
        return None
    return None if found.commands is None else (found.commands_name or kind, found.commands(Host(kind)))


@dataclass(frozen=True)
class ConnectorOutput:
    """The output of a connector's command."""

    output: Output

    def say(self, words: str) -> None:
        self.output.say(words)

    def paragraph(self, words: str, before: str, after: str) -> None:
        self.output.paragraph(words, before, after)

    def note(self, words: str) -> None:
        self.output.note(words)

    def facts(self, lines: Iterable[tuple[str, object]]) -> None:
        self.output.show(facts(lines))

    def emit(self, name: str, data: Mapping[str, Any], code: int = 0) -> None:
        self.output.emit(name, data, code)


@dataclass(frozen=True)
class Host:
    """The command line as the commands of one connector type see it."""

    kind: str

    def side(self, config: Path | None, name: str | None) -> ConfiguredSide:
        settings = load_settings(config)
        mine = [one for one, table in settings.sides.by_name().items() if table.connector == self.kind]
        if name is not None and name not in mine:
            raise OperatorError(
                f"{name} is no side of the type {self.kind}", f"There are: {', '.join(mine)}."
            )
        if not mine:
            raise OperatorError(f"the configuration has no side of the type {self.kind}")
        if name is None and len(mine) > 1:
            raise OperatorError("say which side is meant", f"Add --side {' or --side '.join(mine)}.")
        chosen = name or mine[0]
        section = settings.sides.by_name()[chosen]
        return ConfiguredSide(chosen, section, build_context(settings, chosen), settings.link.zone)

    @contextmanager
    def open(self, config: Path | None, name: str) -> Iterator[Side]:
        with opened_sides(load_settings(config)) as sides:
            yield sides[name]

    def output(self, *, as_json: bool) -> CommandOutput:
        return ConnectorOutput(Output(as_json))

    def stopping(self, output: CommandOutput) -> AbstractContextManager[threading.Event]:
        return stop_on_signals(output.note)

    @contextmanager
    def serve(self, application: Any, host: str, port: int) -> Iterator[int]:
        # The server takes a tenth of a second to import, which every other command would pay.
        from console.server import serve
        from console.unavailable import ConsoleUnavailable

        try:
            with serve(application, host, port) as bound:
                yield bound
        except ConsoleUnavailable as error:
            raise OperatorError(str(error), "Choose another port with --port.") from None

    def when(self, moment: datetime, zone: ZoneInfo) -> str:
        return when(moment, zone)

    def error(self, message: str, remedy: str = "") -> Exception:
        return OperatorError(message, remedy)
