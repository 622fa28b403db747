"""How people call the sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.api.capabilities import Place
from connectors.api.side import Side, place_of
from mappings.sentences import Sentence, renamed


@dataclass(frozen=True)
class Places:
    """The words of each side for where it is, by its name."""

    by_side: Mapping[str, Place] = field(default_factory=dict)

    @staticmethod
    def of(sides: Mapping[str, Side]) -> Places:
        return Places({name: place_of(side) for name, side in sides.items()})

    def where(self, side: str) -> str:
        """Where a customer uses the card: `store`, `online`."""
        found = self.by_side.get(side)
        return (found.where if found is not None else "") or side

    def at(self, side: str) -> str:
        """`in the store`, `online`."""
        found = self.by_side.get(side)
        return (found.at if found is not None else "") or f"on {side}"

    def system(self, side: str) -> str:
        """The system by its name: as its people call it."""
        found = self.by_side.get(side)
        return found.name if found is not None else side

    def said(self, sentence: Sentence) -> str:
        """The sentence with every side called by its name."""
        return renamed(sentence, self.system)
