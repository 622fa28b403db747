"""What is owed compared with what each side shows, and every card that makes the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.api.side import Side
from sync.ledger.books import Apart, cards_apart, hub_totals, streaming
from sync.ledger.database.engine import Engine
from sync.ledger.secrets.vault import Vault
from sync.support.audit import FindingKind, audit


@dataclass(frozen=True)
class Difference:
    """A card that a side shows differently from what the hub owes on it. Amounts in minor units."""

    card_id: int
    side: str
    currency: str
    hub_minor: int
    #: None: the side did not tell.
    shown_minor: int | None
    why: str

    @property
    def off_minor(self) -> int:
        """What the side shows less what is owed; zero where it did not tell."""
        return 0 if self.shown_minor is None else self.shown_minor - self.hub_minor


@dataclass(frozen=True)
class Reconciled:
    """One side in one currency."""

    side: str
    currency: str
    hub_minor: int
    differences: tuple[Difference, ...]
    #: Cards or whole pages that could not be read there; then nothing is proved.
    unread: int

    @property
    def shown_minor(self) -> int:
        """What all of the link's cards show there together."""
        return self.hub_minor + sum(d.off_minor for d in self.differences)


def reconcile(
    engine: Engine, vault: Vault, clock: Callable[[], datetime], sides: Mapping[str, Side]
) -> list[Reconciled]:
    """Read every card on every side, and list card by card what differs from the hub."""
    live = audit(engine, vault, clock, sides)
    findings = list(live)
    moved = {
        (f.card_id, f.side): f.amount_minor
        for f in findings
        if f.kind is FindingKind.MOVED_SINCE and f.card_id
    }
    absent = {(f.card_id, f.side) for f in findings if f.kind is FindingKind.ABSENT}
    unread = {(f.card_id, f.side) for f in findings if f.kind is FindingKind.UNREAD}
    with streaming(engine) as connection:
        totals = hub_totals(connection)
        wanted = {card_id for card_id, _ in (*moved, *absent, *unread) if card_id is not None}
        apart = {side: list(cards_apart(connection, side, wanted)) for side in sides}
    found = []
    for currency, hub_minor in sorted(totals.items()):
        for side in sides:
            told = live.totals[currency].sides.get(side) if currency in live.totals else None
            differences = tuple(
                d
                for one in apart[side]
                if one.currency == currency
                for d in _difference(one, side, moved.get((one.card_id, side), 0), absent, unread)
            )
            found.append(Reconciled(side, currency, hub_minor, differences, told.unread if told else 0))
    return found


def _difference(
    one: Apart,
    side: str,
    moved_minor: int,
    absent: set[tuple[int | None, str | None]],
    unread: set[tuple[int | None, str | None]],
) -> Iterator[Difference]:
    why = []
    shown: int | None = one.shadow_minor - one.on_the_way_minor + moved_minor
    if not one.is_there:
        shown = 0
        why.append("the card is not there yet")
    elif (one.card_id, side) in absent:
        shown = 0
        why.append("the side does not show the card; it had it")
    elif (one.card_id, side) in unread:
        shown = None
        why.append("the side did not tell")
    elif moved_minor:
        why.append("moved there since the last look")
    if one.on_the_way_minor:
        why.append("an effect is on its way")
    if one.is_there and one.shadow_minor != one.hub_minor:
        why.append(f"kept apart: {one.hold}" if one.hold else "to be settled, or kept apart by a decision")
    if shown != one.hub_minor:
        yield Difference(one.card_id, side, one.currency, one.hub_minor, shown, "; ".join(why))
