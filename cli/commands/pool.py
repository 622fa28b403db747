"""`giftsync pool add|status`: numbers for cards that are bought online."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.build import FLOW, open_ledger
from cli.errors import OperatorError
from cli.importing import made_range
from cli.options import ConfigOption, JsonOption
from cli.output import Output, number, plural, rows, table
from cli.pool_file import read_pool_file
from cli.session import load_settings, opened_sides
from config.settings import Settings
from mappings.ranges import inside
from sync.ledger.cards.pool import LOW_WATER

#: Numbers in one file; a larger pool is added in several.
NUMBERS_MAX = 1_000_000

app = typer.Typer(
    help="Numbers, generated in Flow in advance, for cards that are bought online.", no_args_is_help=True
)


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One number a line, or a table (CSV, .xlsx) with brands; - reads standard input.",
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add numbers to the pool; those that are in it already are left as they are."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_sides(settings) as sides:
        found = read_pool_file(file, sides[FLOW].capabilities, _brands(settings), _piped(file))
    if len(found.brands) > NUMBERS_MAX:
        raise OperatorError(f"{file} has more than {NUMBERS_MAX} numbers", "Split it.")
    serials = list(found.brands)
    made = made_range(settings)
    if made is not None and inside(made, serials):
        raise OperatorError(
            f"no number was added: {plural(inside(made, serials), 'number')} could also be one that giftsync "
            f"makes itself, because of shopify_serial_prefix = {made.prefix}",
            "Set shopify_serial_prefix to four digits that no printed or pooled number begins with.",
        )
    with open_ledger(settings) as ledger:
        kinds = dict.fromkeys(found.brands.values())
        added = sum(ledger.pool.add(FLOW, found.of_brand(brand), brand) for brand in kinds)
        free = ledger.pool.free(FLOW)
    known = len(serials) - added
    repeated = f", {number(known)} were there already" if known else ""
    output.say(f"Added {plural(added, 'number')}{repeated}; {number(free)} are free.")
    if found.cvcs:
        output.note(
            f"{plural(found.cvcs, 'CVC')} passed over: giftsync never stores one. Cards that Flow shows with "
            "their CVC only cannot be kept in step; have Flow make numbers that need none."
        )
    output.emit("pool add", {"added": added, "known": known, "free": free, "cvcs_passed_over": found.cvcs})


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """How many numbers are left."""
    output = Output(as_json)
    with open_ledger(load_settings(config), create=False) as ledger:
        by_brand = ledger.pool.free_by_brand(FLOW)
    free = sum(by_brand.values())
    shown = [(FLOW, brand or "any", number(count)) for brand, count in by_brand.items()] or [
        (FLOW, "any", "0")
    ]
    output.show(rows(table("Side", "Brand", "Free", right=["Free"]), shown))
    if free < LOW_WATER:
        output.say("Running low. Generate numbers in Flow and add them with `giftsync pool add FILE`.")
    brands = {brand or "": count for brand, count in by_brand.items()}
    output.emit("pool status", {"free": {FLOW: free}, "by_brand": brands, "low": free < LOW_WATER})


def _brands(settings: Settings) -> list[str]:
    """Every brand of Flow that the settings name; of two spellings the one of the templates comes last."""
    return [*settings.flow.gift_card_product_uids, *settings.link.template_suffixes]


def _piped(file: Path) -> bytes | None:
    """Standard input for `-`; None for a file."""
    return sys.stdin.buffer.read() if str(file) == "-" else None
