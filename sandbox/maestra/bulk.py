"""Files of the bulk API: read by code page, delimiter and qualifier, carried out row by row, later."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from sandbox.maestra.project import ACTIVATED, REDEEMED, Invalid, Project

HOUR_SECONDS = 3_600.0
#: Windows code pages by number.
CODE_PAGES = {"65001": "utf-8-sig", "1251": "cp1251", "1252": "cp1252"}
NEW_COLUMNS = ("Number", "Amount", "ProductIdWebSite", "SkuExternalId")
STATUS_COLUMNS = (
    "CustomFieldNumber",
    "Amount",
    "ActivationDateTimeUtc",
    "ActivatedPointOfContact",
    "ActivatedCustomerId",
    "UsedDateTimeUtc",
    "UsedPointOfContact",
    "UsedCustomerId",
    "BlockedDateTimeUtc",
)


@dataclass(frozen=True)
class BadFile(Exception):
    """A file that is refused as a whole."""

    message: str


@dataclass
class Import:
    """One file, from its arrival to the outcome of each row."""

    id: str
    rows: list[dict[str, str]]
    are_new: bool
    ends_at: float
    done: bool = False
    #: By row, from 0; empty: it is loaded.
    errors: dict[int, str] = field(default_factory=dict)


@dataclass
class Imports:
    """The imports of one project. One thread."""

    project: Project
    monotonic: Callable[[], float]
    asked: deque[float] = field(default_factory=deque)
    all: list[Import] = field(default_factory=list)

    def has_room(self) -> bool:
        while self.asked and self.asked[0] <= self.monotonic() - HOUR_SECONDS:
            self.asked.popleft()
        return len(self.asked) < self.project.behaviour.imports_per_hour

    def take(self, query: Mapping[str, str], body: bytes, *, are_new: bool) -> Import:
        """Keep a file for later. Raises BadFile."""
        rows = read_rows(query, body, NEW_COLUMNS if are_new else STATUS_COLUMNS)
        self.asked.append(self.monotonic())
        ends_at = self.monotonic() + self.project.behaviour.import_seconds
        made = Import(f"import-{len(self.all) + 1}", rows, are_new, ends_at)
        self.all.append(made)
        self.advance()
        return made

    def advance(self) -> None:
        """Carry out what has come to its end."""
        for one in self.all:
            if one.done or one.ends_at > self.monotonic():
                continue
            one.done = True
            for position, row in enumerate(one.rows):
                try:
                    self._load(row) if one.are_new else self._change(row)
                except Invalid as error:
                    one.errors[position] = error.message

    def _load(self, row: Mapping[str, str]) -> None:
        pool = self.project.pool_of(row["ProductIdWebSite"])
        if pool is None:
            raise Invalid("the product is no pool's")
        self.project.add_card(row["Number"], pool, cents_of(row["Amount"]))

    def _change(self, row: Mapping[str, str]) -> None:
        card = self.project.card(row["CustomFieldNumber"])
        moments = {name: moment_of(row.get(name, "")) for name in STATUS_COLUMNS if name.endswith("Utc")}
        if moments["ActivationDateTimeUtc"] is not None and card.status != ACTIVATED:
            self.project.activate(card, "")
        if moments["UsedDateTimeUtc"] is not None:
            card.cents, card.status = 0, REDEEMED
        if moments["BlockedDateTimeUtc"] is not None:
            self.project.block(card.number)


def read_rows(query: Mapping[str, str], body: bytes, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a file by column. Raises BadFile."""
    page = CODE_PAGES.get(query.get("csvCodePage", ""))
    delimiter, qualifier = query.get("csvColumnDelimiter", ""), query.get("csvTextQualifier", "")
    if page is None or len(delimiter) != 1 or len(qualifier) != 1:
        raise BadFile("csvCodePage, csvColumnDelimiter and csvTextQualifier are needed")
    try:
        text = body.decode(page)
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=qualifier, strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise BadFile("the file cannot be read") from None
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    unknown = [name for name in header if name not in columns]
    if unknown or columns[0] not in header:
        raise BadFile("the columns are not those of this operation")
    if any(len(row) != len(header) for row in rows):
        raise BadFile("a row has more or fewer cells than the header")
    return [{**dict.fromkeys(columns, ""), **dict(zip(header, row, strict=True))} for row in rows]


def cents_of(text: str) -> int:
    try:
        cents = Decimal(text) * 100
    except InvalidOperation:
        raise Invalid("the amount is not a number") from None
    if not cents.is_finite() or cents != cents.to_integral_value():
        raise Invalid("the amount has too many decimals")
    return int(cents)


def moment_of(text: str) -> datetime | None:
    """A date like `18.10.2016 20:02`, in UTC; None for an empty cell."""
    if not text:
        return None
    try:
        return datetime.strptime(f"{text} +0000", "%d.%m.%Y %H:%M %z")
    except ValueError:
        raise Invalid("a date is not like 18.10.2016 20:02") from None
