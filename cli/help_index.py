"""The help of every shipped command, recorded when it is developed: showing it imports no command.

The options of a command are in its module, and with the module come the ledger and the connectors.
`python -m cli` records the help into help_index.json as calls of the formatter: it folds to any width.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from typer._click.formatting import HelpFormatter

INDEX: Final = Path(__file__).with_suffix(".json")
#: Wide enough that a recorded line of a list is whole.
_WIDTH: Final = 1000
HELP_OPTIONS: Final = ("-h", "--help")

Calls = list[list[Any]]


class RecordingFormatter(HelpFormatter):
    """A formatter that keeps what it was asked to write."""

    def __init__(self) -> None:
        super().__init__(width=_WIDTH)
        self.calls: Calls = []

    def indent(self) -> None:
        self.calls.append(["indent"])

    def dedent(self) -> None:
        self.calls.append(["dedent"])

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self.calls.append(["write_usage", prog, args, prefix])

    def write_heading(self, heading: str) -> None:
        self.calls.append(["write_heading", heading])

    def write_paragraph(self) -> None:
        self.calls.append(["write_paragraph"])

    def write_text(self, text: str) -> None:
        self.calls.append(["write_text", text])

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        self.calls.append(["write_dl", [list(row) for row in rows], col_max, col_spacing])


def record(commands: Iterator[tuple[list[str], Any, Any]]) -> str:
    """The index as JSON, a line a command: by its words, the calls that write its help.

    `commands` are the words, the command and its context.
    """
    lines: list[str] = []
    for words, command, context in commands:
        formatter = RecordingFormatter()
        command.format_help(context, formatter)
        lines.append(f"{json.dumps(' '.join(words))}: {json.dumps(formatter.calls, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def _index() -> dict[str, Calls]:
    found: dict[str, Calls] = json.loads(INDEX.read_text(encoding="utf-8"))
    return found


def recorded_help(arguments: Sequence[str]) -> str | None:
    """The help that `giftsync arguments…` asks for; None where the command itself has to answer.

    So has a group that is given no command: some then do what they are there for, as `giftsync cards` does.
    """
    words: list[str] = []
    rest = list(arguments)
    while rest and " ".join([*words, rest[0]]) in _index():
        words.append(rest.pop(0))
    calls = _index().get(" ".join(words))
    if calls is None or not rest or rest[0] not in HELP_OPTIONS:
        return None
    formatter = HelpFormatter()
    for method, *values in calls:
        if method == "write_dl":
            values[0] = [tuple(row) for row in values[0]]
        getattr(formatter, method)(*values)
    return formatter.getvalue().rstrip("\n")
