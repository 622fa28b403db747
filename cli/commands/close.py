"""`giftsync close 2026-11`, and what is told of closed months."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer
from typer.core import TyperGroup

from cli.books import export, opened_books, show_statement
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural, rows, table, when
from cli.reader import reader_of_settings
from cli.session import load_settings
from mappings.readers import Reader
from sync.books import periods
from sync.books.render.tables import headline
from sync.books.seal import Sealed, fingerprint
from sync.books.statement import as_document
from sync.ledger.database.private_files import make_private_folder, write_private
from sync.support import bookkeeping
from sync.support.bookkeeping import Verified

FILE_BYTES_MAX = 64_000_000


class _MonthFirst(TyperGroup):
    """`giftsync close 2026-11` is `giftsync close month 2026-11`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and re.match(r"\d", args[0]):
            args = ["month", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_MonthFirst, help="Close a month for good, and prove a closed one.", no_args_is_help=True
)


@app.command("month")
def close_month(
    month: Annotated[
        str, typer.Argument(metavar="YYYY-MM", help="The month; `month` may be left out before it.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files go.")] = Path(),
    csv: Annotated[bool, typer.Option("--csv", help="Every table as CSV, too.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a month: number and sign its statement, keep it, and write it with a PDF and a spreadsheet.

    Run again it writes the same bytes. What comes later is booked in the next month, as a dated correction.
    """
    output = Output(as_json)
    settings = load_settings(config)
    with opened_books(settings) as (keeper, _):
        sealed = bookkeeping.close(keeper, month)
        unread = bookkeeping.unread_sides(keeper, periods.month(month, settings.link.zone))
        unproved = bookkeeping.unproved_changes(keeper)
    written = _write(sealed, to, reader_of_settings(settings), csv=csv)
    show_statement(sealed.statement, output, ("rollforward", "settlement", "late"))
    output.say("")
    for path in written:
        output.say(f"Written: {path}")
    output.say(f"Signed with the key {fingerprint(sealed.public_key)}; SHA-256 {sealed.sha256}.")
    for side in unread:
        output.note(
            f"{side} was not read to the end of {month} yet; what happened there comes as late news in the "
            "next statement."
        )
    for card_id in unproved:
        output.note(
            f"A change of the expiry date of card {card_id} has no proof: a worker of an older release wrote "
            f"it during the upgrade, or somebody else. `giftsync cards show {card_id}` has its story."
        )
    answer = ClosedAnswer(**_told(sealed), files=written, unread_sides=list(unread), unproved_cards=unproved)
    output.emit("close", answer)


class SealedAnswer(TypedDict):
    """A month that is closed."""

    statement: Mapping[str, object]
    sha256: str
    public_key: str


class ClosedAnswer(SealedAnswer):
    """A month that is closed, and its files."""

    files: list[Path]
    #: Sides that were not read to its end yet: what happened there comes as late news.
    unread_sides: list[str]
    #: Cards with a change of their expiry date that giftsync has not proved.
    unproved_cards: list[int]


class ClosedMonthsAnswer(TypedDict):
    """The months that are closed."""

    closed: list[SealedAnswer]


class VerifiedAnswer(TypedDict):
    """What was found out about a statement's file."""

    file: Path
    number: int | None
    period: str | None
    public_key: str
    #: What was looked at, in words.
    checked: tuple[str, ...]
    #: Nothing: it holds.
    wrong: tuple[str, ...]


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A statement, as `giftsync close` wrote it.")],
    alone: Annotated[
        bool, typer.Option("--alone", help="Check signature and sums only, without a ledger.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the audit of every card's chain.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check a statement against its signature, its own sums and the ledger, and say what is wrong.

    Exit code 0 when it holds, 2 when it does not.
    """
    output = Output(as_json)
    data = _read(file)
    if alone:
        found = bookkeeping.verify(data, None)
    else:
        with opened_books(load_settings(config)) as (keeper, _):
            found = bookkeeping.verify(data, keeper, audits=not quick)
    for words in found.wrong:
        output.say(words)
    _say_verdict(file, found, output, alone=alone)
    code = ExitCode.FAILED if found.wrong else ExitCode.IN_STEP
    statement = found.statement
    output.emit(
        "close verify",
        VerifiedAnswer(
            file=file,
            number=None if statement is None else statement.number,
            period=None if statement is None else statement.period,
            public_key=found.public_key,
            checked=found.checked,
            wrong=found.wrong,
        ),
        code,
    )
    return int(code)


@app.command("list")
def list_closed(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the months that are closed."""
    output = Output(as_json)
    settings = load_settings(config)
    with opened_books(settings) as (keeper, _):
        done = bookkeeping.closed_months(keeper)
    made = table("Statement", "Month", "Closed", "Says", right=["Statement"])
    for sealed in done:
        one = sealed.statement
        closed = when(one.made_at, settings.link.zone)
        rows(made, [(one.number, one.period, closed, " ".join(headline(one)))])
    if done:
        output.show(made)
    else:
        output.say("No month is closed yet: `giftsync close YYYY-MM` closes one.")
    output.emit("close list", ClosedMonthsAnswer(closed=[_told(sealed) for sealed in done]))


def _say_verdict(file: Path, found: Verified, output: Output, *, alone: bool) -> None:
    if found.wrong:
        output.say(f"{file} does not hold: {plural(len(found.wrong), 'thing')} wrong.")
        return
    statement = found.statement
    number = "" if statement is None else f"statement {statement.number} of {statement.period}"
    output.say(f"{file} holds: {number}. Checked: {', '.join(found.checked)}.")
    if alone:
        output.say(f"It was signed with the key {found.public_key}: compare this with the one you were told.")


def _told(sealed: Sealed) -> SealedAnswer:
    return SealedAnswer(
        statement=as_document(sealed.statement),
        sha256=sealed.sha256,
        public_key=fingerprint(sealed.public_key),
    )


def _write(sealed: Sealed, to: Path, reader: Reader, *, csv: bool) -> list[Path]:
    """The statement first: it is the evidence, the others are made from it."""
    statement = sealed.statement
    path = to / f"{sealed.stem}.json"
    data = sealed.to_file()
    try:
        if not to.is_dir():
            make_private_folder(to)
        if path.exists() and path.read_bytes() != data:
            raise OperatorError(
                f"{path} is there already and is another one",
                f"`giftsync close verify {path}` says what is wrong with it. Move it away, then run again.",
            )
        write_private(path, data)
    except OSError as error:
        raise OperatorError(
            f"{path} cannot be written: {error.strerror}",
            f"{statement.period} is closed; run this again with another --to to have its files.",
        ) from None
    tables = to / f"{sealed.stem}-csv" if csv else None
    xlsx, pdf = to / f"{sealed.stem}.xlsx", to / f"{sealed.stem}.pdf"
    return [path, *export(statement, tables, xlsx, pdf, reader, sealed.words)]


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise OperatorError(f"{file} is too large to be a statement")
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}") from None
