"""`giftsync pool add|status`: numbers for cards whose own side shows none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from cli.build import open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import Output, number, plural, rows, table
from cli.pool_file import add_to_pool, brands_of_side, numbered, read_pool_file
from cli.session import load_settings, opened_sides
from connectors.api.side import Side, place_of
from sync.ledger.cards.pool import LOW_WATER

app = typer.Typer(
    help="Numbers, generated in advance, for cards whose own side shows no number.", no_args_is_help=True
)


class AddedAnswer(TypedDict):
    """Numbers that were added to the pool."""

    side: str
    added: int
    #: Numbers of the file that were in the pool already.
    known: int
    #: Free numbers now.
    free: int
    #: CVCs in the file: giftsync never stores one.
    cvcs_passed_over: int


class PoolAnswer(TypedDict):
    """How many numbers are left."""

    #: By side.
    free: dict[str, int]
    #: By side and brand; the empty name is that of numbers for any brand.
    by_brand: dict[str, dict[str, int]]
    #: Whether numbers should be added soon.
    low: bool


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One number a line, or a table (CSV, .xlsx) with brands; - reads standard input.",
        ),
    ],
    side: Annotated[
        str | None,
        typer.Option("--side", help="Whose numbers they are, if several can be meant.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add numbers to the pool; those that are in it already are left as they are."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_sides(settings) as sides:
        name = _side(sides, side)
        found = read_pool_file(file, sides[name].capabilities, brands_of_side(settings, name), _piped(file))
        title = place_of(sides[name]).name
    with open_ledger(settings) as ledger:
        added = add_to_pool(settings, name, found, ledger.pool)
        free = ledger.pool.free(name)
    known = len(found.brands) - added
    repeated = f", {number(known)} were there already" if known else ""
    output.say(f"Added {plural(added, 'number')} for {name}{repeated}; {number(free)} are free.")
    if found.cvcs:
        output.note(
            f"{plural(found.cvcs, 'CVC')} passed over: giftsync never stores one. Cards that {title} shows "
            f"with their CVC only cannot be kept in step; have {title} make numbers that need none."
        )
    output.emit(
        "pool add",
        AddedAnswer(side=name, added=added, known=known, free=free, cvcs_passed_over=found.cvcs),
    )


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """How many numbers are left for each side."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_sides(settings) as sides, open_ledger(settings, create=False) as ledger:
        by_brand = {name: ledger.pool.free_by_brand(name) for name in numbered(sides)}
    free = {name: sum(brands.values()) for name, brands in by_brand.items()}
    shown = [
        (name, brand or "any", number(count))
        for name, brands in by_brand.items()
        for brand, count in (brands or {None: 0}).items()
    ]
    output.show(rows(table("Side", "Brand", "Free", right=["Free"]), shown))
    low = [name for name, count in free.items() if count < LOW_WATER]
    for name in low:
        output.say(
            f"Running low for {name}. Generate numbers there and add them: "
            f"`giftsync pool add FILE{'' if len(free) == 1 else f' --side {name}'}`."
        )
    brands = {name: {brand or "": count for brand, count in one.items()} for name, one in by_brand.items()}
    output.emit("pool status", PoolAnswer(free=free, by_brand=brands, low=bool(low)))


def _side(sides: Mapping[str, Side], name: str | None) -> str:
    if name is not None and name not in sides:
        raise OperatorError(f"there is no side {name}", f"There are: {', '.join(sides)}.")
    found = numbered(sides)
    if name is None and len(found) > 1:
        raise OperatorError(
            f"say whose numbers these are: {', '.join(found)}", f"Add --side {' or --side '.join(found)}."
        )
    return name or found[0]


def _piped(file: Path) -> bytes | None:
    """Standard input for `-`; None for a file."""
    return sys.stdin.buffer.read() if str(file) == "-" else None
