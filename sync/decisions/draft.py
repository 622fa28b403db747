"""A decision in the making: the card as it changes, and what leads there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sync.model import (
    Card,
    Decision,
    IntentChange,
    MovementKind,
    NewConflict,
    NewIntent,
    NewMovement,
    Presence,
)


@dataclass
class Draft:
    """Changed in place by one decision; `decision` is its end."""

    card: Card
    movements: list[NewMovement] = field(default_factory=list)
    intents: list[NewIntent] = field(default_factory=list)
    intent_changes: list[IntentChange] = field(default_factory=list)
    conflicts: list[NewConflict] = field(default_factory=list)
    causes_gone: list[str] = field(default_factory=list)

    def presence(self, side: str) -> Presence:
        return self.card.presence(side)

    def put(self, changed: Presence) -> None:
        presences = tuple(changed if p.side == changed.side else p for p in self.card.presences)
        self.card = replace(self.card, presences=presences)

    def move(
        self,
        kind: MovementKind,
        side: str | None,
        amount_minor: int,
        shadow_delta_minor: int,
        evidence: Mapping[str, object] | None = None,
    ) -> None:
        balance = self.card.balance_minor + amount_minor
        self.card = replace(self.card, balance_minor=balance)
        if side is not None:
            p = self.presence(side)
            self.put(replace(p, shadow_minor=p.shadow_minor + shadow_delta_minor))
        self.movements.append(
            NewMovement(kind, side, amount_minor, shadow_delta_minor, balance, evidence or {})
        )

    def _is_news(self, conflict: NewConflict) -> bool:
        known = self.card.causes.get(conflict.cause)
        stays_ignored = conflict.cause in self.card.ignored and not conflict.stake_is_news
        return known is None or (known != conflict.amount_minor and not stays_ignored)

    def decision(self) -> Decision:
        known = self.card.causes
        return Decision(
            self.card,
            tuple(self.movements),
            tuple(self.intents),
            tuple(self.intent_changes),
            tuple(c for c in self.conflicts if self._is_news(c)),
            tuple(cause for cause in self.causes_gone if cause in known),
        )
