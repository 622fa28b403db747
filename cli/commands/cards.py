"""`giftsync cards [list|show]`."""

from __future__ import annotations

import getpass
import sys
from itertools import islice
from typing import Annotated, TypedDict

import typer

from cli.build import build_worker, open_ledger
from cli.commands import issuing
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output
from cli.reading import reading_link
from cli.session import load_settings, opened_sides, report_closed
from cli.show import cards_table
from cli.statement import ends_of, show_hits, show_statement
from mappings.money import format_money
from mappings.serials import Serial, SerialError, mask
from sync.ledger import views
from sync.ledger.incoming.origins import BoughtCard
from sync.model import LinkStopped
from sync.reconcile.brakes import BrakeTripped
from sync.support import assign as assigning
from sync.support import finding
from sync.support.cases import places_of
from sync.support.statement import Event, read_out, statement

LIMIT = 50

app = typer.Typer(help="The cards that the ledger knows.", invoke_without_command=True)

Last4 = Annotated[str | None, typer.Option("--last4", help="Only cards that end in these four characters.")]
OutOfStep = Annotated[bool, typer.Option("--out-of-step", help="Only cards that are not in step.")]
After = Annotated[int, typer.Option(min=0, help="Go on after the card with this id.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]


class CardsAnswer(TypedDict):
    """A page of cards."""

    cards: list[views.CardRow]
    #: Whether there are more: `--after` with the id of the last one.
    more: bool


class AssignedAnswer(TypedDict):
    """A physical card that was given to an online order."""

    assigned: assigning.Assigned


class FoundAnswer(TypedDict):
    """Cards that the words may mean."""

    found: finding.Search


class CardAnswer(TypedDict):
    """A card's statement."""

    card: views.CardRow
    #: What happened to it, oldest first.
    events: tuple[Event, ...]
    #: Sentences that can be read out to a customer.
    read_out: tuple[str, ...]
    movements: list[views.MovementRow]
    intents: list[views.IntentRow]
    conflicts: tuple[views.ConflictRow, ...]


@app.callback()
def cards(
    context: typer.Context,
    config: ConfigOption = None,
    last4: Last4 = None,
    out_of_step: OutOfStep = False,
    after: After = 0,
    limit: Limit = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """The cards that the ledger knows."""
    if context.invoked_subcommand is None:
        list_cards(config, last4, out_of_step, after, limit, as_json)


@app.command("list")
def list_cards(
    config: ConfigOption = None,
    last4: Last4 = None,
    out_of_step: OutOfStep = False,
    after: After = 0,
    limit: Limit = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List cards by id. Serials are never shown, only their last four characters."""
    if last4 is not None and len(last4) != 4:
        raise OperatorError("--last4 takes the last four characters of a card", "For example: --last4 4711.")
    output = Output(as_json)
    with open_ledger(load_settings(config), create=False) as ledger:
        found = views.list_cards(ledger.engine, last_chars=last4, out_of_step=out_of_step, after_id=after)
        page = list(islice(found, limit))
        more = next(found, None) is not None
    if page:
        output.show(cards_table(page))
    else:
        output.say("No such cards." if last4 or out_of_step or after else "The ledger has no cards yet.")
    if more:
        output.say(f"There are more: --after {page[-1].id}, or a larger --limit.")
    output.emit("cards list", CardsAnswer(cards=page, more=more))


app.command("issue")(issuing.issue)
app.command("print")(issuing.print_card)


@app.command("assign")
def assign_card(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The online order, such as 1007 or #1007.")],
    serial: Annotated[
        str, typer.Argument(metavar="SERIAL", help="The physical card's number; - reads standard input.")
    ],
    last4: Annotated[
        str | None, typer.Option("--last4", help="Which card of the order: the last four of its online code.")
    ] = None,
    close_old: Annotated[
        bool,
        typer.Option("--close-old", help="Close the card that was bought, for ever; else it stays, empty."),
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who assigns it; your user name if left out.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what would follow, and do nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Give a physical card to an online order: one number for the store and the shop from then on."""
    output = Output(as_json)
    settings = load_settings(config)
    try:
        number = Serial(sys.stdin.readline() if serial == "-" else serial)
    except SerialError as error:
        raise OperatorError(str(error), "Scan or type the number that is printed on the card.") from None
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        link = build_worker(settings, ledger, sides, report_closed).link
        card = _one_of(assigning.cards_of_order(link, order), order, last4)
        try:
            done = assigning.assign(
                link, card.card_id, number, by or getpass.getuser(), close_old=close_old, preview=preview
            )
        except (assigning.NotAssigned, BrakeTripped, LinkStopped) as error:
            raise OperatorError(str(error)) from None
    _show_assigned(done, card, number, close_old=close_old, preview=preview, output=output)
    code = ExitCode.IN_STEP if done.finished or preview else ExitCode.FAILED
    output.emit("cards assign", AssignedAnswer(assigned=done), code)
    return code


def _one_of(found: list[BoughtCard], order: str, last4: str | None) -> BoughtCard:
    chosen = [one for one in found if last4 is None or one.last_chars[-4:] == last4.lower()]
    if not found:
        raise OperatorError(
            f"no card of order {order} is known", "Run `giftsync sync`; the order must be paid and fulfilled."
        )
    if len(chosen) != 1:
        ends = ", ".join(sorted(mask(one.last_chars) for one in found))
        raise OperatorError(f"order {order} has the cards {ends}", "Say which with --last4.")
    return chosen[0]


def _show_assigned(
    done: assigning.Assigned,
    card: BoughtCard,
    number: Serial,
    *,
    close_old: bool,
    preview: bool,
    output: Output,
) -> None:
    amount = format_money(done.amount_minor, done.currency)
    whom = f" of {card.holder}" if card.holder else ""
    old, new = mask(card.last_chars), mask(number.last_chars)
    after = "is closed for ever" if close_old else "stays, with nothing on it"
    if preview:
        output.say(f"{amount} would go from the online card {old}{whom} to {new}, in the store and online.")
        for intent in done.planned:
            output.say(
                f"First, {format_money(-intent.amount_minor, done.currency)} go off it on {intent.side}."
            )
        output.say(f"The old code {old}, which the customer has by mail, {after}.")
        output.say("Nothing was changed. Say it again without --preview.")
    elif done.finished:
        output.say(f"{new} is worth {amount} in the store and online; the old code {old} {after}.")
    else:
        output.say(f"{amount} are on their way to {new}; `giftsync sync` or the worker goes on with it.")


What = Annotated[
    str | None,
    typer.Argument(
        metavar="[WHAT]",
        help="The id, last four, order, receipt, buyer's name or mail, or number; left out or -, you are "
        "asked for it, or it is read from standard input.",
    ),
]


@app.command("find")
def find_card(what: What = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Find a card by its number, last four, order, receipt, or its buyer's name or mail address.

    Exit codes: 0 found, 1 the ledger has no such card, 2 a side could not be asked.
    """
    output = Output(as_json)
    settings = load_settings(config)
    with reading_link(settings) as link:
        text = _asked(what)
        found = finding.find(link, text)
    show_hits(found, output)
    if not found.hits and not found.elsewhere and not found.unasked:
        output.paragraph(f"There is no card that this can be.{_besides(text)}")
    none = ExitCode.FAILED if found.unasked else ExitCode.NOT_FOUND
    code = ExitCode.IN_STEP if found.hits else none
    output.emit("cards find", FoundAnswer(found=found), code)
    return code


def _besides(text: str) -> str:
    """What else may be tried where nothing was found."""
    if "@" in text:
        return " Of a card bought online look for the order or the buyer's name: no side tells its address."
    if finding.number_of(text) is not None:
        return " Every side was asked; a shop finds a card by its code up to a minute after it was made."
    return ""


@app.command()
def show(
    what: What = None,
    card_id: Annotated[
        int | None, typer.Option("--id", help="The card by its id alone, as `cards list` shows it.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Sentences that can be read out to a customer.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """A card's statement: what happened to it, where and when, what giftsync did, who decided what."""
    output = Output(as_json)
    settings = load_settings(config)
    zone = settings.link.zone
    with reading_link(settings) as link:
        chosen = card_id if card_id is not None else _one_card(finding.find(link, _asked(what)), output)
        found = statement(link, chosen, places_of(link.sides))
        if found is None:
            raise OperatorError(f"there is no card {chosen}", "`giftsync cards list` shows the ids.")
        movements = views.list_movements(link.store.engine, chosen)
        intents = views.list_intents(link.store.engine, chosen)
    sentences = read_out(found, zone)
    if explain:
        for sentence in sentences:
            output.paragraph(sentence)
    else:
        show_statement(found, zone, output)
    output.emit(
        "cards show",
        CardAnswer(
            card=found.card,
            events=found.events,
            read_out=sentences,
            movements=movements,
            intents=intents,
            conflicts=found.conflicts,
        ),
    )
    return ExitCode.IN_STEP


def _asked(what: str | None) -> str:
    """What is looked for; a number that is typed is not shown and stays out of the shell's history."""
    if what is not None and what != "-":
        return what
    if what is None and sys.stdin.isatty():
        question = "Number (not shown), last four, order, receipt, name or mail"
        return str(typer.prompt(question, hide_input=True))
    return sys.stdin.readline()


def _one_card(found: finding.Search, output: Output) -> int:
    """The only card that was found. Raises OperatorError for none or several."""
    ids = [hit.card.id for hit in found.hits]
    if len(ids) == 1:
        return ids[0]
    if ids:
        several = "; ".join(
            f"--id {hit.card.id} ({ends_of(hit.card)}, {', '.join(hit.why)})" for hit in found.hits
        )
        raise OperatorError("that can be several cards", f"Say which: {several}.")
    known = " ".join(f"{words[0].upper()}{words[1:]}." for words in (*found.elsewhere, *found.unasked))
    raise OperatorError(known or "there is no card that this can be", "`giftsync cards list` shows them all.")
