"""`giftsync liability`, `settlement` and `books …`: what is owed at any time, and the rows behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Annotated, Generic, TypedDict, TypeVar

import typer

from cli.books import export, opened_books, period_of, say_closed, show_reconciled, show_statement
from cli.build import now, open_sides
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural, rows, table, when
from cli.reader import reader_of_settings
from cli.session import load_settings
from mappings.money import decimal_from_minor, format_money
from mappings.serials import mask
from sync.books.entries import Entry, Facts, Line
from sync.books.render.csv_files import harmless, write_csv
from sync.books.settlement import Pair, StoreStatement
from sync.books.statement import MatrixCell, as_document, label
from sync.ledger.books import CardBalance
from sync.ledger.database.private_files import write_private
from sync.support import bookkeeping
from sync.support.reconciliation import Reconciled, reconcile

T = TypeVar("T")

LIMIT = 50
_ENTRY_HEADER = (
    *("card", "ends_in", "line", "amount", "currency", "place", "booked", "happened"),
    *("movement", "receipt", "brand", "channel"),
)
_CARD_HEADER = (
    *("card", "ends_in", "currency", "opening", "closing", "brand", "channel", "status"),
    *("issued", "last_used"),
)
#: Titles of columns that stand to the right.
_NUMBERS = ("Card", "Amount", "Opening", "Closing")

app = typer.Typer(help="The rows behind what is owed: entries and cards.", no_args_is_help=True)

MonthOption = Annotated[
    str | None,
    typer.Option(
        "--month", metavar="YYYY-MM", help="A calendar month; left out, this one.", show_default=False
    ),
]
FromOption = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], metavar="DAY", help="The first day.", show_default=False),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", formats=["%Y-%m-%d"], metavar="DAY", help="The last day.", show_default=False),
]
AtOption = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        formats=["%Y-%m-%d"],
        metavar="DAY",
        help="As it stood at the end of this day.",
        show_default=False,
    ),
]
CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FOLDER", help="Write every table there, as CSV.", show_default=False),
]
XlsxOption = Annotated[
    Path | None, typer.Option("--xlsx", metavar="FILE", help="Write a spreadsheet.", show_default=False)
]
PdfOption = Annotated[
    Path | None, typer.Option("--pdf", metavar="FILE", help="Write pages to print.", show_default=False)
]
RowsOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write all of them, as CSV.", show_default=False)
]
LimitOption = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many on the terminal.")]
PersonalOption = Annotated[
    bool, typer.Option("--personal", help="With the buyer's name and the order: personal data.")
]


def liability(
    month: MonthOption = None,
    first: FromOption = None,
    last: UntilOption = None,
    at: AtOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also read every card on every side, and list what differs.")
    ] = False,
    csv_to: CsvOption = None,
    xlsx_to: XlsxOption = None,
    pdf_to: PdfOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say what is owed to the holders of gift cards, and how it came about, for any period.

    Exit code 2 when --live finds a difference or a side cannot be read.
    """
    output = Output(as_json)
    settings = load_settings(config)
    compared: list[Reconciled] = []
    with opened_books(settings) as (keeper, ledger):
        statement = bookkeeping.draft(keeper, period_of(month, first, last, at, settings))
        closed = [one.statement for one in bookkeeping.closed_months(keeper)]
        if live:
            sides = open_sides(settings)
            try:
                compared = reconcile(ledger.engine, ledger.vault, now, sides)
            finally:
                for side in sides.values():
                    side.close()
    written = export(statement, csv_to, xlsx_to, pdf_to, reader_of_settings(settings))
    show_statement(statement, output)
    for one in closed:
        if one.period == statement.period:
            say_closed(one, statement, output)
    if live:
        show_reconciled(compared, statement, output)
    for path in written:
        output.note(f"Written: {path}")
    differ = any(one.differences or one.unread for one in compared)
    code = ExitCode.FAILED if differ else ExitCode.IN_STEP
    sides_json = [_reconciled_json(one) for one in compared] if live else None
    output.emit("liability", LiabilityAnswer(statement=as_document(statement), sides=sides_json), code)
    return int(code)


class DifferenceAnswer(TypedDict):
    """A card of which a side shows something else. Amounts are decimal strings."""

    card_id: int
    owed: str | None
    shown: str | None
    why: str


class ReconciledAnswer(TypedDict):
    """What a side shows beside what is owed. Amounts are decimal strings."""

    side: str
    currency: str
    owed: str | None
    shown: str | None
    #: Cards that could not be read.
    unread: int
    differences: list[DifferenceAnswer]


class LiabilityAnswer(TypedDict):
    """What is owed to the holders of gift cards, and how it came about."""

    #: The document that `giftsync close` signs for a whole month.
    statement: Mapping[str, object]
    #: Null: the sides were not read.
    sides: list[ReconciledAnswer] | None


class SettledCurrencyAnswer(TypedDict):
    """One currency's part of a settlement. Amounts in minor units."""

    currency: str
    #: One net line for each pair of stores.
    pairs: tuple[Pair, ...]
    places: tuple[StoreStatement, ...]
    #: What was redeemed where of what was sold where.
    matrix: tuple[MatrixCell, ...]


class SettlementAnswer(TypedDict):
    """Which store owes which."""

    period: str
    currencies: list[SettledCurrencyAnswer]


class EntryAnswer(TypedDict):
    """One amount of the books."""

    card_id: int
    ends_in: str
    #: 0: the end of the card's last day, which is no movement.
    movement_id: int
    line: Line
    #: A decimal string, signed.
    amount: str
    currency: str
    place: str
    booked_at: datetime
    #: Null: no side said when.
    happened_at: datetime | None
    receipt: str
    #: With `--personal`, else null.
    order: str | None
    buyer: str | None


class EntriesAnswer(TypedDict):
    """The entries of a period."""

    entries: list[EntryAnswer]
    more: bool


class BalancesAnswer(TypedDict):
    """The cards behind an opening and a closing balance."""

    cards: list[CardBalance]
    more: bool


class RowsAnswer(TypedDict):
    """A file of rows that was written."""

    file: Path
    rows: int


def settlement(
    month: MonthOption = None,
    first: FromOption = None,
    last: UntilOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which store owes which for cards sold in one and redeemed in another."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_books(settings) as (keeper, _):
        statement = bookkeeping.draft(keeper, period_of(month, first, last, None, settings))
    show_statement(statement, output, ("settlement", "stores", "redeemed"))
    output.emit(
        "settlement",
        SettlementAnswer(
            period=statement.period,
            currencies=[
                SettledCurrencyAnswer(currency=p.currency, pairs=p.pairs, places=p.places, matrix=p.matrix)
                for p in statement.currencies
            ],
        ),
    )


@app.command("entries")
def list_entries(
    month: MonthOption = None,
    first: FromOption = None,
    last: UntilOption = None,
    line: Annotated[Line | None, typer.Option(help="Of one line only.", show_default=False)] = None,
    brand: Annotated[str | None, typer.Option(help="Of one brand only.", show_default=False)] = None,
    channel: Annotated[
        str | None, typer.Option(help="Of cards met on this side.", show_default=False)
    ] = None,
    card: Annotated[int | None, typer.Option(help="Of one card only, by its id.", show_default=False)] = None,
    csv_to: RowsOption = None,
    personal: PersonalOption = False,
    limit: LimitOption = LIMIT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries of a period: every amount with its card, movement, place and receipt."""
    output = Output(as_json)
    settings = load_settings(config)
    zone = settings.link.zone
    with opened_books(settings) as (keeper, _):
        found = (
            (facts, entry)
            for facts, entry in bookkeeping.entries(keeper, period_of(month, first, last, None, settings))
            if (line is None or entry.line is line)
            and (brand is None or facts.brand == brand)
            and (channel is None or facts.channel == channel)
            and (card is None or facts.id == card)
        )
        names = bookkeeping.holders(keeper) if personal else {}
        shown = _shown(
            found,
            _Columns(
                [*_ENTRY_HEADER, *(["order", "buyer"] if personal else [])],
                lambda one: _entry_row(*one, names, personal=personal),
                ("Card", "Ends in", "Booked", "Line", "Amount", "Place", "Receipt"),
                lambda one: _entry_cells(*one, zone),
                "No entries.",
            ),
            csv_to,
            limit,
            output,
        )
    if shown is None:
        return
    page, more = shown
    output.emit(
        "books entries",
        EntriesAnswer(entries=[_entry_json(f, e, names, personal=personal) for f, e in page], more=more),
    )


@app.command("cards")
def list_cards(
    month: MonthOption = None,
    first: FromOption = None,
    last: UntilOption = None,
    at: AtOption = None,
    csv_to: RowsOption = None,
    personal: PersonalOption = False,
    limit: LimitOption = LIMIT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cards behind the opening and the closing balance, each with its own."""
    output = Output(as_json)
    settings = load_settings(config)
    zone = settings.link.zone
    with opened_books(settings) as (keeper, _):
        found = bookkeeping.balances(keeper, period_of(month, first, last, at, settings))
        names = bookkeeping.holders(keeper) if personal else {}
        shown = _shown(
            found,
            _Columns(
                [*_CARD_HEADER, *(["buyer"] if personal else [])],
                lambda one: _card_row(one, names, personal=personal),
                ("Card", "Ends in", "Opening", "Closing", "Issued", "Last used"),
                lambda one: _card_cells(one, zone),
                "No cards.",
            ),
            csv_to,
            limit,
            output,
        )
    if shown is None:
        return
    page, more = shown
    masked = [replace(one, last_chars=mask(one.last_chars)) for one in page]
    output.emit("books cards", BalancesAnswer(cards=masked, more=more))


@dataclass(frozen=True)
class _Columns(Generic[T]):
    """What a file and the terminal have of a row of the books."""

    header: list[str]
    in_file: Callable[[T], list[str]]
    titles: tuple[str, ...]
    on_terminal: Callable[[T], Sequence[object]]
    none: str


def _shown(
    found: Iterator[T], columns: _Columns[T], csv_to: Path | None, limit: int, output: Output
) -> tuple[list[T], bool] | None:
    """Write all rows as CSV, or show the first of them: these, and whether there are more; None: written."""
    if csv_to is not None:
        _write_rows(csv_to, columns.header, map(columns.in_file, found), output)
        return None
    page = list(islice(found, limit))
    more = next(found, None) is not None
    made = table(*columns.titles, right=[one for one in columns.titles if one in _NUMBERS])
    rows(made, map(columns.on_terminal, page))
    output.show(made) if page else output.say(columns.none)
    if more:
        output.say("There are more: raise --limit, or write all of them with --csv.")
    return page, more


def _entry_cells(facts: Facts, entry: Entry, zone: tzinfo) -> Sequence[object]:
    amount = format_money(entry.amount_minor, facts.currency)
    where = (label(entry.line), amount, entry.place.label, entry.receipt)
    return facts.id, mask(facts.last_chars), when(entry.booked_at, zone), *where


def _card_cells(one: CardBalance, zone: tzinfo) -> Sequence[object]:
    money = [format_money(n, one.currency) for n in (one.opening_minor, one.closing_minor)]
    return one.card_id, mask(one.last_chars), *money, when(one.issued_at, zone), when(one.used_at, zone)


def _entry_row(facts: Facts, e: Entry, names: dict[int, str], *, personal: bool) -> list[str]:
    happened = "" if e.happened_at is None else e.happened_at.isoformat()
    told = [str(facts.id), mask(facts.last_chars), e.line.value]
    told += [decimal_from_minor(e.amount_minor, facts.currency), facts.currency, harmless(e.place.label)]
    told += [e.booked_at.isoformat(), happened, str(e.movement_id or ""), harmless(e.receipt)]
    told += [harmless(facts.brand), facts.channel]
    return [*told, harmless(e.order), harmless(names.get(facts.id, ""))] if personal else told


def _entry_json(facts: Facts, e: Entry, names: dict[int, str], *, personal: bool) -> EntryAnswer:
    return EntryAnswer(
        card_id=facts.id,
        ends_in=mask(facts.last_chars),
        movement_id=e.movement_id,
        line=e.line,
        amount=decimal_from_minor(e.amount_minor, facts.currency),
        currency=facts.currency,
        place=e.place.label,
        booked_at=e.booked_at,
        happened_at=e.happened_at,
        receipt=e.receipt,
        order=e.order if personal else None,
        buyer=names.get(facts.id, "") if personal else None,
    )


def _card_row(one: CardBalance, names: dict[int, str], *, personal: bool) -> list[str]:
    told = [str(one.card_id), mask(one.last_chars), one.currency]
    told += [decimal_from_minor(n, one.currency) for n in (one.opening_minor, one.closing_minor)]
    told += [harmless(one.brand), one.channel, one.status, one.issued_at.isoformat(), one.used_at.isoformat()]
    return [*told, harmless(names.get(one.card_id, ""))] if personal else told


def _write_rows(path: Path, header: list[str], content: Iterator[list[str]], output: Output) -> None:
    count = 0

    def counted() -> Iterator[list[str]]:
        nonlocal count
        for row in content:
            count += 1
            yield row

    try:
        write_private(path, write_csv(header, counted()))
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}") from None
    output.say(f"{plural(count, 'row')} written to {path}.")
    output.emit("books rows", RowsAnswer(file=path, rows=count))


def _reconciled_json(one: Reconciled) -> ReconciledAnswer:
    def money(minor: int | None) -> str | None:
        return None if minor is None else decimal_from_minor(minor, one.currency)

    return ReconciledAnswer(
        side=one.side,
        currency=one.currency,
        owed=money(one.hub_minor),
        shown=money(one.shown_minor),
        unread=one.unread,
        differences=[
            DifferenceAnswer(
                card_id=d.card_id, owed=money(d.hub_minor), shown=money(d.shown_minor), why=d.why
            )
            for d in one.differences
        ],
    )
