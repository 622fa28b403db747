"""A decision in the making: the card as it changes, and what leads there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypedDict, Unpack

from connectors.api.errors import Refusal
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions.promises import withdraw, without
from sync.model import (
    Card,
    Decision,
    Hold,
    HubEntry,
    Intent,
    IntentChange,
    IntentState,
    MovementKind,
    NewConflict,
    NewIntent,
    NewMovement,
    NewRedemption,
    Presence,
    RedemptionChange,
    altered,
)


class PresenceChange(TypedDict, total=False):
    """The fields of a presence that decisions change."""

    native_id: str | None
    serial: Serial | None
    last_chars: str
    shadow_minor: int
    shadow_status: CardStatus
    shadow_expires_on: date | None
    born: bool
    stale: bool
    hold: Hold | None
    refusal: Refusal | None
    refusals: int
    unreadable: int
    book_cursor: str | None
    book_digest: str | None
    brand: str | None
    needs_cvc: bool
    contact: Contact | None


@dataclass
class Draft:
    """Changed in place by one decision; `decision` is its end.

    A presence is changed field by field, as it is now: nobody writes back a copy that has become old.
    """

    card: Card
    movements: list[NewMovement] = field(default_factory=list)
    intents: list[NewIntent] = field(default_factory=list)
    intent_changes: list[IntentChange] = field(default_factory=list)
    conflicts: list[NewConflict] = field(default_factory=list)
    causes_gone: list[str] = field(default_factory=list)
    new_redemptions: list[NewRedemption] = field(default_factory=list)
    redemption_changes: list[RedemptionChange] = field(default_factory=list)
    entries: list[HubEntry] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)

    def presence(self, side: str) -> Presence:
        return self.card.presence(side)

    def change(self, side: str, **fields: Unpack[PresenceChange]) -> Presence:
        """Change these fields of the side's presence; returns it as it is then."""
        return self._put(altered(self.presence(side), **fields))

    def withdraw(
        self,
        intent: Intent,
        reason: str,
        state: IntentState = IntentState.WITHDRAWN,
        refusal: Refusal | None = None,
    ) -> None:
        """Take back the promise of an intent that has not happened, and will not."""
        self.intent_changes.append(IntentChange(intent.marker, state, reason, refusal=refusal))
        self._put(withdraw(self.presence(intent.side), intent))

    def withdraw_all(self, intents: Sequence[Intent], reason: str) -> None:
        """Take back promises that rest on each other: the last planned first."""
        for intent in reversed(intents):
            self.withdraw(intent, reason)

    def end(self, intent: Intent, state: IntentState, reason: str, landings: int | None = None) -> None:
        """The intent is over; what was promised with it stays promised."""
        self.intent_changes.append(IntentChange(intent.marker, state, reason, landings=landings))
        self._put(without(self.presence(intent.side), intent))

    def create_anew(self, side: str, serial: Serial) -> None:
        """Nothing is left of the side's presence but what the card is to look like there."""
        p = self.presence(side)
        fresh = Presence(side, None, serial, serial.last_chars, 0, CardStatus.ACTIVE, None, born=False)
        self._put(replace(fresh, id=p.id, brand=p.brand, note=p.note))

    def _put(self, changed: Presence) -> Presence:
        presences = tuple(changed if p.side == changed.side else p for p in self.card.presences)
        self.card = altered(self.card, presences=presences)
        return changed

    def move(
        self,
        kind: MovementKind,
        side: str | None,
        amount_minor: int,
        shadow_delta_minor: int,
        evidence: Mapping[str, object] | None = None,
    ) -> None:
        balance = self.card.balance_minor + amount_minor
        self.card = altered(self.card, balance_minor=balance)
        if side is not None:
            self.change(side, shadow_minor=self.presence(side).shadow_minor + shadow_delta_minor)
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
            new_redemptions=tuple(self.new_redemptions),
            redemption_changes=tuple(self.redemption_changes),
            entries=tuple(self.entries),
            entered=tuple(self.entered),
        )
