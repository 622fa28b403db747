"""What stores owe each other for value sold in one and redeemed in another (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sync.books.entries import Place
from sync.books.lots import Use


@dataclass(frozen=True)
class Pair:
    """The net of two places: `debtor` owes `creditor` `net_minor`, which is positive or zero."""

    debtor: str
    creditor: str
    #: Sold by the debtor and redeemed by the creditor, and the other way round.
    redeemed_minor: int
    returned_minor: int

    @property
    def net_minor(self) -> int:
        return self.redeemed_minor - self.returned_minor


@dataclass(frozen=True)
class StoreStatement:
    """One place: what it redeemed for others, what others redeemed for it, and its position."""

    place: str
    #: Its own value, redeemed by itself: settled already.
    own_minor: int
    #: Others' value that it gave goods for: they owe it.
    for_others_minor: int
    #: Its value that others gave goods for: it owes them.
    by_others_minor: int

    @property
    def position_minor(self) -> int:
        """Positive: it is owed money. All positions together are zero."""
        return self.for_others_minor - self.by_others_minor


@dataclass
class Settlement:
    """Value redeemed in the period, by where it was put on cards and where it was used."""

    matrix: dict[tuple[Place, Place], int] = field(default_factory=dict)

    def add(self, uses: Iterable[Use]) -> None:
        for use in uses:
            key = (use.issued, use.redeemed)
            self.matrix[key] = self.matrix.get(key, 0) + use.amount_minor

    def pairs(self) -> list[Pair]:
        """One line for each two places with anything between them, in the order of their names."""
        return pairs_of({(a.label, b.label): amount for (a, b), amount in self.matrix.items()})

    def places(self) -> list[StoreStatement]:
        return places_of({(a.label, b.label): amount for (a, b), amount in self.matrix.items()})


def pairs_of(matrix: Mapping[tuple[str, str], int]) -> list[Pair]:
    """The net line of each pair of places, from amounts by (issued, redeemed)."""
    found = []
    for one, other in sorted({(min(pair), max(pair)) for pair in matrix if pair[0] != pair[1]}):
        forth, back = matrix.get((one, other), 0), matrix.get((other, one), 0)
        if forth >= back:
            found.append(Pair(one, other, forth, back))
        else:
            found.append(Pair(other, one, back, forth))
    return found


def places_of(matrix: Mapping[tuple[str, str], int]) -> list[StoreStatement]:
    """A statement for every place, from amounts by (issued, redeemed)."""
    names = sorted({place for pair in matrix for place in pair})
    return [
        StoreStatement(
            name,
            matrix.get((name, name), 0),
            sum(amount for (a, b), amount in matrix.items() if b == name and a != name),
            sum(amount for (a, b), amount in matrix.items() if a == name and b != name),
        )
        for name in names
    ]
