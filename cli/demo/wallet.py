"""The cards in people's hands: what each needs to be used on every side."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

PICKS_MAX = 20


@dataclass
class Held:
    """One card."""

    #: Its number by side: it works there once the card exists there.
    serials: dict[str, str] = field(default_factory=dict, repr=False)
    #: What its owner believes to be on it.
    balance_minor: int = 0


class Wallet:
    """Every card there is. Thread-safe."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        self._by_serial: dict[tuple[str, str], Held] = {}
        self._lock = threading.Lock()

    def hold(self, serials: Mapping[str, str], balance_minor: int = 0) -> Held:
        """The card with these numbers, by side: the one that is held already, or a new one."""
        with self._lock:
            known = [self._by_serial[end] for end in serials.items() if end in self._by_serial]
            card = known[0] if known else Held()
            if not known:
                self._held.append(card)
            for other in known:
                if other is not card and other in self._held:
                    # A card bought online was seen in the store before it was known to be the same.
                    self._held.remove(other)
                    card.serials |= other.serials
            card.serials |= serials
            card.balance_minor = balance_minor
            self._by_serial |= dict.fromkeys(card.serials.items(), card)
        return card

    def pick(self, chance: random.Random, *, side: str, minimum_minor: int) -> tuple[Held, str] | None:
        """Any card that works there and is thought to hold so much, with its number; None after a few
        tries."""
        with self._lock:
            for _ in range(PICKS_MAX if self._held else 0):
                card = chance.choice(self._held)
                serial = card.serials.get(side)
                if serial is not None and card.balance_minor >= minimum_minor:
                    return card, serial
        return None
