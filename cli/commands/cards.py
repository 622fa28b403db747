"""`giftsync cards [list|show]`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from cli.build import open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import Output, when
from cli.session import load_settings
from cli.show import cards_table, conflicts_table, intents_table, movements_table, presences_table, why_not
from mappings.money import format_money
from sync.ledger import views

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
    output.emit({"cards": page, "more": more})


@app.command()
def show(
    card_id: Annotated[int, typer.Argument(metavar="ID", help="The card's id, as `cards list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything about one card: where it is, what moved it, what is under way."""
    output = Output(as_json)
    with open_ledger(load_settings(config), create=False) as ledger:
        card = next(views.list_cards(ledger.engine, card_id=card_id), None)
        if card is None:
            raise OperatorError(f"there is no card {card_id}", "`giftsync cards list` shows the ids.")
        movements = views.list_movements(ledger.engine, card_id)
        intents = views.list_intents(ledger.engine, card_id)
        mine = [c for c in views.list_conflicts(ledger.engine, include_closed=True) if c.card_id == card_id]
    state = "in step" if card.in_step else why_not(card).replace("no:", "not in step:")
    output.say(
        f"Card {card.id}: {format_money(card.balance_minor, card.currency)}, {card.status}, "
        f"{'expires ' + when(card.expires_on) if card.expires_on else 'never expires'}, {state}."
    )
    output.show(presences_table(card))
    output.show(movements_table(movements, card.currency))
    if intents:
        output.show(intents_table(intents, card.currency))
    if mine:
        output.show(conflicts_table(mine))
    output.emit({"card": card, "movements": movements, "intents": intents, "conflicts": mine})
