"""The books for people: periods as they ask for them, tables on the terminal, files on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from rich.table import Table as RichTable

from cli.build import Ledger, now, open_ledger
from cli.errors import OperatorError
from cli.output import ExitCode, Output, rows, table
from config.settings import Settings
from mappings.money import format_money
from mappings.readers import Reader
from sync.books import periods
from sync.books.journal import Accounts
from sync.books.lots import Bearer, Rules
from sync.books.periods import Period, PeriodError
from sync.books.render.csv_files import csv_of
from sync.books.render.pages import pdf_of
from sync.books.render.tables import Table, headline, shown, tables_of, title
from sync.books.render.workbook import workbook_of
from sync.books.rollforward import BooksBroken
from sync.books.statement import END_DEBT, Statement
from sync.ledger.database.private_files import make_private_folder, write_private
from sync.support.bookkeeping import AccountsUnknown, Bookkeeper, BookSettings, NotClosed
from sync.support.reconciliation import Reconciled

DIFFERENCES_SHOWN_MAX = 1_000


@contextmanager
def opened_books(settings: Settings) -> Iterator[tuple[Bookkeeper, Ledger]]:
    """The books of a ledger that is there. What they refuse becomes a sentence with its remedy."""
    try:
        with open_ledger(settings, create=False) as ledger:
            yield bookkeeper_of(settings, ledger), ledger
    except PeriodError as error:
        raise OperatorError(str(error), "A month is written as 2026-11, a day as 2026-11-30.") from None
    except (NotClosed, AccountsUnknown) as error:
        raise OperatorError(str(error), error.remedy) from None
    except BooksBroken as error:
        words = "Nothing was written. `giftsync audit` names every row that is not as giftsync wrote it."
        raise OperatorError(f"the ledger contradicts itself: {error}", words, ExitCode.FAILED) from None


def check_accounts(settings: Settings) -> str:
    """Say how the accounts compare with the standard ones. Raises OperatorError."""
    try:
        known = book_settings(settings).check_accounts()
    except AccountsUnknown as error:
        raise OperatorError(str(error), error.remedy) from None
    if known is None:
        return "Not compared with any list; `standard_accounts` in [books] names one."
    return f"All are standard accounts, of {known} in {settings.books.standard_accounts}."


def book_settings(settings: Settings) -> BookSettings:
    """What the settings say about the books."""
    section = settings.books
    standard = section.standard_accounts
    return BookSettings(
        Accounts(**section.accounts.model_dump()),
        Rules(Bearer(section.write_offs_borne_by), Bearer(section.discounts_borne_by)),
        section.vat,
        section.breakage_months,
        section.expired_cards == "end_debt",
        None if standard is None else Path(standard),
    )


def bookkeeper_of(settings: Settings, ledger: Ledger) -> Bookkeeper:
    """The books as the settings want them."""
    return Bookkeeper(ledger.engine, ledger.vault, settings.link.zone, book_settings(settings), now)


def period_of(
    month: str | None, first: datetime | None, last: datetime | None, at: datetime | None, settings: Settings
) -> Period:
    """The period that was asked for; left out, this month up to now.

    `at` is a day: the period from the beginning of its month to its end.
    """
    zone = settings.link.zone
    given = [one for one in (month, first or last, at) if one is not None]
    if len(given) > 1:
        raise OperatorError("name a month, two days or one day, not several of them")
    if month is not None:
        return periods.month(month, zone)
    today = now().astimezone(zone).date()
    if at is not None:
        day = at.date()
        return periods.days(day.replace(day=1), day, zone)
    if first is None and last is None:
        return periods.month(periods.month_of(now(), zone), zone)
    until: date = last.date() if last is not None else today
    return periods.days(first.date() if first is not None else until.replace(day=1), until, zone)


def show_statement(statement: Statement, output: Output, names: Iterable[str] = ()) -> None:
    """Its first line is what is owed; then the tables, or those whose name begins so."""
    wanted = tuple(names)
    output.say(f"{title(statement)}.")
    for sentence in headline(statement):
        output.say(sentence)
    for one in tables_of(statement, narrow=True):
        if one.rows and (not wanted or one.name.startswith(wanted)):
            output.show(terminal_table(one))
        elif not wanted or one.name.startswith(wanted):
            output.say("")
        if one.note and (not wanted or one.name.startswith(wanted)):
            output.paragraph(one.note)


def say_closed(closed: Statement, drafted: Statement, output: Output) -> None:
    """Say what the signed statement of the month says, which stays as it is."""
    said = " ".join(headline(closed))
    totals, now_ = ({part.currency: part.total for part in one.currencies} for one in (closed, drafted))
    later = " This draft has what came later, too, which the next statement books as late news."
    output.paragraph(
        f"{closed.period} is closed. Statement {closed.number} says: {said}{later if totals != now_ else ''}"
    )


def terminal_table(one: Table) -> RichTable:
    right = [column.title for column in one.columns if column.kind.is_number]
    made = table(*(column.title for column in one.columns), title=one.title, right=right)
    last = len(one.rows) - 1
    for n, row in enumerate(one.rows):
        if one.sums_down and n == last and n:
            made.add_section()
        rows(made, [[shown(one, k, cell) for k, cell in enumerate(row)]])
    return made


def export(
    statement: Statement,
    csv_to: Path | None,
    xlsx_to: Path | None,
    pdf_to: Path | None,
    reader: Reader,
    signed: str = "",
) -> list[Path]:
    """Write what was asked for; each file whole or not at all. Raises OperatorError."""
    written: list[Path] = []
    try:
        if csv_to is not None:
            make_private_folder(csv_to)
            for one in tables_of(statement, narrow=False):
                written.append(csv_to / f"{statement.period.replace(' ', '-')}-{one.name}.csv")
                write_private(written[-1], csv_of(one))
        if xlsx_to is not None:
            write_private(xlsx_to, workbook_of(statement, signed, reader))
            written.append(xlsx_to)
        if pdf_to is not None:
            write_private(pdf_to, pdf_of(statement, signed, reader))
            written.append(pdf_to)
    except OSError as error:
        raise OperatorError(f"{error.filename} cannot be written: {error.strerror}") from None
    return written


def show_reconciled(found: list[Reconciled], statement: Statement, output: Output) -> None:
    """What each side shows, and every card that makes a difference."""
    made = table(
        "Side",
        "Owed",
        "Shown there",
        "Difference",
        "Cards",
        right=["Owed", "Shown there", "Difference", "Cards"],
    )
    for one in found:
        difference = sum(d.off_minor for d in one.differences)
        amounts = [format_money(n, one.currency) for n in (one.hub_minor, one.shown_minor, difference)]
        rows(made, [(one.side, *amounts, len(one.differences))])
    output.say("")
    output.say("Compared with the sides, now:")
    output.show(made)
    for part in statement.currencies:
        if part.expired_minor and statement.rules.expired_cards == END_DEBT:
            expired = format_money(part.expired_minor, part.currency)
            output.say(f"Of this {expired} have expired: the sides show it, and it is owed no longer.")
    listed = [d for one in found for d in one.differences]
    if listed:
        cards = table("Card", "Side", "Owed", "Shown", "Why", right=["Card", "Owed", "Shown"])
        for d in listed[:DIFFERENCES_SHOWN_MAX]:
            shown = "not known" if d.shown_minor is None else format_money(d.shown_minor, d.currency)
            rows(cards, [(d.card_id, d.side, format_money(d.hub_minor, d.currency), shown, d.why)])
        output.show(cards)
    for one in found:
        if one.unread:
            output.say(f"{one.side} did not tell of {one.unread}: its line proves nothing.")
