"""What the ledger says, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from rich.table import Table

from cli.output import ExitCode, plural, rows, table
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.serials import mask
from sync.ledger.proof.findings import money
from sync.ledger.views import CardRow, Status


def exit_code_of(status: Status, *, failed: bool) -> ExitCode:
    """What a script needs to know after the work."""
    if failed:
        return ExitCode.FAILED
    return ExitCode.CONFLICTS if status.conflicts else ExitCode.IN_STEP


def cards_table(cards: Iterable[CardRow]) -> Table:
    made = table("Id", "Card", "Balance", "Status", "Expires", "In step", "Sides", right=["Id", "Balance"])
    return rows(
        made,
        (
            (
                card.id,
                " ".join(dict.fromkeys(mask(p.last_chars) for p in card.presences)),
                balance_words(card),
                card.status,
                date_words(card.expires_on),
                "yes" if card.in_step else why_not(card),
                ", ".join(p.side for p in card.presences),
            )
            for card in cards
        ),
    )


def balance_words(card: CardRow) -> str:
    """What is on the card; what rows say that somebody changed is not told as what is owed."""
    if card.verified:
        return format_money(card.balance_minor, card.currency)
    return f"{money(card.balance_minor, card.currency)} not verified"


def why_not(card: CardRow) -> str:
    """Why a card is not in step, in a few words."""
    if not card.verified:
        return "no: not verified (its rows were changed)"
    if card.held:
        return "no: waits for a decision"
    for p in card.presences:
        if p.hold is not None:
            return f"no: {p.side} is held ({p.hold})"
        if not p.born:
            return f"no: not on {p.side} yet"
        if p.stale:
            return f"no: {p.side} is to be looked at"
        # What is under way counts as done here, so this is what is not to be, or cannot be, written.
        if p.status != card.status:
            return f"no: {p.status} on {p.side}"
        if p.shadow_minor != card.balance_minor:
            return f"no: {format_money(p.shadow_minor, card.currency)} on {p.side}"
        if p.follows_expiry and p.expires_on != card.expires_on:
            return f"no: expires {date_words(p.expires_on)} on {p.side}"
    return "no: under way"


def not_there(card: CardRow) -> str:
    """Of a closed card nothing is made any more; what a merged one had, another card has."""
    if card.status == CardStatus.CLOSED:
        return "not there"
    return "not there yet" if card.balance_minor else "not there while nothing is on it"


def age_words(age: timedelta) -> str:
    """`3 days old`: how long something has waited."""
    minutes = max(0, int(age.total_seconds() // 60))
    for size, noun in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            return f"{plural(minutes // size, noun)} old"
    return "less than a minute old"


def signed(minor: int, currency: str) -> str:
    return f"{'+' if minor > 0 else ''}{format_money(minor, currency)}" if minor else ""


def date_words(day: date | None) -> str:
    return "never" if day is None else day.isoformat()
