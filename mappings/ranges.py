"""Ranges of store numbers that begin alike: two uses of numbers must never be able to meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mappings.serials import Serial

#: The card numbers of stores' systems (flow.md §3).
POS_NUMBER_DIGITS: Final = 16


@dataclass(frozen=True)
class NumberRange:
    """Every number of `length` digits that begins with `prefix`, and what it is for, in words."""

    name: str
    prefix: str
    length: int = POS_NUMBER_DIGITS

    def __post_init__(self) -> None:
        # "²".isdigit() holds, and no till can type it.
        if not (self.prefix.isascii() and self.prefix.isdigit()):
            raise ValueError(f"{self.name}: a range begins with digits")
        if len(self.prefix) >= self.length:
            raise ValueError(f"{self.name}: {len(self.prefix)} digits leave none of {self.length} to choose")

    def __contains__(self, serial: object) -> bool:
        if not isinstance(serial, Serial):
            return False
        text = serial.reveal()
        return len(text) == self.length and text.isdigit() and text.startswith(self.prefix)


def inside(taken: NumberRange, serials: Iterable[Serial]) -> int:
    """How many of the serials are in the range."""
    return sum(serial in taken for serial in serials)
