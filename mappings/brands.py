"""Kinds of cards: what each is called on each side, and which are left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Brands:
    """A merchant's brands. Names are compared without regard to case and to spaces around them."""

    #: One row for each kind of card: its name by side.
    rows: Sequence[Mapping[str, str]] = ()
    #: By side, the names of kinds that are not kept in step.
    excluded: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def excludes(self, side: str, brand: str) -> bool:
        names = self.excluded.get(side, ())
        return bool(names) and _plain(brand) in map(_plain, names)

    def translate(self, side: str, brand: str, other: str) -> str | None:
        """What a brand of `side` is called on the other one; None when nothing is said about it."""
        for row in self.rows:
            if brand and side in row and _plain(row[side]) == _plain(brand):
                return row.get(other)
        return None


def _plain(name: str) -> str:
    return name.strip().casefold()
