"""`giftsync backup` and `giftsync recover`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from cli.build import build_worker, generation_file, now, open_ledger
from cli.dry_run import doubt_of, dry_run
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural, rows, table
from cli.session import check_sides, load_settings, opened_sides, opened_worker, report_closed
from cli.signals import stop_on_signals
from config.settings import Settings
from mappings.money import MoneyError, format_money, minor_from_decimal
from mappings.serials import mask
from sync.decisions.resolutions import Action
from sync.ledger.cards.undecided import count_behind, count_read_back
from sync.ledger.database.backup import back_up
from sync.ledger.database.engine import only_worker
from sync.ledger.database.generation import Generation
from sync.support import recovery, settle
from sync.support.audit import audit as begin_audit
from sync.support.recovery import Undecided
from sync.support.settle import Resolved

SHOWN_MAX = 50
ASKED_FOR = "`giftsync recover --all` was asked for"


class BackupAnswer(TypedDict):
    """A copy of the ledger."""

    file: str
    bytes: int


class RecoverAnswer(TypedDict):
    """What was read back after a restore."""

    #: Why the ledger may not be the newest; null: it is, as far as is known.
    why: str | None
    #: Effects of giftsync's own that were read back from the sides.
    read_back: int
    #: Cards whose books are still to be read.
    behind: int
    #: Cards that wait for a person.
    undecided: list[Undecided]
    #: What the audit with every side found.
    audit: list[str]


class CardRecoveredAnswer(TypedDict):
    """A card whose history was lost, settled by a person."""

    card_id: int
    settled: Resolved
    #: True: nothing was changed.
    preview: bool


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; it is made with mode 0600.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Copy the ledger into a file as it is at one moment, while a worker goes on. The key is not in it."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        size = back_up(ledger.engine, file, now())
    output.say(f"The ledger is in {file} ({size:,} bytes). Keep the key file, too, and apart from it.")
    output.emit("backup", BackupAnswer(file=str(file), bytes=size))
    return ExitCode.IN_STEP


def recover(
    preview: Annotated[bool, typer.Option("--preview", help="Say what would follow; do nothing.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Even if the ledger seems to be the newest one.")
    ] = False,
    card: Annotated[int | None, typer.Option(help="Settle this card, whose history was lost.")] = None,
    accept: Annotated[
        str | None, typer.Option(metavar="SIDE", help="With --card: this side's balance is right.")
    ] = None,
    value: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="With --card: it is worth this, as 250.00.")
    ] = None,
    why: Annotated[str, typer.Option(help="With --card: why; it is kept with the movement.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """After a restore: read back what giftsync did since, bring every card in step, and prove it.

    A pass of `sync` or `run` does the same by itself; here every card is looked at, what is left is listed,
    and an audit with every side ends it.
    """
    output = Output(as_json)
    settings = load_settings(config)
    if card is not None:
        return _settle(settings, card, accept, value, why, output, preview=preview)
    if preview:
        with stop_on_signals(output.note) as stop:
            doubt = doubt_of(settings) or (ASKED_FOR if everything else None)
            output.say(f"Why: {doubt}." if doubt else "The ledger is the newest one, as far as is known.")
            return dry_run(settings, output, stop, doubt=doubt)
    with stop_on_signals(output.note) as stop, opened_worker(settings, stop) as (worker, ledger):
        with only_worker(ledger.engine):
            doubt = Generation(ledger.engine, generation_file(settings, ledger.engine)).doubt()
            check_sides(worker)
            before = count_read_back(ledger.engine)
            if everything and doubt is None:
                worker.read_books_again(ASKED_FOR)
            report = worker.sync_once(stop=stop)
            if not stop.is_set() and not worker.is_stopped() and worker.work_on_behind():
                report = worker.sync_once(sweep=False, stop=stop)
            read_back = count_read_back(ledger.engine) - before
        left = recovery.undecided(worker.link, SHOWN_MAX)
        behind = count_behind(ledger.engine)
        proof = begin_audit(ledger.engine, ledger.vault, now, worker.link.sides)
        wrong = [finding.summary for finding in proof]
    output.say(f"Why: {doubt}." if doubt else "The ledger is the newest one, as far as is known.")
    output.say(f"Changes of giftsync's own that were read back from the sides: {read_back}.")
    _show(left, output)
    for words in [*report.errors, *wrong[:SHOWN_MAX]]:
        output.note(f"error: {words}")
    if not wrong:
        output.say(f"The audit with every side is clean: {plural(proof.cards, 'card')}.")
    failed = bool(report.errors or report.unfinished or proof.exit_code)
    code = ExitCode.FAILED if failed else ExitCode.CONFLICTS if left else ExitCode.IN_STEP
    result = RecoverAnswer(why=doubt, read_back=read_back, behind=behind, undecided=left, audit=wrong)
    output.emit("recover", result, code)
    return code


def _show(left: list[Undecided], output: Output) -> None:
    if not left:
        output.say("No card is left to decide.")
        return
    made = table("Id", "Card", "The ledger knew", "Side", "Shows", "giftsync did", "The rest", right=["Id"])
    output.show(
        rows(
            made,
            (
                (
                    one.card_id,
                    mask(one.last_chars),
                    format_money(one.balance_minor, one.currency),
                    side,
                    format_money(found.shows_minor, one.currency),
                    format_money(found.ours_minor, one.currency),
                    format_money(found.theirs_minor, one.currency),
                )
                for one in left
                for side, found in one.sides.items()
            ),
        )
    )
    output.say("The books do not say what these cards are worth. For each: giftsync recover --card ID")
    output.say('  --accept SIDE | --value AMOUNT, and --why "...".')


def _settle(
    settings: Settings,
    card_id: int,
    accept: str | None,
    value: str | None,
    why: str,
    output: Output,
    *,
    preview: bool,
) -> int:
    names = list(settings.sides.by_name())
    if (accept is None) == (value is None) or (accept is not None and accept not in names):
        ways = ", ".join(f"--accept {name}" for name in names)
        raise OperatorError("say what the card is worth", f"Add {ways} or --value AMOUNT.")
    if not why and not preview:
        raise OperatorError("say why; it is kept with the movement", 'Add --why "...".')
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        link = build_worker(settings, ledger, sides, report_closed).link
        try:
            minor = None if value is None else minor_from_decimal(value, link.currency)
        except MoneyError as error:
            raise OperatorError(f"--value {value}: {error}", "Write it as 250.00.") from None
        action = Action.ACCEPT if accept is not None else Action.VALUE
        said = settle.Resolution(action, getpass.getuser(), why, accept, minor)
        try:
            settled = recovery.settle(link, card_id, said, preview=preview)
        except settle.NotResolved as error:
            raise OperatorError(str(error), "", ExitCode.FAILED) from None
    worth = format_money(settled.after_minor or 0, link.currency)
    for intent in settled.planned:
        amount = format_money(intent.amount_minor, link.currency)
        output.say(f"{intent.kind.replace('_', ' ')} {amount} on {intent.side} follows.")
    output.say(f"Card {card_id} {'would be' if preview else 'is'} worth {worth}.")
    output.emit("recover card", CardRecoveredAnswer(card_id=card_id, settled=settled, preview=preview))
    return ExitCode.IN_STEP
