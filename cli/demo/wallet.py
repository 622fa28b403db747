"""The cards in people's hands: what each needs to be used in the store and online."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

PICKS_MAX = 20


@dataclass
class Held:
    """One card. Its number works in the store and its code online, each once the card exists there."""

    number: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    #: What its owner believes to be on it.
    balance_minor: int = 0


class Wallet:
    """Every card there is. Thread-safe."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        self._by_number: dict[str, Held] = {}
        self._by_code: dict[str, Held] = {}
        self._lock = threading.Lock()

    def hold(self, *, number: str | None, code: str | None, balance_minor: int = 0) -> Held:
        """The card with this number or code: the one that is held already, or a new one."""
        with self._lock:
            by_number, by_code = self._by_number.get(number or ""), self._by_code.get(code or "")
            card = by_code or by_number
            if by_number is not None and by_number is not card:
                # A card bought online was seen in the store before it was known to be the same.
                self._held.remove(by_number)
            if card is None:
                card = Held()
                self._held.append(card)
            card.number, card.code = number or card.number, code or card.code
            card.balance_minor = balance_minor
            if number is not None:
                self._by_number[number] = card
            if code is not None:
                self._by_code[code] = card
        return card

    def pick(self, chance: random.Random, *, online: bool, minimum_minor: int) -> Held | None:
        """Any card that works there and is thought to hold so much; None after a few tries."""
        with self._lock:
            for _ in range(PICKS_MAX if self._held else 0):
                card = chance.choice(self._held)
                works = card.code if online else card.number
                if works is not None and card.balance_minor >= minimum_minor:
                    return card
        return None
