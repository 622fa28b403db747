"""`giftsync cards [list|show]`."""

from __future__ import annotations

import getpass
import sys
from itertools import islice
from typing import Annotated

import typer

from cli.build import build_worker, open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output
from cli.session import load_settings, opened_sides, report_closed
from cli.show import cards_table, conflicts_table, intents_table, movements_table, presences_table, why_not
from mappings.money import format_money
from mappings.serials import Serial, SerialError, mask
from sync.ledger import views
from sync.reconcile.brakes import BrakeTripped
from sync.support import assign as assigning

LIMIT = 50

app = typer.Typer(help="The cards that the ledger knows.", invoke_without_command=True)

Last4 = Annotated[str | None, typer.Option("--last4", help="Only cards that end in these four characters.")]
OutOfStep = Annotated[bool, typer.Option("--out-of-step", help="Only cards that are not in step.")]
After = Annotated[int, typer.Option(min=0, help="Go on after the card with this id.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]


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
    output.emit("cards list", {"cards": page, "more": more})


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
        except (assigning.NotAssigned, BrakeTripped) as error:
            raise OperatorError(str(error)) from None
    _show_assigned(done, card, number, close_old=close_old, preview=preview, output=output)
    code = ExitCode.IN_STEP if done.finished or preview else ExitCode.FAILED
    output.emit("cards assign", {"assigned": done}, code)
    return code


def _one_of(found: list[assigning.Choice], order: str, last4: str | None) -> assigning.Choice:
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
    card: assigning.Choice,
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


@app.command()
def show(
    card_id: Annotated[int, typer.Argument(metavar="ID", help="The card's id, as `cards list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything about one card: where it is, what moved it, what is under way."""
    output = Output(as_json)
    settings = load_settings(config)
    zone = settings.link.zone
    with open_ledger(settings, create=False) as ledger:
        card = next(views.list_cards(ledger.engine, card_id=card_id), None)
        if card is None:
            raise OperatorError(f"there is no card {card_id}", "`giftsync cards list` shows the ids.")
        movements = views.list_movements(ledger.engine, card_id)
        intents = views.list_intents(ledger.engine, card_id)
        mine = [c for c in views.list_conflicts(ledger.engine, include_closed=True) if c.card_id == card_id]
    state = "in step" if card.in_step else why_not(card).replace("no:", "not in step:")
    output.say(
        f"Card {card.id}: {format_money(card.balance_minor, card.currency)}, {card.status}, "
        f"{f'expires {card.expires_on}' if card.expires_on else 'never expires'}, {state}."
    )
    output.show(presences_table(card))
    output.show(movements_table(movements, card.currency, zone))
    if intents:
        output.show(intents_table(intents, card.currency, zone))
    if mine:
        output.show(conflicts_table(mine, zone))
    output.emit("cards show", {"card": card, "movements": movements, "intents": intents, "conflicts": mine})
