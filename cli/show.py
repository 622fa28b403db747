"""What the ledger says, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta, tzinfo

from rich.table import Table

from cli.output import ExitCode, plural, rows, table, when
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.serials import mask
from sync.decisions.merge import MERGED
from sync.ledger.views import CardRow, MovementRow, PresenceRow, Status


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
                format_money(card.balance_minor, card.currency),
                card.status,
                date_words(card.expires_on),
                "yes" if card.in_step else why_not(card),
                ", ".join(p.side for p in card.presences),
            )
            for card in cards
        ),
    )


def why_not(card: CardRow) -> str:
    """Why a card is not in step, in a few words."""
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
        if p.expires_on != card.expires_on:
            return f"no: expires {date_words(p.expires_on)} on {p.side}"
    return "no: under way"


def presences_table(card: CardRow) -> Table:
    columns = ("Side", "Card there", "Shows", "Status", "Expires", "State")
    made = table(*columns, title="Where it is", right=["Shows"])
    return rows(
        made,
        (
            (
                p.side,
                mask(p.last_chars),
                format_money(p.shadow_minor, card.currency),
                p.status,
                date_words(p.expires_on),
                p.hold or _state(card, p),
            )
            for p in card.presences
        ),
    )


def _state(card: CardRow, p: PresenceRow) -> str:
    if p.stale:
        return "to be looked at"
    # Of a closed card nothing is made any more; what a merged one had, another card has.
    return "" if p.born else "not there" if card.status == CardStatus.CLOSED else "to be created"


def movements_table(movements: Iterable[MovementRow], currency: str, zone: tzinfo) -> Table:
    columns = ("When", "From", "Kind", "Amount", "Balance after")
    made = table(*columns, title="What moved it", right=["Amount", "Balance after"])
    return rows(
        made,
        (
            (
                when(m.at, zone),
                m.side or "",
                _movement_words(m),
                signed(m.amount_minor, currency),
                format_money(m.balance_after_minor, currency),
            )
            for m in movements
        ),
    )


def _movement_words(m: MovementRow) -> str:
    others = [f", {key.replace('_', ' ')} card {m.evidence[key]}" for key in MERGED if key in m.evidence]
    return m.kind.replace("_", " ") + "".join(others)


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
