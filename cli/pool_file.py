"""A file of numbers for the pool: one a line, or a table with brands. Its CVCs are passed over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.errors import OperatorError
from cli.importing import made_range
from cli.output import plural
from config.settings import Settings
from connectors.api.capabilities import Capabilities
from connectors.api.side import Side
from mappings.ranges import inside
from mappings.serials import Serial
from sync.importer.numbers_file import NumberLine, read_numbers
from sync.ledger.cards.pool import Pool

PROBLEMS_SHOWN = 5
#: Numbers in one file; a larger pool is added in several.
NUMBERS_MAX = 1_000_000


@dataclass(frozen=True)
class PoolFile:
    """What a file holds; nothing of it is kept but numbers and brands."""

    #: Each number once, with its brand; None: it will do for any.
    brands: Mapping[Serial, str | None]
    #: Lines that had a CVC as well. giftsync never stores one.
    cvcs: int

    def of_brand(self, brand: str | None) -> list[Serial]:
        return [serial for serial, its in self.brands.items() if its == brand]


def read_pool_file(
    path: Path, can: Capabilities, known_brands: Collection[str], content: bytes | None = None
) -> PoolFile:
    """All or nothing: raises OperatorError that names the lines at fault, never their content.

    Raises FileProblem for what is no file of numbers. `content` is what was read from standard input.
    """
    names = {brand.casefold(): brand for brand in known_brands}
    brands: dict[Serial, str | None] = {}
    problems: list[str] = []
    cvcs = 0
    for found in read_numbers(path, content):
        problem = _problem(found, can, names)
        if problem is not None:
            problems.append(f"line {found.line}{problem}")
        elif found.serial is not None:
            brands[found.serial] = names.get(found.brand.casefold()) if found.brand else None
            cvcs += found.has_cvc
    if problems:
        more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise OperatorError(
            f"no number was added: {'; '.join(problems[:PROBLEMS_SHOWN])}{more}",
            "Correct the file and add it again.",
        )
    if not brands:
        raise OperatorError("there are no numbers in it", "One number a line.")
    return PoolFile(brands, cvcs)


def numbered(sides: Mapping[str, Side]) -> list[str]:
    """The sides that may have to give a number to a card of another: all, if no other shows it."""
    hiding = {name for name, side in sides.items() if side.capabilities.hides_serials}
    return [name for name in sides if name not in hiding] or list(sides)


def brands_of_side(settings: Settings, side: str) -> list[str]:
    """Every brand of the side that the settings name; of two spellings the one of the link comes last."""
    sections = settings.sides.by_name()
    named = [brand for section in sections.values() for brand in section.brand_names]
    own = list(sections[side].brand_names.values())
    return [*sections[side].known_brands, *(own or named)]


def add_to_pool(settings: Settings, side: str, found: PoolFile, pool: Pool) -> int:
    """Add the numbers that are not in the pool yet; how many. Raises OperatorError, and adds none then."""
    serials = list(found.brands)
    if len(serials) > NUMBERS_MAX:
        raise OperatorError(f"there are more than {NUMBERS_MAX} numbers in it", "Split it.")
    made = made_range(settings, side)
    if made is not None and inside(made, serials):
        raise OperatorError(
            f"no number was added: {plural(inside(made, serials), 'number')} could also be one that giftsync "
            f"makes itself, because of serial_prefix = {made.prefix} in [sides.{side}]",
            "Set serial_prefix to four digits that no printed or pooled number begins with.",
        )
    return sum(pool.add(side, found.of_brand(one), one) for one in dict.fromkeys(found.brands.values()))


def _problem(found: NumberLine, can: Capabilities, brands: Collection[str]) -> str | None:
    if found.serial is None:
        return f": {found.reason}"
    reason = can.accepts_serial(found.serial)
    if reason is not None:
        return f" {reason}"
    if found.brand and found.brand.casefold() not in brands:
        return " has a brand that the settings do not name"
    return None
