"""A card file read a row at a time: first looked through for its habits, then taken row by row. Pure.

    survey = Survey(layout=None)
    for line in file: ...                  # pass 1: `survey.look`
    for item in read_cards(lines, survey.habits(), ...):   # pass 2: cards and rejects

Line numbers are those of the file, from 1, as an editor shows them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import Final, TypeVar

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from mappings.sheets import cells
from mappings.sheets.cells import CellError, Marks
from mappings.sheets.formats import Field, Format, columns_of, key_of, recognise

T = TypeVar("T")

DELIMITERS: Final = (";", ",", "\t", "|")
#: What giftsync adds to a file of rejects; ignored when such a file is read again.
REJECT_COLUMNS: Final = ("giftsync line", "giftsync column", "giftsync reason")
#: So many numbers that all end in zero are no chance: a spreadsheet keeps 15 digits.
ROUNDED_ROWS_MIN: Final = 20
_EXACT_DIGITS: Final = 15
_HEADER_LINES_MAX: Final = 10
_NAME_LENGTH_MAX: Final = 40


class SheetError(ValueError):
    """The file as a whole cannot be read; `line` says where, 0 when nowhere in particular."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class FileCard:
    """One good row of a file of cards with whole numbers. Amounts in minor units."""

    line: int
    serial: Serial
    balance_minor: int
    status: CardStatus
    expires_on: date | None = None
    brand: str = ""
    store: str = ""
    note: str = ""
    legacy: Serial | None = None
    #: Used for reading the card and never stored.
    cvc: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class OnlineCard:
    """One good row of the online shop's own export, which has no codes."""

    line: int
    native_number: int
    last_chars: str
    balance_minor: int
    enabled: bool
    expires_on: date | None = None
    order: str = ""
    note: str = ""


@dataclass(frozen=True)
class Reject:
    """One row that cannot be taken, and why. Holds nothing of the row's content."""

    line: int
    #: Of the cell, from 1; 0: the row as a whole.
    column: int
    column_name: str
    reason: str


@dataclass(frozen=True)
class Habits:
    """What the first pass found out about a file."""

    layout: Format
    header: tuple[str, ...]
    header_line: int
    delimiter: str
    columns: Mapping[Field, int]
    marks: Marks
    day_first: bool | None
    #: Data rows, without blank ones.
    rows: int


# --- Rows of text -------------------------------------------------------------------------------------------


def rows_of(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells with the line that each row begins on. Raises SheetError for a quote that never ends."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in reader:
            yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        words = "a quote that opens here is not closed, or a quote stands inside a value"
        if "limit" in str(error) or "end of data" in str(error):
            words = "a quote that opens here never closes"
        raise SheetError(f"{words}; correct it and read the file again", begins) from None


def is_blank(row: Sequence[str]) -> bool:
    return not any(cells.bare(cell) for cell in row)


def header_of(head: Sequence[str], layout: Format | None) -> tuple[Format, tuple[str, ...], int, str]:
    """Layout, header, its line and the delimiter, from the first lines of a file. Raises SheetError."""
    delimiters: tuple[str, ...] = DELIMITERS
    if layout is not None and layout.delimiter is not None:
        delimiters = (layout.delimiter,)
    found: list[tuple[int, Format, tuple[str, ...], int, str]] = []
    for delimiter in delimiters:
        try:
            for line, row in rows_of(head, delimiter):
                if is_blank(row) or row[0].lower().startswith("sep="):
                    continue
                chosen = layout or recognise(row)
                if chosen is not None and chosen.required <= set(known := columns_of(chosen, row)):
                    found.append((len(known), chosen, tuple(row), line, delimiter))
                break
        except SheetError:
            continue
    if found:
        _, chosen, header, line, delimiter = max(found, key=lambda one: one[0])
        _check_header(header, line)
        return chosen, header, line, delimiter
    raise SheetError(_no_layout(head, layout), 1)


def _check_header(header: tuple[str, ...], line: int) -> None:
    names = [key_of(name) for name in header if key_of(name)]
    for name in names:
        if names.count(name) > 1:
            raise SheetError("two columns of the header have the same name; rename or remove one", line)


def _no_layout(head: Sequence[str], layout: Format | None) -> str:
    first = next((line for line in head if line.strip()), "")
    if not first:
        return "the file is empty"
    delimiter = max(DELIMITERS, key=first.count)
    # Without a header the first row holds numbers of cards; only what looks like a name is shown.
    names = [
        cell.strip()
        for cell in first.split(delimiter)
        if sum(c.isdigit() for c in cell) <= 2 and cell.strip()
    ]
    shown = ", ".join(name[:_NAME_LENGTH_MAX] for name in names[:12]) or "none that looks like a name"
    if layout is not None:
        wanted = "; ".join(" or ".join(layout.columns[one][:3]) for one in sorted(layout.required))
        return f"the layout {layout.name} needs columns that are not there ({wanted}); found: {shown}"
    return (
        f"no known layout has these columns: {shown}. The first line must name the columns; name the layout "
        "with --format, or describe it in a mapping file"
    )


# --- Pass 1 -------------------------------------------------------------------------------------------------


class Survey:
    """Looks through a whole file once: how it writes amounts and dates, and whether its numbers are whole."""

    def __init__(self, layout: Format, header: tuple[str, ...], header_line: int, delimiter: str) -> None:
        self._layout, self._header, self._line, self._delimiter = layout, header, header_line, delimiter
        self._columns = columns_of(layout, header)
        self._decimal: dict[str, int] = {}
        self._day_first: dict[bool, int] = {}
        self._rows = self._long = self._rounded = 0

    def look(self, line: int, row: Sequence[str]) -> None:
        """Take notice of one row."""
        if line <= self._line or is_blank(row) or len(row) != len(self._header):
            return
        self._rows += 1
        if Field.BALANCE in self._columns and not self._layout.minor_amounts:
            told = cells.decimal_mark_told(row[self._columns[Field.BALANCE]])
            if told is not None:
                self._decimal[told] = self._decimal.get(told, 0) + 1
        if Field.VALID_TO in self._columns:
            first = cells.day_first_told(row[self._columns[Field.VALID_TO]])
            if first is not None:
                self._day_first[first] = self._day_first.get(first, 0) + 1
        if Field.NUMBER in self._columns:
            text = cells.bare(row[self._columns[Field.NUMBER]])
            if len(text) > _EXACT_DIGITS and text.isdigit():
                self._long += 1
                self._rounded += text.endswith("0" * (len(text) - _EXACT_DIGITS))

    def habits(self) -> Habits:
        """What was found. Raises SheetError when the numbers are not what was printed on the cards."""
        if self._long >= ROUNDED_ROWS_MIN and self._rounded == self._long:
            raise SheetError(
                f"all {self._long} long card numbers end in zero: a spreadsheet keeps 15 digits only and has "
                "rounded them. Export again with that column formatted as text",
                self._line,
            )
        return Habits(
            self._layout,
            self._header,
            self._line,
            self._delimiter,
            self._columns,
            Marks(self._layout.decimal_mark or _agreed(self._decimal)),
            self._layout.day_first if self._layout.day_first is not None else _agreed(self._day_first),
            self._rows,
        )


def _agreed(votes: Mapping[T, int]) -> T | None:
    """The habit that all rows show; a few strays, up to one in twenty, are rejected one by one instead."""
    total = sum(votes.values())
    return next((vote for vote, count in votes.items() if count * 20 >= total * 19), None)


# --- Pass 2 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """What the link asks of a card file."""

    currency: str
    #: In which instants become dates.
    zone: tzinfo
    #: By system name: whether cards of the pool need a CVV. None: no pool file was given.
    pools: Mapping[str, bool] | None = None


class _Bad(Exception):
    """A cell of this field is wrong."""

    def __init__(self, what: Field | None, reason: str) -> None:
        super().__init__(reason)
        self.what = what


def read_cards(
    rows: Iterable[tuple[int, list[str]]], habits: Habits, terms: Terms
) -> Iterator[FileCard | OnlineCard | Reject]:
    """Every data row as a card or a reject, in order; blank rows are passed over."""
    take = _take_online if Field.LAST_CHARS in habits.columns else _take_card
    for line, row in rows:
        if line <= habits.header_line or is_blank(row):
            continue
        try:
            if len(row) != len(habits.header):
                raise _Bad(None, _ragged(len(row), len(habits.header)))
            yield take(line, row, habits, terms)
        except _Bad as bad:
            column = -1 if bad.what is None else habits.columns.get(bad.what, -1)
            name = habits.header[column].strip() if column >= 0 else ""
            yield Reject(line, column + 1, name, str(bad))


def read_pools(rows: Iterable[tuple[int, list[str]]], habits: Habits) -> dict[str, bool]:
    """Pools by system name, and whether their cards need a CVV. Raises SheetError for the first bad row."""
    pools: dict[str, bool] = {}
    for line, row in rows:
        if line <= habits.header_line or is_blank(row):
            continue
        if len(row) != len(habits.header):
            raise SheetError(_ragged(len(row), len(habits.header)), line)
        name = cells.bare(row[habits.columns[Field.POOL]])
        if not name or name in pools:
            raise SheetError("the pool has no system name" if not name else "the pool is listed twice", line)
        try:
            pools[name] = cells.flag(row[habits.columns[Field.CVV_REQUIRED]], default=False)
        except CellError as error:
            raise SheetError(f"IsCvvRequired is {error}", line) from None
    return pools


def _ragged(cells_here: int, cells_wanted: int) -> str:
    if cells_here > cells_wanted:
        return (
            f"the row has {cells_here} cells, the header {cells_wanted}: a delimiter stands inside a value "
            "without quotes around it"
        )
    return f"the row has {cells_here} cells, the header {cells_wanted}: it is cut off"


def _take_card(line: int, row: list[str], habits: Habits, terms: Terms) -> FileCard:
    layout = habits.layout

    def cell(what: Field) -> str:
        position = habits.columns.get(what)
        return "" if position is None else row[position]

    serial = _of(Field.NUMBER, lambda: cells.number(cell(Field.NUMBER)))
    _check_currency(cell(Field.CURRENCY), terms)
    balance = _of(Field.BALANCE, lambda: _balance(cell(Field.BALANCE), habits, terms))
    status = _of(
        Field.STATUS, lambda: cells.status(cell(Field.STATUS), layout.statuses, layout.status_default)
    )
    if Field.ARCHIVED in habits.columns and _of(
        Field.ARCHIVED, lambda: cells.flag(cell(Field.ARCHIVED), default=False)
    ):
        # An archived card keeps its balance and is hidden (lightspeed.md A2): nobody can spend it.
        status = CardStatus.CLOSED
    cvc = cells.bare(cell(Field.CVC)) or None
    _check_pool(cells.bare(cell(Field.POOL)), cvc, terms)
    legacy_text = cells.bare(cell(Field.LEGACY_NUMBER))
    return FileCard(
        line,
        serial,
        balance,
        status,
        _of(Field.VALID_TO, lambda: cells.day(cell(Field.VALID_TO), terms.zone, habits.day_first)),
        cells.bare(cell(Field.BRAND)) or cells.bare(cell(Field.POOL)),
        cells.bare(cell(Field.STORE)),
        cells.bare(cell(Field.NOTE)),
        _of(Field.LEGACY_NUMBER, lambda: cells.number(legacy_text)) if legacy_text else None,
        cvc,
    )


def _take_online(line: int, row: list[str], habits: Habits, terms: Terms) -> OnlineCard:
    def cell(what: Field) -> str:
        position = habits.columns.get(what)
        return "" if position is None else cells.bare(row[position])

    native = cell(Field.ID).rsplit("/", 1)[-1]
    if not native.isascii() or not native.isdigit():
        raise _Bad(Field.ID, "the id is not the number of a Shopify gift card")
    last = cell(Field.LAST_CHARS).lower()[-4:]
    if len(last) < 4 or not last.isascii() or not last.isalnum():
        raise _Bad(Field.LAST_CHARS, "the last four characters of the code are missing")
    _check_currency(cell(Field.CURRENCY), terms)
    return OnlineCard(
        line,
        int(native),
        last,
        _of(Field.BALANCE, lambda: _balance(cell(Field.BALANCE), habits, terms)),
        _of(Field.ENABLED, lambda: cells.flag(cell(Field.ENABLED), default=True)),
        _of(Field.VALID_TO, lambda: cells.day(cell(Field.VALID_TO), terms.zone, habits.day_first)),
        cell(Field.ORDER),
        cell(Field.NOTE),
    )


def _of(what: Field, read: Callable[[], T]) -> T:
    try:
        return read()
    except CellError as error:
        raise _Bad(what, str(error)) from None


def _balance(cell: str, habits: Habits, terms: Terms) -> int:
    layout = habits.layout
    value = (
        cells.minor_amount(cell) if layout.minor_amounts else cells.amount(cell, terms.currency, habits.marks)
    )
    if layout.negative_balances:
        value = -value
    if value < 0:
        words = "positive: the card would owe money" if layout.negative_balances else "negative"
        raise CellError(f"the balance is {words}")
    return value


def _check_currency(cell: str, terms: Terms) -> None:
    currency = cells.bare(cell).upper()
    if currency and currency != terms.currency:
        raise _Bad(
            Field.CURRENCY, f"the card is not in {terms.currency}, the link's currency; nothing is converted"
        )


def _check_pool(pool: str, cvc: str | None, terms: Terms) -> None:
    if terms.pools is None or not pool:
        return
    needs_cvc = terms.pools.get(pool)
    if needs_cvc is None:
        raise _Bad(Field.POOL, "the pool is not in the file of pools")
    if needs_cvc and cvc is None:
        raise _Bad(Field.CVC, "the pool needs a CVV (IsCvvRequired), and the row has none")
