"""A card's statement on the terminal, and what a search for one found."""

from __future__ import annotations

from datetime import tzinfo

from cli.output import Output, rows, table, when
from cli.show import balance_words, date_words, not_there, signed, why_not
from mappings.money import format_money
from mappings.serials import mask
from sync.ledger.views import CardRow, has_own_date
from sync.support.finding import Hit, Search
from sync.support.statement import Event, Statement


def show_statement(found: Statement, zone: tzinfo, output: Output) -> None:
    """The headline, where the card is, and what happened to it, oldest first."""
    card = found.card
    state = "in step" if card.in_step else why_not(card).replace("no:", "not in step:")
    until = "never expires" if card.expires_on is None else f"expires {card.expires_on}"
    money = balance_words(card)
    named = f"Card {card.id}, {found.ends_in}" if found.ends_in else f"Card {card.id}"
    output.paragraph(f"{named}: {money}, {card.status}, {until}, {state}.")
    for one in found.conflicts:
        if one.closed_at is None:
            kind = one.kind.replace("_", " ")
            output.paragraph(f"Waits for a decision ({kind}): giftsync conflicts show {one.id}", after="  ")
    output.say("")
    for p in card.presences:
        shows = format_money(p.shadow_minor, card.currency)
        there = f"{shows}, {p.status}, expires {date_words(p.expires_on)}" if p.born else not_there(card)
        own_date = "; giftsync sets no date there" if has_own_date(card, p) else ""
        trouble = f" ({p.hold})" if p.hold else ""
        output.paragraph(f"{p.side} {mask(p.last_chars)}: {there}{own_date}{trouble}", after="  ")
    output.say("")
    for event in found.events:
        _show_event(event, card.currency, zone, output)


def _show_event(event: Event, currency: str, zone: tzinfo, output: Output) -> None:
    """The first line is what happened, the second where; what giftsync did is indented under it."""
    indent = "  " if event.by == "giftsync" and event.amount_minor is None else ""
    who = f"{event.by} " if event.by not in ("customer", "giftsync") else ""
    money = ""
    if event.amount_minor is not None:
        after = format_money(event.balance_after_minor or 0, currency)
        money = f"{signed(event.amount_minor, currency) or format_money(0, currency)}, balance {after}: "
    numbers = [f"order {event.order}"] if event.order else []
    numbers += [f"receipt {event.receipt}"] if event.receipt else []
    tail = f" ({', '.join([event.place, *numbers])})" if event.place != "giftsync" or numbers else ""
    seen = f"; giftsync saw it {_seen(event, zone)}" if event.seen_at != event.at else ""
    if event.by == "giftsync" and event.amount_minor is None:
        seen = ""
    output.paragraph(
        f"{indent}{when(event.at, zone)}  {who}{money}{event.what}{tail}{seen}", after=f"{indent}    "
    )


def _seen(event: Event, zone: tzinfo) -> str:
    """When giftsync saw it; on the same day the time is enough."""
    seen, same_day = event.seen_at.astimezone(zone), event.at.astimezone(zone)
    return f"at {seen:%H:%M:%S}" if seen.date() == same_day.date() else when(seen, zone)


def show_hits(found: Search, output: Output) -> None:
    """The cards that were found and why, and what is known where none is."""
    if found.hits:
        made = table("Id", "Card", "Balance", "Status", "Found by", right=["Id", "Balance"])
        output.show(rows(made, (_hit(hit) for hit in found.hits)))
        output.say("`giftsync cards show ID` tells its story; add --explain to read it out.")
    for words in (*found.elsewhere, *found.unasked):
        output.paragraph(f"{words[0].upper()}{words[1:]}.", after="  ")


def _hit(hit: Hit) -> tuple[object, ...]:
    card = hit.card
    return (
        card.id,
        ends_of(card),
        balance_words(card),
        card.status,
        ", ".join(hit.why),
    )


def ends_of(card: CardRow) -> str:
    return " ".join(dict.fromkeys(mask(p.last_chars) for p in card.presences if p.last_chars))
