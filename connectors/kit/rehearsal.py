"""A side that answers every question for real and carries nothing out: what a dry run writes to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from connectors.api.abilities import Abilities
from connectors.api.capabilities import Capabilities, Identity, Usage
from connectors.api.card import CardRef, Observation
from connectors.api.effect import Applied, Effect, FindResult, Save
from connectors.api.feed import Feed, HintPage
from connectors.api.side import Side
from mappings.serials import Serial


class RehearsedSide:
    """Wraps a side; `effects` lists what would have been carried out, in order."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._lock = threading.Lock()
        self.effects: list[Effect] = []

    @property
    def name(self) -> str:
        return self._side.name

    @property
    def capabilities(self) -> Capabilities:
        return self._side.capabilities

    @property
    def feeds(self) -> Sequence[Feed]:
        return self._side.feeds

    def identify(self) -> Identity:
        return self._side.identify()

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        return self._side.observe(cards, entries=entries, urgent=urgent)

    def lookup(self, serial: Serial) -> Observation:
        return self._side.lookup(serial)

    def apply(self, effect: Effect, save: Save) -> Applied:
        with self._lock:
            self.effects.append(effect)
        return Applied(effect.card.native_id or f"rehearsed:{effect.marker}")

    def find(self, effect: Effect) -> FindResult:
        return self._side.find(effect)

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        return self._side.hints(feed, cursor)

    @property
    def abilities(self) -> Abilities:
        """What only reads is asked of the side itself."""
        return self._side.abilities.reading()

    def usage(self) -> Usage:
        return self._side.usage()

    def close(self) -> None:
        self._side.close()
