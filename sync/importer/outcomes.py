"""What became of each row of a plan: one of seven outcomes, told from what the ledger has confirmed. Pure.

The same outcome stands in the terminal, in JSON, CSV and on the page. What was planned is the sum of all
outcomes, in cards and in money.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mappings.money import format_money
from mappings.sentences import marked
from sync.importer.actions import SAME_ON_BOTH, Action
from sync.ledger.imports.card_facts import CardFacts
from sync.ledger.imports.rows import Row

#: What `import_rows.outcome` says of rows that ended without a card of their own.
KNOWN = "the hub has it already"
IDLE = "nothing to create now"
LEFT_OUT = "left out"
TAKEN_OUT = "taken out of the plan"
CHANGED = "left alone: the ledger's row of it is not as it was planned; plan it anew"


class Outcome(StrEnum):
    """How a row ended. The values stand in JSON and in the CSV."""

    #: A card was made, with the money that was planned, and its side has confirmed it.
    MADE = "made"
    #: Nothing was to be made: the sides agree, or the hub had it, or it is only watched.
    ALREADY_SO = "already_so"
    #: It is in step, with another amount than planned or by another way.
    DIFFERED = "differed"
    #: Nothing came of it, and nothing will: it is gone, closed, excluded, or taken out of the plan.
    FELL_AWAY = "fell_away"
    #: A person has to decide.
    CONFLICT = "conflict"
    #: The row or card could not be taken.
    REJECTED = "rejected"
    #: Not done, or not confirmed.
    NOT_YET = "not_yet"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Outcome.MADE: marked("made"),
    Outcome.ALREADY_SO: marked("already so"),
    Outcome.DIFFERED: marked("differed"),
    Outcome.FELL_AWAY: marked("fell away"),
    Outcome.CONFLICT: marked("conflict"),
    Outcome.REJECTED: marked("rejected"),
    Outcome.NOT_YET: marked("not yet"),
}


@dataclass(frozen=True)
class RowOutcome:
    """A row and what became of it. Amounts in minor units."""

    row: Row
    kind: Outcome
    why: str
    #: What the plan found on the card.
    planned_minor: int
    #: What the import put on a new card, as its side confirmed it.
    made_minor: int = 0
    #: It was to be done, and a person should know why it was not.
    unexpected: bool = False

    @property
    def outcome(self) -> str:
        """In words."""
        return f"{self.kind.label}; {self.why}" if self.why else self.kind.label


@dataclass(frozen=True)
class Sum:
    """Rows of one outcome. Amounts in minor units."""

    cards: int = 0
    planned_minor: int = 0
    made_minor: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.cards + other.cards,
            self.planned_minor + other.planned_minor,
            self.made_minor + other.made_minor,
        )


@dataclass
class Tally:
    """Adds rows up by outcome."""

    by: dict[Outcome, Sum] = field(default_factory=lambda: dict.fromkeys(Outcome, Sum()))
    unexpected: Sum = field(default_factory=Sum)

    def add(self, told: RowOutcome) -> None:
        one = Sum(1, told.planned_minor, told.made_minor)
        self.by[told.kind] += one
        if told.unexpected:
            self.unexpected += one

    @property
    def total(self) -> Sum:
        total = Sum()
        for one in self.by.values():
            total += one
        return total


def tell(row: Row, facts: CardFacts | None, currency: str, *, begun: bool) -> RowOutcome:
    """The row's outcome. `facts` are of its card, if it has one; `begun`: the plan was applied before."""
    planned = row.pos_minor if row.pos_minor is not None else row.online_minor or 0
    action = Action(row.action)

    def told(kind: Outcome, why: str, made_minor: int = 0, *, unexpected: bool = False) -> RowOutcome:
        return RowOutcome(row, kind, why, planned, made_minor, unexpected)

    match action:
        case Action.REJECT:
            return told(Outcome.REJECTED, row.reason)
        case Action.SKIP:
            return told(Outcome.FELL_AWAY, row.reason)
        case Action.KNOWN:
            return told(Outcome.ALREADY_SO, row.reason)
    if row.state == "planned":
        if begun and not row.chosen:
            return told(Outcome.FELL_AWAY, TAKEN_OUT)
        return told(Outcome.NOT_YET, row.outcome)
    if facts is None:
        if row.outcome == KNOWN:
            return told(Outcome.ALREADY_SO, KNOWN)
        expected = row.outcome.startswith((IDLE, LEFT_OUT))
        return told(Outcome.FELL_AWAY, row.outcome, unexpected=row.chosen and not expected)
    kind, why = _of_card(row, action, facts, planned, currency)
    return told(kind, why, facts.made_minor)


def _of_card(row: Row, action: Action, facts: CardFacts, planned: int, currency: str) -> tuple[Outcome, str]:
    if facts.conflicts:
        return Outcome.CONFLICT, ", ".join(facts.conflicts)
    if facts.is_made:
        if action in (Action.CREATE_ONLINE, Action.CREATE_POS) and facts.made_minor == row.amount_minor:
            return Outcome.MADE, row.outcome
        amount = format_money(facts.made_minor, currency)
        return Outcome.DIFFERED, row.outcome or f"made with {amount}"
    if facts.is_open:
        return Outcome.NOT_YET, "under way"
    if facts.to_create and facts.is_owed:
        refused = f", refused by {' and '.join(facts.to_create)}" if facts.refused else ""
        return Outcome.NOT_YET, f"not made{refused}"
    if action in (Action.CREATE_ONLINE, Action.CREATE_POS):
        if facts.to_create or facts.balance_minor != planned:
            return Outcome.FELL_AWAY, row.outcome or IDLE
        return Outcome.ALREADY_SO, row.outcome or "it was there already"
    if action is Action.ADOPT and row.reason != SAME_ON_BOTH:
        return Outcome.DIFFERED, row.reason
    if action is Action.CONFLICT:
        return Outcome.DIFFERED, "a person settled it"
    if row.outcome:
        return Outcome.DIFFERED, row.outcome
    return Outcome.ALREADY_SO, "" if action is Action.ADOPT else row.reason
