"""Conflicts for people: the worklist, one conflict with its advice, and what came of a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from connectors.api.side import Place, Side
from sync.ledger import views
from sync.ledger.views import ConflictRow, IntentRow
from sync.model import InvariantBroken
from sync.reconcile.work import Link
from sync.support.explain import Advice, Case, advise
from sync.support.settle import case_of, said_words

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
    """Conflicts by id, as they stand now."""
    places = places_of(link.sides)
    for row in views.list_conflicts(link.store.engine, include_closed=include_closed):
        yield _listed(link, row, places)[0]


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
    case = _case(link, row, places)
    if row.closed_at is not None:
        listed = Listed(row, _ends_in(case), row.summary, row.amount_minor, case.currency, "")
        return listed, None
    advice = advise(case)
    listed = Listed(row, _ends_in(case), advice.what, advice.at_stake_minor, case.currency, advice.deed)
    return listed, advice


def _case(link: Link, row: ConflictRow, places: Mapping[str, Place]) -> Case:
    card = None
    if row.card_id is not None:
        try:
            card = link.store.load(row.card_id)
        except InvariantBroken:
            card = None  # Its conflict stays readable, whatever was done to the card by hand.
    return case_of(link, asdict(row), card, places)


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
