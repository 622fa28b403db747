"""Find a card, and read its whole story."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from starlette.responses import Response

from console.plots import DASHES, balance_plot
from console.pulse import QUICK_SECONDS
from console.visit import ADDRESS_LENGTH_MAX, NotFound, Page, Visit
from console.words import Words
from mappings.money import decimal_from_minor
from sync.ledger import views
from sync.ledger.views import CardRow
from sync.support.courses import course_of
from sync.support.finding import find
from sync.support.statement import Event, Statement, read_out, statement

LISTED = 50
SEARCH_LENGTH_MAX = 120


def show_search(visit: Visit) -> Response:
    """The search and what it found, or cards by id; those that are out of step where asked."""
    typed = visit.typed()
    if typed is not None:
        return _found_by(visit, typed)
    out_of_step = visit.asked("show") == "out-of-step"
    after_id = _id_of(visit.asked("after"))
    page = _out_of_step(visit, after_id) if out_of_step else _listed(visit, after_id)
    return visit.render(
        "cards.html",
        cards=page.cards,
        after=page.after,
        counted_at=page.counted_at,
        out_of_step=out_of_step,
        asked="",
        search=None,
        why_not=why_not,
    )


def search(visit: Visit) -> Response:
    """Sent by POST and shown under a sealed address: a number stands in no address, history or log."""
    asked = visit.form.get("what", "").strip()[:SEARCH_LENGTH_MAX]
    return visit.go_typed("/cards", {"what": asked}) if asked else visit.go("/cards")


@dataclass(frozen=True)
class Listed:
    """A page of the list."""

    cards: Sequence[CardRow]
    #: The next page begins after this id; None: there is none.
    after: int | None
    #: Which cards belong to the list was found out then; None: now.
    counted_at: datetime | None = None


def _listed(visit: Visit, after_id: int, *, out_of_step: bool = False) -> Listed:
    engine = visit.link.store.engine
    found = views.list_cards(engine, out_of_step=out_of_step, after_id=after_id, page_size=LISTED + 1)
    page = list(islice(found, LISTED + 1))
    return Listed(page[:LISTED], page[LISTED - 1].id if len(page) > LISTED else None)


def _out_of_step(visit: Visit, after_id: int) -> Listed:
    """The few among many are not looked for again: they are known since all cards were added up."""
    totals = visit.console.pulse.picture().totals
    known = totals.counts.out_of_step
    is_all = len(known) == totals.counts.cards - totals.counts.in_step
    if totals.seconds < QUICK_SECONDS or (not is_all and after_id >= known[-LISTED]):
        return _listed(visit, after_id, out_of_step=True)
    first = bisect_right(known, after_id)
    ids, more = known[first : first + LISTED], len(known) > first + LISTED
    found = [row for row in views.list_cards(visit.link.store.engine, ids=ids) if not row.in_step]
    return Listed(found, ids[-1] if more else None, totals.at)


def _found_by(visit: Visit, typed: Mapping[str, str]) -> Response:
    asked = typed.get("what", "")
    found = find(visit.link, asked, _id_of(visit.asked("after")), LISTED)
    if found.count == 1 and not found.elsewhere:
        return visit.go(f"/cards/{found.hits[0].card.id}")
    # What was asked for may be a whole number, so it is not shown again.
    return visit.render(
        "cards.html",
        cards=[hit.card for hit in found.hits],
        after=found.hits[-1].card.id if found.more else None,
        counted_at=None,
        out_of_step=False,
        asked=_ends(asked),
        search=found,
        typed=visit.asked("typed", length=ADDRESS_LENGTH_MAX),
        why_not=why_not,
    )


def _id_of(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0


def _ends(asked: str) -> str:
    """What was asked for, to be shown: only the end of what may be a number."""
    digits = sum(c.isdigit() for c in asked)
    return f"••••{asked[-4:]}" if digits >= 7 or (len(asked) > 8 and asked.isalnum()) else asked


def why_not(card: CardRow, words: Words) -> str:
    """Why a card is not in step, in a few words; empty while it is."""
    if card.in_step:
        return ""
    if not card.verified:
        return words.text("not verified: its rows in the ledger were changed")
    if card.held:
        return words.text("waits for a decision")
    for p in card.presences:
        if p.hold is not None:
            return words.text("{side} is held", side=p.side)
        if not p.born:
            return words.text("not on {side} yet", side=p.side)
        if p.stale:
            return words.text("{side} is to be looked at", side=p.side)
        if p.shadow_minor != card.balance_minor:
            money = words.money(p.shadow_minor, card.currency)
            return words.text("{money} on {side}", money=money, side=p.side)
        if p.status != card.status or (p.follows_expiry and p.expires_on != card.expires_on):
            return words.text("differs on {side}", side=p.side)
    return words.text("on its way")


def headline(found: Statement, words: Words, now: datetime) -> str:
    """The balance, and when the card was used last."""
    card = found.card
    if not card.verified:
        return words.text("Not verified: its rows in the ledger were changed.")
    parts = [words.text("Balance {money}.", money=words.money(card.balance_minor, card.currency))]
    if card.status != "active":
        parts.append(words.text("The card is {status}.", status=words.status(card.status)))
    moved = [event for event in found.events if event.amount_minor and event.by == "customer"]
    if moved:
        last = moved[-1]
        verb = (
            words.text("Last used")
            if last.amount_minor and last.amount_minor < 0
            else words.text("Last loaded")
        )
        line = f"{verb} {words.moment(last.at, now)}, {words.amounts(last.place)}"
        if last.receipt:
            line += words.text(", receipt {number}", number=last.receipt)
        elif last.order:
            line += words.text(", order {number}", number=last.order)
        parts.append(f"{line}.")
    return " ".join(parts)


def is_ours(event: Event) -> bool:
    """What giftsync did because of something else."""
    return event.by == "giftsync" and event.amount_minor is None


def newest_first(events: Sequence[Event]) -> list[Event]:
    """The story from its end; what giftsync did stays under what it did it for."""
    groups: list[list[Event]] = []
    for event in events:
        if is_ours(event) and groups:
            groups[-1].append(event)
        else:
            groups.append([event])
    return [event for group in reversed(groups) for event in group]


def _found(visit: Visit) -> Statement:
    found = statement(visit.link, visit.number("card"), visit.console.places)
    if found is None:
        raise NotFound
    return found


def show(visit: Visit) -> Response:
    found = _found(visit)
    engine = visit.link.store.engine
    course = course_of(views.list_movements(engine, found.card.id), views.list_intents(engine, found.card.id))
    names = {side: place.name for side, place in visit.console.places.items()}
    return visit.render(
        "card.html",
        found=found,
        events=newest_first(found.events),
        head=headline(found, visit.words, visit.now),
        plot=balance_plot(course, names, found.card.currency, visit.now, visit.words),
        course=course,
        dashes=DASHES,
        sentences=read_out(found, visit.link.timezone),
        open=[one for one in found.conflicts if one.closed_at is None],
        closed=[one for one in found.conflicts if one.closed_at is not None],
        why=why_not(found.card, visit.words),
        is_ours=is_ours,
        has_own_date=views.has_own_date,
        now=visit.now,
    )


def show_csv(visit: Visit) -> Response:
    """The story as a table: amounts as decimal numbers, times in the link's zone."""
    found = _found(visit)
    head = ("when", "seen", "place", "what", "amount", "balance after", "order", "receipt", "by")
    lines = [head, *(_line(event, found.card.currency, visit.words) for event in found.events)]
    return visit.csv(f"card-{found.card.id}.csv", lines)


def _line(event: Event, currency: str, words: Words) -> tuple[object, ...]:
    def money(minor: int | None) -> str:
        return "" if minor is None else decimal_from_minor(minor, currency)

    return (
        *(
            words.exact(event.at),
            words.exact(event.seen_at),
            words.amounts(event.place),
            words.amounts(event.what),
        ),
        *(money(event.amount_minor), money(event.balance_after_minor)),
        *(event.order, event.receipt, event.by),
    )


PAGES = (
    Page("/cards", show_search, search, acts=None),
    Page("/cards/{card}", show),
    Page("/cards/{card}/story.csv", show_csv),
)
