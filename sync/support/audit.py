"""The proof: every card recomputed from its movements and intents, and compared with the sides when asked.

    report = audit(engine, vault, clock)
    for finding in report:          # streams, a page of cards at a time
        ...
    report.totals, report.exit_code

Memory is flat: a page of cards with their rows is held, never all of them. A page is read in one state of the
ledger, so the worker may go on meanwhile. What is checked, and the equations, are in
`sync.ledger.proof.verify`; what the hash chain does and does not show is in docs/explanation/ledger.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.errors import NoAnswer, SideClosed
from connectors.api.side import Side
from sync.ledger.cards.versions import changed_since
from sync.ledger.database.engine import Engine
from sync.ledger.proof.findings import (
    OPEN,
    CardRows,
    Finding,
    FindingKind,
    Row,
    money,
)
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.verify import check_card, is_worth_proved
from sync.ledger.secrets.key_proof import prove_key
from sync.ledger.secrets.vault import Vault
from sync.ledger.sides.identities import currencies
from sync.model import Hold, MovementKind

__all__ = ["Audit", "Finding", "FindingKind", "SideTotals", "Totals", "audit"]

#: A side that fails so often in a row is not asked again in this audit.
SIDE_FAILURES_MAX = 3

Progress = Callable[[int], None]
Compared = Callable[[Sequence[int]], Collection[int]]


@dataclass
class SideTotals:
    """All cards of one currency on one side. Amounts in minor units."""

    cards: int = 0
    #: What the side shows once everything on the way has landed.
    shadow_minor: int = 0
    #: Signed sum of the open intents: promised, not confirmed.
    on_the_way_minor: int = 0
    #: Live: presences that were read, and what they show together.
    read: int = 0
    shown_minor: int = 0
    #: Live: presences that show something else than their shadow, and by how much together.
    moved: int = 0
    moved_minor: int = 0
    #: Live: presences that the side does not show, that could not be read, or that were being worked on.
    absent: int = 0
    unread: int = 0
    busy: int = 0


@dataclass
class Totals:
    """The proof for one currency. Signed amounts in minor units; `hub_minor` is what they come to.

    opening + came_in + went_out + written_off + resolved + closed = hub
    """

    cards: int = 0
    opening_minor: int = 0
    came_in_minor: int = 0
    #: Zero or less.
    went_out_minor: int = 0
    written_off_minor: int = 0
    resolved_minor: int = 0
    closed_minor: int = 0
    #: The hub balances of all cards.
    hub_minor: int = 0
    #: Cards that do not verify, and what of `hub_minor` is theirs.
    unverified: int = 0
    unverified_minor: int = 0
    sides: dict[str, SideTotals] = field(default_factory=dict)

    @property
    def sum_minor(self) -> int:
        """What the movements come to."""
        return (
            self.opening_minor
            + self.came_in_minor
            + self.went_out_minor
            + self.written_off_minor
            + self.resolved_minor
            + self.closed_minor
        )

    def side(self, name: str) -> SideTotals:
        return self.sides.setdefault(name, SideTotals())


def audit(
    engine: Engine,
    vault: Vault,
    clock: Callable[[], datetime],
    sides: Mapping[str, Side] | None = None,
    progress: Progress = lambda cards: None,
    compared: Compared | None = None,
) -> Audit:
    """An audit to iterate over once. With `sides`, each presence is read there and compared with its shadow.

    Iterating raises VaultError when the key is not the one of this ledger. `progress` is told the number of
    cards checked so far. `compared` picks, of some card ids, those that are read on their sides; None: all.
    """
    return Audit(engine, vault, clock, sides or {}, progress, compared)


@dataclass
class Audit:
    """Yields findings as they are found; the counts and totals are complete once it has ended."""

    engine: Engine
    vault: Vault
    clock: Callable[[], datetime]
    sides: Mapping[str, Side]
    progress: Progress = lambda cards: None
    compared: Compared | None = None
    cards: int = field(default=0, init=False)
    movements: int = field(default=0, init=False)
    intents: int = field(default=0, init=False)
    intent_states: int = field(default=0, init=False)
    #: By currency.
    totals: dict[str, Totals] = field(default_factory=dict, init=False)
    #: How many findings of each kind.
    found: dict[FindingKind, int] = field(default_factory=dict, init=False)
    started_at: datetime | None = field(default=None, init=False)
    ended_at: datetime | None = field(default=None, init=False)
    #: By side.
    _currencies: Mapping[str, str] = field(default_factory=dict, init=False)
    _failures: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def discrepancies(self) -> int:
        """Findings in which the ledger contradicts itself."""
        return sum(count for kind, count in self.found.items() if kind.is_discrepancy)

    @property
    def unread(self) -> int:
        """Presences that a live audit could not read."""
        return sum(side.unread for totals in self.totals.values() for side in totals.sides.values())

    @property
    def exit_code(self) -> int:
        """0: everything comes out. 2: a discrepancy, or a side that could not be read."""
        return 2 if self.discrepancies or self.unread or self.ended_at is None else 0

    def __iter__(self) -> Iterator[Finding]:
        for finding in self._findings():
            self.found[finding.kind] = self.found.get(finding.kind, 0) + 1
            yield finding

    def _findings(self) -> Iterator[Finding]:
        self.started_at = self.clock()
        currency_of = self._currencies = self._open()
        for page in read_pages(self.engine):
            for rows in page:
                found = list(check_card(rows, self.vault, currency_of))
                yield from found
                self._count(rows, verified=not found or is_worth_proved(rows, self.vault))
            chosen = self._compared_of(page)
            for side in self.sides.values():
                yield from self._compare(side, chosen)
            self.progress(self.cards)
        self.ended_at = self.clock()

    def _open(self) -> dict[str, str]:
        """The currency of each side. Tries the key on one serial: a wrong one would blame every row."""
        prove_key(self.engine, self.vault)
        return currencies(self.engine)

    # --- the ledger -----------------------------------------------------------------------------------------

    def _count(self, rows: CardRows, *, verified: bool) -> None:
        if rows.card is None:
            return
        self.cards += 1
        self.movements += len(rows.movements)
        self.intents += len(rows.intents)
        self.intent_states += len(rows.intent_states)
        totals = self.totals.setdefault(self._currency(rows.card), Totals())
        totals.cards += 1
        totals.hub_minor += _number(rows.card["balance_minor"])
        if not verified:
            totals.unverified += 1
            totals.unverified_minor += _number(rows.card["balance_minor"])
        for m in rows.movements:
            _add_movement(totals, m["kind"], _number(m["amount_minor"]))
        for p in rows.presences:
            side = totals.side(p["side"])
            side.cards += bool(p["born"])
            side.shadow_minor += _number(p["shadow_minor"])
        for intent in rows.intents:
            if intent["state"] in OPEN:
                totals.side(intent["side"]).on_the_way_minor += _number(intent["amount_minor"])

    def _currency(self, card: Row) -> str:
        """The card's, unless no side has it: then somebody overwrote it, which has been found."""
        known, said = self._currencies.values(), str(card["currency"])
        return said if said in known or not known else next(iter(known))

    # --- the sides ------------------------------------------------------------------------------------------

    def _compared_of(self, page: Sequence[CardRows]) -> Sequence[CardRows]:
        if self.compared is None or not self.sides:
            return page
        wanted = self.compared([rows.card["id"] for rows in page if rows.card is not None])
        return [rows for rows in page if rows.card is not None and rows.card["id"] in wanted]

    def _compare(self, side: Side, page: Sequence[CardRows]) -> Iterator[Finding]:
        """Read the page's presences there, outside any transaction, and list what differs."""
        asked = [one for rows in page for one in _quiet_presences(rows, side.name)]
        answers = self._ask(side, asked)
        differing: list[tuple[Row, Row, Observation]] = []
        for card, p in asked:
            answer = next(answers, None)
            if isinstance(answer, Finding):
                yield answer
            elif isinstance(answer, Unreadable):
                yield _unread(side.name, f"{side.name} did not tell what it shows: {answer.reason}.", card)
            if self._differs(answer, side.name, card, p):
                differing.append((card, p, answer))
        changed = self._changed_since([card for card, _, _ in differing])
        for card, p, answer in differing:
            totals = self.totals[self._currency(card)].side(side.name)
            if card["id"] in changed:
                totals.busy += 1
            else:
                yield _difference(side.name, card, p, answer, totals)

    def _ask(self, side: Side, asked: Sequence[tuple[Row, Row]]) -> Iterator[Observation | Finding]:
        """The side's answers in order; a Finding ends them when it fails."""
        if not asked or self._failures.get(side.name, 0) >= SIDE_FAILURES_MAX:
            return
        try:
            yield from side.observe([self._reference(p) for _, p in asked], urgent=False)
        except (NoAnswer, SideClosed) as error:
            closed = isinstance(error, SideClosed)
            self._failures[side.name] = SIDE_FAILURES_MAX if closed else self._failures.get(side.name, 0) + 1
            yield _unread(side.name, f"{side.name} could not be read: {error}.")
        else:
            self._failures[side.name] = 0

    def _reference(self, p: Row) -> CardRef:
        sealed = p["serial_sealed"]
        return CardRef(p["native_id"], None if sealed is None else self.vault.open(sealed))

    def _differs(
        self, answer: Observation | Finding | None, side: str, card: Row, p: Row
    ) -> TypeGuard[Observation]:
        """Count one answer; whether it is another than the shadow."""
        totals = self.totals[self._currency(card)].side(side)
        if isinstance(answer, Absent):
            known = p["hold"] == Hold.MISSING.value
            totals.absent += known
            return not known
        if not isinstance(answer, Seen):
            totals.unread += 1
            return False
        totals.read += 1
        totals.shown_minor += answer.balance_minor
        return answer.balance_minor != _number(p["shadow_minor"])

    def _changed_since(self, cards: Sequence[Row]) -> set[int]:
        """Cards that were worked on while their side was asked; what they showed says nothing."""
        return changed_since(self.engine, {card["id"]: card["version"] for card in cards})


def _number(value: Any) -> int:
    """Zero for what is no number; that it is none has been found."""
    return value if isinstance(value, int) else 0


def _add_movement(totals: Totals, kind: str, amount_minor: int) -> None:
    match kind:
        case MovementKind.OPENING:
            totals.opening_minor += amount_minor
        case MovementKind.LOAD | MovementKind.REVERSAL:
            totals.came_in_minor += amount_minor
        case MovementKind.REDEMPTION:
            totals.went_out_minor += amount_minor
        case MovementKind.OBSERVED if amount_minor > 0:
            totals.came_in_minor += amount_minor
        case MovementKind.OBSERVED:
            totals.went_out_minor += amount_minor
        case MovementKind.WRITE_OFF:
            totals.written_off_minor += amount_minor
        case MovementKind.CLOSED:
            totals.closed_minor += amount_minor
        case _:
            # A person's word or the link's policy. Adopted and echoed balances move shadows only.
            totals.resolved_minor += amount_minor


def _quiet_presences(rows: CardRows, side: str) -> Iterator[tuple[Row, Row]]:
    """The card with its presence on the side, if that is there and nothing is on the way to it."""
    busy = {i["side"] for i in rows.intents if i["state"] in OPEN}
    for p in rows.presences:
        if rows.card is not None and p["side"] == side and p["born"] and side not in busy:
            yield rows.card, p


def _difference(side: str, card: Row, p: Row, answer: Observation, totals: SideTotals) -> Finding:
    currency = card["currency"]
    about: dict[str, Any] = {"card_id": card["id"], "side": side, "table": "presences", "currency": currency}
    if not isinstance(answer, Seen):
        totals.absent += 1
        return Finding(FindingKind.ABSENT, f"{side} does not show the card; it had it.", **about)
    by = answer.balance_minor - _number(p["shadow_minor"])
    totals.moved += 1
    totals.moved_minor += by
    words = f"{side} shows {money(answer.balance_minor, currency)}: {money(by, currency)} not yet taken in."
    return Finding(FindingKind.MOVED_SINCE, words, amount_minor=by, **about)


def _unread(side: str, words: str, card: Row | None = None) -> Finding:
    card_id = None if card is None else card["id"]
    return Finding(FindingKind.UNREAD, words, card_id, side=side)
