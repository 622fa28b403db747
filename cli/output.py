"""Where results go: tables for people, one JSON object with `--json`; all other words go to stderr."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: Wide enough that nothing is folded when the output goes to a file or a pipe.
WIDTH_WITHOUT_TERMINAL = 200
#: A paragraph stays one line there.
LINE_WITHOUT_TERMINAL = 100_000
#: Raised when a key of an answer goes away or changes its meaning; new keys may come at any time.
SCHEMA_VERSION = 1
_COMMAND = re.compile(r"`[^`]+`")
#: Stands for a space at which no line ends; no text has this private character.
_HELD = "\ue000"


class ExitCode(IntEnum):
    """What a script needs to know."""

    #: Done, and everything is in step.
    IN_STEP = 0
    #: Done, and conflicts are waiting for a person.
    CONFLICTS = 1
    #: Done, and nothing was found.
    NOT_FOUND = 1
    #: Some of the work failed or is left; run it again.
    FAILED = 2
    #: Nothing could be done: configuration, credentials, ledger or arguments.
    COULD_NOT_RUN = 3


def console_for(*, stderr: bool = False) -> Console:
    """A console without colour, bars or folding unless it is a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


@dataclass(frozen=True)
class Output:
    """One command's output."""

    as_json: bool = False
    out: Console = field(default_factory=console_for)
    err: Console = field(default_factory=lambda: console_for(stderr=True))

    def say(self, text: str) -> None:
        """A line of the result, for people only."""
        if not self.as_json:
            _print(self.out, text)

    def paragraph(self, text: str, before: str = "", after: str | None = None) -> None:
        """A sentence or more of the result, folded between words on a terminal.

        Its first line begins with `before`, the others with `after` or else with the same.
        """
        width = self.out.width if self.out.is_terminal else LINE_WITHOUT_TERMINAL
        self.say(folded(text, width, before, before if after is None else after))

    def note(self, text: str) -> None:
        """A line beside the result, such as progress; never in a pipe's way."""
        _print(self.err, text)

    def show(self, renderable: object) -> None:
        """A table of the result, for people only; one with a title has a free line before it."""
        if not self.as_json:
            if getattr(renderable, "title", None):
                self.out.print()
            self.out.print(renderable)

    def emit(self, name: str, result: Mapping[str, object], code: int | ExitCode = ExitCode.IN_STEP) -> None:
        """The result as one JSON object, for `--json`.

        `name` is the command that answers, as "conflicts list", or "error"; `cli.schemas` has the type of its
        result. The object names its schema first and its exit code last.
        """
        if self.as_json:
            answer = {"schema": schema_id(name), **result, "exit_code": int(code)}
            self.out.file.write(json.dumps(jsonable(answer), ensure_ascii=False) + "\n")
            self.out.file.flush()


def _print(console: Console, text: str) -> None:
    """Folded between words on a terminal; in a pipe or a file a line stays a line."""
    if console.is_terminal:
        text = "\n".join(folded(line, console.width) for line in text.split("\n"))
    console.print(escape(text), soft_wrap=True)


def folded(text: str, width: int, before: str = "", after: str = "") -> str:
    """Lines of at most this width; a longer word, or command in backticks, has one of its own."""
    held = _COMMAND.sub(lambda found: found[0].replace(" ", _HELD), text)
    return textwrap.fill(
        held,
        width,
        initial_indent=before,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(_HELD, " ")


def table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    """An empty table; `right` names the columns of numbers."""
    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def rows(made: Table, content: Iterable[Sequence[object]]) -> Table:
    """Add rows; what the sides wrote is never taken for markup."""
    for row in content:
        made.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    return made


def facts(content: Iterable[tuple[str, object]]) -> Table:
    """A list of names and values, without a head."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    return rows(made, content)


def schema_id(name: str) -> str:
    """`giftsync/conflicts-list/1`: the schema of a command's answer."""
    return f"giftsync/{name.replace(' ', '-')}/{SCHEMA_VERSION}"


def when(moment: datetime | None, zone: tzinfo) -> str:
    """A moment for people, in the link's time zone and naming it: `2026-11-28 14:02:11 CET`."""
    return "" if moment is None else moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def number(count: int) -> str:
    """`12 480`: a count for people, grouped as amounts of money are."""
    return f"{count:,}".replace(",", " ")


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 card`, `12 480 cards`."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def jsonable(value: Any) -> Any:
    """The value in JSON's types: instants in ISO 8601, amounts as integers or decimal strings."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date():
            return value.isoformat()
        case Decimal() | Path():
            return str(value)
        case Mapping():
            return {str(k): jsonable(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: jsonable(getattr(value, name)) for name in value.__dataclass_fields__}
    return str(value)
