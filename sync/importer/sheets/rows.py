"""A card file read a row at a time: first looked through for its habits, then taken row by row. Pure.

    survey = Survey(layout=None)
    for line in file: ...                  # pass 1: `survey.look`
    for item in read_cards(lines, survey.habits(), ...):   # pass 2: cards and rejects

Line numbers are those of the file, from 1, as an editor shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final, TypeVar

from msgspec import Struct

from mappings.lifecycle import CardStatus
from mappings.sentences import say
from mappings.serials import Serial
from sync.importer.sheets import cells
from sync.importer.sheets.cells import CellError, DateForm, Marks
from sync.importer.sheets.formats import (
    Field,
    Format,
    columns_of,
    key_of,
    recognise,
    unused_columns,
)
from sync.importer.sheets.records import Record

T = TypeVar("T")

DELIMITERS: Final = (";", ",", "\t", "|")
#: What giftsync adds to a file of rejects; ignored when such a file is read again.
REJECT_COLUMNS: Final = ("giftsync line", "giftsync column", "giftsync reason")
#: So many numbers that all end in zero are no chance: a spreadsheet keeps 15 digits.
ROUNDED_ROWS_MIN: Final = 20
_EXACT_DIGITS: Final = 15
#: Lines before the header that a report may begin with.
HEAD_LINES: Final = 40
_NAME_LENGTH_MAX: Final = 40
#: So many numbers of one length, and so large a part of all, say that the others have lost zeros.
_SAME_LENGTH_MIN: Final = 3
_ZEROS_LOST_MAX: Final = 3
_LENGTH_MIN: Final = 8
#: Different cells of a column that are remembered: of statuses, dates and currencies there are few.
_CELLS_KEPT: Final = 4_096


class SheetError(ValueError):
    """The file as a whole cannot be read; `line` says where, 0 when nowhere in particular.

    `commands`: what a terminal can do about it.
    """

    def __init__(self, message: str, line: int = 0, commands: str = "") -> None:
        super().__init__(message)
        self.line, self.commands = line, commands


class FileCard(Struct, gc=False):
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
    cvc: str | None = None

    def __repr__(self) -> str:
        return f"FileCard({self.serial}, {self.balance_minor})"


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
    #: What the row says is on the card, where that can be read: a rejected card is still owed.
    balance_minor: int | None = field(default=None, compare=False)
    last_chars: str = field(default="", compare=False)


@dataclass(frozen=True)
class FileTotal:
    """A line that adds the others up. It is no card."""

    line: int
    #: None when it names no balance.
    balance_minor: int | None


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
    date_form: DateForm | None = None
    #: The digits that every whole number has; a number that is a little shorter has lost zeros.
    number_length: int | None = None
    #: Names of columns that are not read, and those among them that sound as if they mattered, and as what.
    unused: tuple[str, ...] = ()
    suggesting: tuple[tuple[str, str], ...] = ()


# --- Rows of text -------------------------------------------------------------------------------------------


def is_blank(row: Sequence[str]) -> bool:
    return not (row and row[0] and cells.bare(row[0])) and not any(cells.bare(cell) for cell in row)


def header_of(
    head: Mapping[str, Sequence[Record]], layout: Format | None, *, anywhere: bool = True
) -> tuple[Format, tuple[str, ...], int, str]:
    """Layout, header, its line and the delimiter. Raises SheetError.

    `head` has the first records of the file as each delimiter splits them. Lines before the header, such as a
    report's title, are passed over.
    """
    found: list[tuple[int, Format, tuple[str, ...], int, str]] = []
    for delimiter, records in head.items():
        for line, row, broken in records:
            if broken or is_blank(row) or is_hint(row):
                continue
            chosen = layout or recognise(row)
            if chosen is not None and chosen.required <= set(known := columns_of(chosen, row)):
                found.append((len(known), chosen, tuple(row), line, delimiter))
                break
            if not anywhere:
                break
    if found:
        _, chosen, header, line, delimiter = max(found, key=lambda one: one[0])
        _check_header(chosen, header, line)
        return chosen, header, line, delimiter
    raise _no_layout(head, layout)


def is_hint(row: Sequence[str]) -> bool:
    """Excel's first line, which names the delimiter."""
    return row[0].lower().startswith("sep=")


def _check_header(layout: Format, header: tuple[str, ...], line: int) -> None:
    """Two columns of one name matter when one of them is read."""
    names = [key_of(name) for name in header]
    for position in columns_of(layout, header).values():
        if names.count(names[position]) > 1:
            name = header[position].strip()[:_NAME_LENGTH_MAX]
            words = say("two columns have the same name, {name}; rename or remove one", name=name)
            raise SheetError(words, line)


def names_in(head: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    """What looks most like a header: the one of the first lines with most cells, without numbers.

    Empty: most of that line are numbers, so it is a card.
    """
    rows = [
        record.cells
        for records in head.values()
        for record in records
        if not record.broken and not is_blank(record.cells) and not is_hint(record.cells)
    ]
    best = max(rows, key=lambda row: sum(bool(cell.strip()) for cell in row), default=[])
    cells_here = [cell.strip() for cell in best if cell.strip()]
    # Without a header the first row holds numbers of cards; only what looks like a name is shown.
    found = tuple(cell for cell in cells_here if sum(c.isdigit() for c in cell) <= 2)
    return found if len(found) * 2 > len(cells_here) else ()


def _no_layout(head: Mapping[str, Sequence[Record]], layout: Format | None) -> SheetError:
    if not any(not is_blank(record.cells) for records in head.values() for record in records):
        return SheetError(say("the file is empty"))
    names = ", ".join(name[:_NAME_LENGTH_MAX] for name in names_in(head)[:12])
    if layout is not None:
        wanted = "; ".join("/".join(layout.columns[one][:3]) for one in sorted(layout.required))
        words = say(
            "the layout {layout} needs columns that are not there ({wanted}); found: {names}",
            layout=layout.name,
            wanted=wanted,
            names=names or say("none that looks like a name"),
        )
        return SheetError(words)
    if not names:
        words = say(
            "no line names the columns. Write one above the rows, with the number and the balance in it, "
            "such as: Number, Balance"
        )
        return SheetError(words)
    words = say(
        "no known layout has these columns: {names}. A line must name the columns, one of them the number "
        "and one the balance",
        names=names,
    )
    return SheetError(words, commands="`giftsync import layout FILE` writes a mapping file to start from")


# --- Pass 1 -------------------------------------------------------------------------------------------------


class Survey:
    """Looks through a whole file once: how it writes amounts and dates, and whether its numbers are whole.

    `named`: a person said which layout it is, so what its columns mean is not in question.
    """

    def __init__(
        self,
        layout: Format,
        header: tuple[str, ...],
        header_line: int,
        delimiter: str,
        *,
        named: bool = False,
    ) -> None:
        self._layout, self._header, self._line, self._delimiter = layout, header, header_line, delimiter
        self._named = named
        self._columns = columns_of(layout, header)
        self._width = len(header)
        self._is_plain = _plain_rows(self._columns, self._width)
        amounts = None if layout.minor_amounts else Field.BALANCE
        self._balance, self._day, self._number = (
            None if what is None else self._columns.get(what)
            for what in (amounts, Field.VALID_TO, Field.NUMBER)
        )
        # A column of dates has few different cells.
        self._day_first_told = lru_cache(_CELLS_KEPT)(cells.day_first_told)
        self._decimal: dict[str, int] = {}
        self._day_first: dict[bool, int] = {}
        self._signs: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._zeros = False
        self._negative = layout.negative_balances
        self._rows = self._long = self._rounded = 0

    def look(self, record: Record) -> None:
        """Take notice of one record."""
        line, row, broken = record
        if line <= self._line:
            return
        if broken:
            self._rows += 1
            return
        if not self._is_plain(row):
            if is_blank(row):
                return
            if len(row) != self._width or is_total_line(row, self._columns):
                self._rows += 1
                return
        self._rows += 1
        if self._balance is not None:
            told = cells.decimal_mark_told(row[self._balance])
            if told is not None:
                self._decimal[told] = self._decimal.get(told, 0) + 1
            if self._negative:
                sign = cells.sign_told(row[self._balance])
                self._signs[sign] = self._signs.get(sign, 0) + 1
        if self._day is not None:
            first = self._day_first_told(row[self._day])
            if first is not None:
                self._day_first[first] = self._day_first.get(first, 0) + 1
        if self._number is not None:
            self._look_at_number(cells.bare(row[self._number]))

    def _look_at_number(self, text: str) -> None:
        if not text.isdigit():
            return
        self._lengths[len(text)] = self._lengths.get(len(text), 0) + 1
        self._zeros |= text.startswith("0")
        if len(text) > _EXACT_DIGITS:
            self._long += 1
            self._rounded += text.endswith("0" * (len(text) - _EXACT_DIGITS))

    def habits(self) -> Habits:
        """What was found. Raises SheetError when the numbers are not what was printed on the cards."""
        if self._long >= ROUNDED_ROWS_MIN and self._rounded == self._long:
            words = say(
                "all {count} long card numbers end in zero: a spreadsheet keeps 15 digits only and has "
                "rounded them. Export again with that column formatted as text",
                count=self._long,
            )
            raise SheetError(words, self._line)
        layout = self._layout
        unused, suggesting = unused_columns(layout, self._header, self._columns.values())
        return Habits(
            replace(layout, negative_balances=self._stored_is_negative()),
            self._header,
            self._line,
            self._delimiter,
            self._columns,
            Marks(layout.decimal_mark or _agreed(self._decimal)),
            layout.day_first if layout.day_first is not None else _agreed(self._day_first),
            self._rows,
            layout.date_form,
            None if layout.mixed_lengths else self._whole_length(),
            unused,
            suggesting,
        )

    def _stored_is_negative(self) -> bool:
        """Whether money on a card is written with a minus. Raises SheetError when the file does not tell."""
        if not self._layout.negative_balances or self._named or Field.ID in self._columns:
            return self._layout.negative_balances
        if self._signs.get(1) and self._signs.get(-1):
            words = say(
                "balances above zero: {positive}, below zero: {negative}. Which of them is money on the "
                "card? The layout is {layout} if those below are, {other} if those above are",
                positive=self._signs[1],
                negative=self._signs[-1],
                layout=self._layout.name,
                other="flow",
            )
            raise SheetError(words, self._line, f"Say --format {self._layout.name} or --format flow")
        return bool(self._signs.get(-1))

    def _whole_length(self) -> int | None:
        """How many digits whole numbers have, if nearly all agree and none begins with a zero."""
        total = sum(self._lengths.values())
        length, count = max(self._lengths.items(), key=lambda one: (one[1], one[0]), default=(0, 0))
        sure = count >= _SAME_LENGTH_MIN and count * 5 >= total * 3 and length >= _LENGTH_MIN
        return length if sure and not self._zeros else None


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


class BadCell(Exception):
    """A cell of this field is wrong."""

    def __init__(self, what: Field | None, reason: str) -> None:
        super().__init__(reason)
        self.what = what


def read_cards(
    records: Iterable[Record], habits: Habits, terms: Terms
) -> Iterator[FileCard | OnlineCard | Reject | FileTotal]:
    """Every data row as a card, a reject or a total, in order; blank rows are passed over."""
    is_online = Field.LAST_CHARS in habits.columns
    take = partial(_take_online, habits=habits, terms=terms) if is_online else _CardTaker(habits, terms).take
    header_line, width = habits.header_line, len(habits.header)
    is_plain = _plain_rows(habits.columns, width)
    for line, row, broken in records:
        if line <= header_line:
            continue
        if not is_plain(row):
            if not broken and is_blank(row):
                continue
            if is_total_line(row, habits.columns):
                yield FileTotal(line, _owed(row, habits, terms))
                continue
        try:
            if broken or "\x00" in "".join(row):
                raise BadCell(None, broken or "the row holds a zero byte")
            if len(row) != width:
                raise BadCell(None, _ragged(len(row), width))
            yield take(line, row)
        except BadCell as bad:
            column = -1 if bad.what is None else habits.columns.get(bad.what, -1)
            name = habits.header[column].strip() if column >= 0 else ""
            owed = _owed(row, habits, terms) if len(row) == width else None
            yield Reject(line, column + 1, name, str(bad), owed, _last_chars(row, habits))


def _plain_rows(columns: Mapping[Field, int], width: int) -> Callable[[Sequence[str]], bool]:
    """Tells of a row that it is neither blank nor a total nor of another width: a number stands where the
    cards' numbers do.
    """
    position = columns.get(Field.NUMBER, columns.get(Field.ID))
    if position is None:
        return lambda row: False
    return lambda row: len(row) == width and row[position].isdigit()


def is_total_line(row: Sequence[str], columns: Mapping[Field, int]) -> bool:
    """Whether the row adds the others up: a word such as `Sum` stands where the number does, or first."""
    position = columns.get(Field.NUMBER, columns.get(Field.ID, -1))
    if 0 <= position < len(row) and row[position].isdigit():
        return False
    number = cells.bare(row[position]) if 0 <= position < len(row) else ""
    return cells.is_total(number) or (not number and bool(row) and cells.is_total(row[0]))


def _owed(row: Sequence[str], habits: Habits, terms: Terms) -> int | None:
    """What the row says is on the card, in the link's currency; None when that cannot be read."""
    position, currency = habits.columns.get(Field.BALANCE), habits.columns.get(Field.CURRENCY)
    if position is None or position >= len(row):
        return None
    try:
        if currency is not None and currency < len(row):
            _check_currency(row[currency], terms)
        return _balance(row[position], habits, terms)
    except (CellError, BadCell):
        return None


def _last_chars(row: Sequence[str], habits: Habits) -> str:
    """The end of a number that can be read, to find the row by."""
    position = habits.columns.get(Field.NUMBER)
    try:
        return "" if position is None else cells.number(row[position]).last_chars
    except (CellError, IndexError):
        return ""


def read_pools(records: Iterable[Record], habits: Habits) -> dict[str, bool]:
    """Pools by system name, and whether their cards need a CVV. Raises SheetError for the first bad row."""
    pools: dict[str, bool] = {}
    for line, row, broken in records:
        if broken:
            raise SheetError(broken, line)
        if line <= habits.header_line or is_blank(row):
            continue
        if len(row) != len(habits.header):
            raise SheetError(_ragged(len(row), len(habits.header)), line)
        name = cells.bare(row[habits.columns[Field.POOL]])
        if not name or name in pools:
            words = say("the pool is listed twice") if name else say("the pool has no system name")
            raise SheetError(words, line)
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


class _CardTaker:
    """Takes the rows of one file. Most columns have few different cells, and each of these is read once."""

    def __init__(self, habits: Habits, terms: Terms) -> None:
        self._habits, self._terms = habits, terms
        self._at = habits.columns
        # A column that the file does not have is the empty cell that is put behind each row.
        fields = (
            *(Field.NUMBER, Field.BALANCE, Field.STATUS, Field.ARCHIVED, Field.ENABLED, Field.VALID_TO),
            *(Field.BRAND, Field.STORE, Field.NOTE, Field.LEGACY_NUMBER),
            *(Field.CURRENCY, Field.POOL, Field.CVC),
        )
        self._cells = itemgetter(*(self._at.get(what, len(habits.header)) for what in fields))
        #: Of numbers in which nothing has to be looked for.
        self._length = habits.number_length
        self._has_pool, self._has_cvc = Field.POOL in self._at, Field.CVC in self._at
        self._status = lru_cache(_CELLS_KEPT)(self._read_status)
        self._day = lru_cache(_CELLS_KEPT)(self._read_day)
        self._text = lru_cache(_CELLS_KEPT)(cells.bare)

    def take(self, line: int, row: list[str]) -> FileCard:
        """Raises BadCell for the first cell that is wrong."""
        told = self._cells([*row, ""])
        number, amount, status, archived, enabled, day, brand, store, note, legacy, currency, pool, cvc = told
        plain = len(number) == self._length and number.isascii() and number.isdigit()
        serial = Serial(number) if plain else whole_number(number, self._habits)
        if currency:
            _check_currency(currency, self._terms)
        try:
            balance = _balance(amount, self._habits, self._terms)
        except CellError as error:
            raise BadCell(Field.BALANCE, str(error)) from None
        shown = self._status(status, archived, enabled)
        cvc = cells.bare(cvc) or None
        if self._has_pool or self._has_cvc:
            pool = self._text(pool)
            _check_pool(pool, cvc, self._terms)
        return FileCard(
            line,
            serial,
            balance,
            shown,
            self._day(day),
            self._text(brand) or pool,
            self._text(store),
            cells.bare(note),
            _legacy(legacy) if legacy else None,
            cvc,
        )

    def _read_status(self, text: str, archived: str, enabled: str) -> CardStatus:
        layout, at = self._habits.layout, self._at
        status = _of(Field.STATUS, lambda: cells.status(text, layout.statuses, layout.status_default))
        if Field.ARCHIVED in at and _of(Field.ARCHIVED, lambda: cells.flag(archived, default=False)):
            # An archived card keeps its balance and is hidden (lightspeed.md A2): nobody can spend it.
            status = CardStatus.CLOSED
        if Field.ENABLED in at and not _of(Field.ENABLED, lambda: cells.flag(enabled, default=True)):
            status = max(status, CardStatus.SUSPENDED, key=lambda one: one.restriction)
        return status

    def _read_day(self, text: str) -> date | None:
        return _of(Field.VALID_TO, lambda: _day(text, self._habits, self._terms))


def _legacy(cell: str) -> Serial | None:
    text = cells.bare(cell)
    return _of(Field.LEGACY_NUMBER, lambda: cells.number(text)) if text else None


def whole_number(cell: str, habits: Habits) -> Serial:
    """The card number in a cell, or BadCell: also for one that is a little shorter than all others."""
    try:
        serial = cells.number(cell)
    except CellError as error:
        raise BadCell(Field.NUMBER, str(error)) from None
    digits, whole = serial.reveal(), habits.number_length
    if whole is not None and digits.isdigit() and whole - _ZEROS_LOST_MAX <= len(digits) < whole:
        raise BadCell(
            Field.NUMBER,
            f"the number has {len(digits)} digits, the others {whole}: a spreadsheet drops leading zeros; "
            "format that column as text and export again (or say --mixed-lengths if it is printed so)",
        )
    return serial


def _day(cell: str, habits: Habits, terms: Terms) -> date | None:
    return cells.day(cell, terms.zone, habits.day_first, habits.date_form)


def _take_online(line: int, row: list[str], habits: Habits, terms: Terms) -> OnlineCard:
    def cell(what: Field) -> str:
        position = habits.columns.get(what)
        return "" if position is None else cells.bare(row[position])

    for what in (Field.ID, Field.LAST_CHARS):
        reason = cells.spoiled(cell(what))
        if reason is not None:
            raise BadCell(what, reason)
    native = cell(Field.ID).rsplit("/", 1)[-1]
    if not native.isascii() or not native.isdigit():
        raise BadCell(Field.ID, "the id is not the number of a gift card of the shop")
    last = cell(Field.LAST_CHARS).lower()[-4:]
    if len(last) < 4 or not last.isascii() or not last.isalnum():
        words = "the last four characters of the code are missing"
        if last.isdigit():
            words = (
                "fewer than four characters: a spreadsheet drops leading zeros; format that column as text "
                "and export again"
            )
        raise BadCell(Field.LAST_CHARS, words)
    _check_currency(cell(Field.CURRENCY), terms)
    return OnlineCard(
        line,
        int(native),
        last,
        _of(Field.BALANCE, lambda: _balance(cell(Field.BALANCE), habits, terms)),
        _of(Field.ENABLED, lambda: cells.flag(cell(Field.ENABLED), default=True)),
        _of(Field.VALID_TO, lambda: _day(cell(Field.VALID_TO), habits, terms)),
        cell(Field.ORDER),
        cell(Field.NOTE),
    )


def _of(what: Field, read: Callable[[], T]) -> T:
    try:
        return read()
    except CellError as error:
        raise BadCell(what, str(error)) from None


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
        raise BadCell(
            Field.CURRENCY, f"the card is not in {terms.currency}, the link's currency; nothing is converted"
        )


def _check_pool(pool: str, cvc: str | None, terms: Terms) -> None:
    if terms.pools is None or not pool:
        return
    needs_cvc = terms.pools.get(pool)
    if needs_cvc is None:
        raise BadCell(Field.POOL, "the pool is not in the file of pools")
    if needs_cvc and cvc is None:
        raise BadCell(Field.CVC, "the pool needs a CVV (IsCvvRequired), and the row has none")
