"""Ground truth: every card as the sides really have it, together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cli.demo.control import TrueCard
from cli.demo.venue import Calls
from sync.ledger.views import CardRow

#: The ids of one card, each with its side.
Ends = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Group:
    """One card on every side where it is."""

    #: By side.
    cards: Mapping[str, TrueCard]
    #: Where it should be.
    sides: tuple[str, ...]

    def balance_minor(self, side: str) -> int:
        """Nothing where it is not."""
        card = self.cards.get(side)
        return 0 if card is None else card.balance_minor

    @property
    def agrees(self) -> bool:
        """The same balance on every side. An empty card may be missing on one."""
        return len({self.balance_minor(side) for side in self.sides}) == 1


@dataclass(frozen=True)
class Truth:
    """All sides at one moment, or as near to one as a call to each comes."""

    groups: tuple[Group, ...] = ()
    sides: tuple[str, ...] = ()

    @property
    def agreeing(self) -> int:
        return sum(group.agrees for group in self.groups)

    @property
    def in_step(self) -> bool:
        return self.agreeing == len(self.groups)

    @property
    def totals_minor(self) -> dict[str, int]:
        """What is on all cards, by side."""
        return {side: sum(one.balance_minor(side) for one in self.groups) for side in self.sides}


def read_truth(calls: Mapping[str, Calls], links: Iterable[Ends] = ()) -> Truth:
    """Ask every side. Cards with one number are one card, and so are those that a link names."""
    groups: list[dict[str, TrueCard]] = []
    by_serial: dict[str, dict[str, TrueCard]] = {}
    by_id: dict[tuple[str, str], dict[str, TrueCard]] = {}
    for side, asked in calls.items():
        for card in asked.cards():
            # A number that was generated in advance is no card until it is sold.
            if not card.issued and not card.balance_minor:
                continue
            group = by_serial.get(card.serial)
            if group is None or side in group:
                group = {}
                groups.append(group)
                by_serial.setdefault(card.serial, group)
            group[side] = card
            by_id[side, card.id] = group
    for ends in links:
        _join([by_id[end] for end in ends if end in by_id], by_id)
    sides = tuple(calls)
    return Truth(tuple(Group(group, sides) for group in groups if group), sides)


def _join(parts: Sequence[dict[str, TrueCard]], by_id: dict[tuple[str, str], dict[str, TrueCard]]) -> None:
    """Make one card of several. Two cards of one side stay two, so that a wrong link is seen."""
    for part in parts[1:]:
        whole = parts[0]
        if part is not whole and not whole.keys() & part.keys():
            whole.update(part)
            by_id |= {(side, card.id): whole for side, card in part.items()}
            part.clear()


def links_of(cards: Iterable[CardRow]) -> list[Ends]:
    """Which cards of different sides belong together: the one thing that only the ledger knows."""
    return list(_links(cards))


def _links(cards: Iterable[CardRow]) -> Iterator[Ends]:
    for card in cards:
        ends = [(p.side, p.native_id) for p in card.presences if p.native_id is not None]
        if len(ends) > 1:
            yield ends
