"""Conflicts for people: the worklist, one conflict with its advice, and what came of a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from connectors.api.capabilities import Place
from connectors.api.side import Side
from sync.ledger import views
from sync.ledger.views import ConflictRow, IntentRow
from sync.model import InvariantBroken
from sync.reconcile.work import Link
from sync.support.explain import Advice, Case, Option, advise, happened, options_for
from sync.support.settle import NotResolved, Resolution, case_of, resolve, said_words

#: Conflicts whose cards are read together.
LISTED_TOGETHER = 100
#: Of one decision that much is listed; more is on the card's statement.
WRITES_SHOWN_MAX = 20


@dataclass(frozen=True)
class Listed:
    """A conflict in the worklist. Amounts in minor units of `currency`."""

    conflict: ConflictRow
    #: The card by its last four; empty for a conflict of the whole link.
    ends_in: str
    what: str
    #: Of an open one: what is at stake now.
    at_stake_minor: int
    currency: str
    #: Of an open one.
    next_step: str
    #: Of a closed one: what was decided, by whom and why, or that it closed by itself.
    decided: str = ""


@dataclass(frozen=True)
class Shown:
    """One conflict. Of an open one there is advice, of a closed one what was decided and what came of it."""

    conflict: ConflictRow
    listed: Listed
    advice: Advice | None
    #: What was decided, in words; empty while it is open, and where it closed by itself.
    decided: str
    #: What was written to the sides because of it.
    writes: tuple[IntentRow, ...]


def places_of(sides: Mapping[str, Side]) -> dict[str, Place]:
    """Where people find the cards of each side."""
    return {name: side.abilities.place or Place(name, name) for name, side in sides.items()}


def list_cases(link: Link, *, include_closed: bool = False) -> Iterator[Listed]:
    """Conflicts by id, as they stand now; those of a page are read together."""
    rows = views.list_conflicts(link.store.engine, include_closed=include_closed)
    while page := list(islice(rows, LISTED_TOGETHER)):
        yield from list_rows(link, page)


def list_rows(link: Link, rows: Iterable[ConflictRow]) -> list[Listed]:
    """These conflicts, as they stand now; their cards are read together."""
    places, shown = places_of(link.sides), list(rows)
    cards = link.store.load_each(sorted({row.card_id for row in shown if row.card_id is not None}))
    return [
        _told(link, row, case_of(link, vars(row), cards.get(row.card_id or 0), places))[0] for row in shown
    ]


def instead_of(link: Link, row: ConflictRow) -> tuple[Option, ...]:
    """What can be said in place of a decision, as far as nothing of it was carried out yet."""
    if row.card_id is None or row.resolved_by is None:
        return ()
    found: list[Option] = []
    for option in options_for(_case(link, row, places_of(link.sides))):
        if option.needs == "card":
            continue
        value = 0 if option.needs else None
        said = Resolution(option.action, row.resolved_by, "only worked out", option.side, value)
        try:
            if not resolve(link, row.id, said, preview=True).already_closed:
                found.append(option)
        except NotResolved:
            continue
    return tuple(found)


def show_case(link: Link, conflict_id: int) -> Shown | None:
    """One conflict as it stands now; None when there is none."""
    found = views.list_conflicts(link.store.engine, conflict_id=conflict_id)
    row = next(found, None)
    if row is None:
        return None
    listed, advice = _listed(link, row, places_of(link.sides))
    said = views.decided_of(link.store.engine, conflict_id)
    decided = said_words(link, said, row.resolution or "") if row.resolved_by else ""
    return Shown(row, listed, advice, decided, tuple(_writes(link, row, said.get("markers"))))


def _listed(link: Link, row: ConflictRow, places: Mapping[str, Place]) -> tuple[Listed, Advice | None]:
    return _told(link, row, _case(link, row, places))


def _told(link: Link, row: ConflictRow, case: Case) -> tuple[Listed, Advice | None]:
    if row.closed_at is not None:
        ended = _ended(link, row)
        listed = Listed(row, _ends_in(case), happened(case), row.amount_minor, case.currency, "", ended)
        return listed, None
    advice = advise(case)
    listed = Listed(row, _ends_in(case), advice.what, advice.at_stake_minor, case.currency, advice.deed)
    return listed, advice


def _ended(link: Link, row: ConflictRow) -> str:
    """How a closed conflict ended, in words."""
    if row.resolved_by is None:
        return (row.resolution or "").replace("_", " ")
    said = said_words(link, views.decided_of(link.store.engine, row.id), row.resolution or "")
    why = f", because: {row.resolved_why}" if row.resolved_why else ""
    return f"{said.replace('_', ' ')}, by {row.resolved_by}{why}"


def _case(link: Link, row: ConflictRow, places: Mapping[str, Place]) -> Case:
    card = None
    if row.card_id is not None:
        try:
            card = link.store.load(row.card_id)
        except InvariantBroken:
            card = None  # Its conflict stays readable, whatever was done to the card by hand.
    return case_of(link, vars(row), card, places)


def _ends_in(case: Case) -> str:
    return "" if case.card is None and "ends_in" not in case.evidence else case.ends_in


def _writes(link: Link, row: ConflictRow, mine: object) -> Iterator[IntentRow]:
    """What was planned for the card by the decision, or at the looks that followed it."""
    if row.card_id is None or row.closed_at is None or row.resolved_by is None:
        return
    markers = mine if isinstance(mine, list) else []
    yield from islice(
        (
            intent
            for intent in views.list_intents(link.store.engine, row.card_id)
            if intent.marker in markers or (not markers and intent.created_at >= row.closed_at)
        ),
        WRITES_SHOWN_MAX,
    )
