"""Settings that create many cards at once are announced, and agreed to, before anything is written."""

from __future__ import annotations

import sys

import typer

from cli.errors import OperatorError
from cli.output import Output, plural
from mappings.money import format_money
from sync.arrivals.missing import not_agreed_on
from sync.ledger.cards.lacking import lacking
from sync.reconcile.work import Link


def agree_to_creates(link: Link, output: Output, *, yes: bool) -> None:
    """Announce the cards of sides that were not written before, and that nobody agreed to in the console.

    Raises OperatorError without a yes.
    """
    for side in not_agreed_on(link):
        found = lacking(link.store.engine, side, link.sharing)
        if not found.cards:
            continue
        cards, money = plural(found.cards, "card"), format_money(found.money_minor, link.currency)
        words = f"The settings let cards be created on {side} from now on: {cards} with {money} in all."
        if yes:
            output.note(words)
        elif not sys.stdin.isatty():
            raise OperatorError(words, "Nothing was done. Say --yes if that is what you want.")
        elif not typer.confirm(f"{words} Go on?", err=True):
            raise typer.Abort
