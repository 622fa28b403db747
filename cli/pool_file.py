"""A file of numbers for the pool: one a line, or a CSV with a header and brands. Its CVCs are passed over."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cli.errors import OperatorError
from connectors.base import Capabilities
from mappings.serials import Serial, SerialError
from mappings.sheets.cells import bare
from mappings.sheets.formats import FLOW, Field, columns_of

PROBLEMS_SHOWN = 5
_DELIMITERS = ";,\t"


@dataclass(frozen=True)
class PoolFile:
    """What a file holds; nothing of it is kept but numbers and brands."""

    #: Each number once, with its brand; None: it will do for any.
    brands: Mapping[Serial, str | None]
    #: Lines that had a CVC as well. giftsync never stores one.
    cvcs: int

    def of_brand(self, brand: str | None) -> list[Serial]:
        return [serial for serial, its in self.brands.items() if its == brand]


def read_pool_file(lines: Sequence[str], can: Capabilities, known_brands: Collection[str]) -> PoolFile:
    """All or nothing: raises OperatorError that names the lines at fault, never their content."""
    names = {brand.casefold(): brand for brand in known_brands}
    brands: dict[Serial, str | None] = {}
    problems: list[str] = []
    cvcs = 0
    for line, cells in _rows(lines):
        try:
            serial = Serial(cells.get(Field.NUMBER, ""))
        except SerialError as error:
            problems.append(f"line {line}: {error}")
            continue
        reason = can.accepts_serial(serial)
        if reason is not None:
            problems.append(f"line {line} {reason}")
        brand = cells.get(Field.BRAND)
        if brand and brand.casefold() not in names:
            problems.append(f"line {line} has a brand that the settings do not name")
        brands[serial] = names.get(brand.casefold()) if brand else None
        cvcs += bool(cells.get(Field.CVC))
    if problems:
        more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise OperatorError(
            f"no number was added: {'; '.join(problems[:PROBLEMS_SHOWN])}{more}",
            "Correct the file and add it again.",
        )
    if not brands:
        raise OperatorError("there are no numbers in it", "One number a line.")
    return PoolFile(brands, cvcs)


def _rows(lines: Sequence[str]) -> list[tuple[int, Mapping[Field, str]]]:
    """Line numbers and cells; a header names the columns, without one each line is a number."""
    told = [(n, line) for n, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    if not told:
        return []
    delimiter = max(_DELIMITERS, key=told[0][1].count)
    header, *rest = csv.reader((line for _, line in told), delimiter=delimiter)
    columns = columns_of(FLOW, header)
    if Field.NUMBER not in columns:
        return [(n, {Field.NUMBER: line}) for n, line in told]
    return [
        (n, {what: bare(row[place]) for what, place in columns.items() if place < len(row)})
        for (n, _), row in zip(told[1:], rest, strict=True)
    ]
