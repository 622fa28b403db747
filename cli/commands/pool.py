"""`giftsync pool add|status`: numbers for cards that are bought online."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.build import FLOW, open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import Output, plural, rows, table
from cli.session import load_settings, opened_sides
from connectors.base import Capabilities
from mappings.ranges import NumberRange, inside
from mappings.serials import Serial, SerialError
from sync.ledger.pool import LOW_WATER

#: Numbers in one file; a larger pool is added in several.
NUMBERS_MAX = 1_000_000
PROBLEMS_SHOWN = 5

app = typer.Typer(
    help="Numbers, generated in Flow in advance, for cards that are bought online.", no_args_is_help=True
)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One number a line; - reads standard input.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add numbers to the pool; those that are in it already are left as they are."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_sides(settings) as sides:
        serials = _serials(_lines(file), sides[FLOW].capabilities)
    made = NumberRange("shopify_serial_prefix", settings.link.shopify_serial_prefix)
    if inside(made, serials):
        raise OperatorError(
            f"no number was added: {plural(inside(made, serials), 'number')} could also be one that giftsync "
            f"makes itself, because of shopify_serial_prefix = {made.prefix}",
            "Set shopify_serial_prefix to four digits that no printed or pooled number begins with.",
        )
    with open_ledger(settings) as ledger:
        added = ledger.pool.add(FLOW, serials)
        free = ledger.pool.free(FLOW)
    known = len(serials) - added
    output.say(
        f"Added {plural(added, 'number')}{f', {known} were there already' if known else ''}; {free} are free."
    )
    output.emit({"added": added, "known": known, "free": free})


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """How many numbers are left."""
    output = Output(as_json)
    with open_ledger(load_settings(config), create=False) as ledger:
        free = ledger.pool.free(FLOW)
    output.show(rows(table("Side", "Free", right=["Free"]), [(FLOW, free)]))
    if free < LOW_WATER:
        output.say("Running low. Generate numbers in Flow and add them with `giftsync pool add FILE`.")
    output.emit({"free": {FLOW: free}, "low": free < LOW_WATER})


def _lines(file: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{file} is not a text file", "Save it as text, one number a line.") from None
    lines = text.splitlines()
    if len(lines) > NUMBERS_MAX:
        raise OperatorError(f"{file} has more than {NUMBERS_MAX} lines", "Split it.")
    return lines


def _serials(lines: list[str], capabilities: Capabilities) -> list[Serial]:
    """The numbers, each once. All or none: raises OperatorError that names the lines, never their content."""
    serials: dict[Serial, None] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            serial = Serial(line)
        except SerialError as error:
            problems.append(f"line {number}: {error}")
            continue
        reason = capabilities.accepts_serial(serial)
        if reason is not None:
            problems.append(f"line {number} {reason}")
        serials[serial] = None
    if problems:
        more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise OperatorError(
            f"no number was added: {'; '.join(problems[:PROBLEMS_SHOWN])}{more}",
            "Correct the file and add it again.",
        )
    if not serials:
        raise OperatorError("there are no numbers in it", "One number a line.")
    return list(serials)
