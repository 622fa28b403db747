"""What is owed, which store owes which, and the proof that the ledger is as giftsync wrote it."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import NotFound, Page, Visit
from mappings.sentences import Sentence, say
from sync.books import periods
from sync.books.periods import Period, PeriodError
from sync.books.render.csv_files import csv_of
from sync.books.render.pages import pdf_of
from sync.books.render.tables import Cell, Kind, Table, spoken_label, tables_of
from sync.books.render.workbook import workbook_of
from sync.books.rollforward import BooksBroken
from sync.books.seal import Sealed
from sync.books.statement import Statement
from sync.support.bookkeeping import AccountsUnknown, Bookkeeper, closed_months, draft
from sync.support.people import Role

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def _keeper(visit: Visit) -> Bookkeeper:
    if visit.console.books is None:
        raise NotFound
    return visit.console.books


def show(visit: Visit) -> Response:
    """The months, and the last proof. Nothing is counted yet."""
    keeper, this = _keeper(visit), periods.month_of(visit.now, visit.link.timezone)
    try:
        closed = [one.statement for one in closed_months(keeper)]
    except BooksBroken as error:
        return _refused(visit, error)
    return visit.render(
        "reports.html",
        closed=list(reversed(closed)),
        this=this,
        proof=visit.console.proofs.last,
        now=visit.now,
    )


def act(visit: Visit) -> Response:
    """Prove the ledger."""
    visit.console.proofs.begin()
    visit.console.people.record(visit.name, say("had the ledger proved"))
    return visit.go("/reports")


def _month(visit: Visit) -> Period:
    try:
        return periods.month(visit.request.path_params["month"], visit.link.timezone)
    except PeriodError:
        raise NotFound from None


def _statement(visit: Visit, month: Period) -> tuple[Statement, Sealed | None]:
    """As it was closed, with its seal; else a draft as of now."""
    keeper = _keeper(visit)
    closed = next((one for one in closed_months(keeper) if one.statement.period == month.name), None)
    return (draft(keeper, month) if closed is None else closed.statement), closed


def show_month(visit: Visit) -> Response:
    month = _month(visit)
    try:
        statement, _ = _statement(visit, month)
    except (BooksBroken, AccountsUnknown) as error:
        return _refused(visit, error)
    return visit.render(
        "report.html",
        month=month.name,
        statement=statement,
        owed=[
            visit.words.texts(
                "You owe {money} on {count} card.",
                "You owe {money} on {count} cards.",
                part.total.cards,
                money=visit.words.money(part.total.closing_minor, part.currency),
            )
            for part in statement.currencies
        ],
        tables=[one for one in tables_of(statement, narrow=True) if one.rows],
        said=lambda label: _label(visit, label),
        cell=lambda table, n, value: _cell(visit, table, n, value),
    )


def _refused(visit: Visit, error: BooksBroken | AccountsUnknown) -> Response:
    if isinstance(error, AccountsUnknown):
        words = visit.words.text("The accounts in the settings are not right: {what}", what=str(error))
    else:
        words = visit.words.text("The ledger contradicts itself: {what}", what=str(error))
    return visit.render("message.html", 409, headline=words)


def _label(visit: Visit, label: str) -> str:
    """A label in the reader's language; a side in it, as in `kassa, Oslo` or `Gavekort, kassa`, by its name.

    Files keep the sides as they are configured: other programs read them.
    """
    if not isinstance(label, Sentence):
        parts, places = label.split(", "), visit.console.places
        for n in {0, len(parts) - 1}:
            parts[n] = places[parts[n]].name if parts[n] in places else parts[n]
        label = ", ".join(parts)
    return spoken_label(label, visit.reader)


def _cell(visit: Visit, table: Table, column: int, value: Cell) -> str:
    if not isinstance(value, int):
        return _label(visit, value)
    kind = table.columns[column].kind
    if kind is Kind.POSTED and not value:
        return ""
    if kind.is_money:
        return visit.words.money(value, table.currency)
    return str(value) if kind is Kind.ID else visit.words.number(value)


def download(visit: Visit) -> Response:
    """The whole statement, or one of its tables; a closed month's bytes are those of `giftsync close`."""
    month, name = _month(visit), visit.request.path_params["name"]
    try:
        statement, closed = _statement(visit, month)
    except (BooksBroken, AccountsUnknown) as error:
        return _refused(visit, error)
    signed = "" if closed is None else closed.words
    if name == "statement.pdf":
        body, kind = pdf_of(statement, signed, visit.reader), "application/pdf"
    elif name == "statement.xlsx":
        body, kind = workbook_of(statement, signed, visit.reader), _XLSX
    elif name == "statement.json" and closed is not None:
        body, kind = closed.to_file(), "application/json"
    else:
        tables = tables_of(statement, narrow=False)
        table = next((one for one in tables if f"{one.name}.csv" == name), None)
        if table is None:
            raise NotFound
        body, kind = csv_of(table), "text/csv; charset=utf-8"
    file = f"giftsync-{month.name}-{name}"
    if closed is not None and name.startswith("statement."):
        file = f"{closed.stem}.{name.removeprefix('statement.')}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(body, media_type=kind, headers=headers)


PAGES = (
    Page("/reports", show, act, acts=Role.SUPPORT),
    Page("/reports/{month}", show_month),
    Page("/reports/{month}/{name}", download),
)
