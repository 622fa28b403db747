"""Sets status and expiry of a Flow card by PUT: idempotent, confirmed by what the card shows (flow.md §3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import Refusal, Refused
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.doubt import before_money
from connectors.flow.mapping import expiry_date, expiry_instant, instant_text, status_change
from connectors.flow.model import FlowCard
from connectors.flow.refusals import refusal_of_hint, status_of
from connectors.flow.settings import FlowSettings
from mappings.lifecycle import CardStatus
from mappings.serials import Serial


class Changes:
    """Carries out set_status and set_expiry. Thread-safe."""

    def __init__(self, client: FlowClient, settings: FlowSettings, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock

    def apply(self, effect: Effect, save: Save) -> Applied:
        """Change the card unless it already is as wanted."""
        serial = effect.card.serial
        if serial is None:
            raise Refused(
                "Flow is asked by number, and the card's number is not known", Refusal.MISSING_DETAIL
            )
        changes = self._changes(effect)
        with before_money():
            card = self._card(serial)
        if card is None:
            raise Refused("Flow has no such card", Refusal.NOT_FOUND)
        if effect.card.native_id not in (None, card.native_id):
            raise Refused("the number belongs to another card in Flow than before", Refusal.NOT_FOUND)
        if self._shows(effect, card):
            return Applied(card.native_id)
        self._check(effect, card)
        if effect.status is CardStatus.CLOSED and card.balance_x100:
            # Clearing takes the balance without a movement record (flow.md §5): keep what it was.
            save({"cleared_balance_x100": str(card.balance_x100)})
        try:
            changed = self._client.change_card(serial, changes)
        except Rejected as rejected:
            raise refusal_of_hint(rejected.hint, rejected.what) from None
        if not self._shows(effect, changed):
            raise Refused("Flow answered yes, but the card did not change", Refusal.OTHER, card.native_id)
        return Applied(changed.native_id)

    def find(self, effect: Effect) -> FindResult:
        """Compare the card with what is wanted: such a change needs no marker."""
        if effect.card.serial is None:
            return NotFound()
        try:
            card = self._client.card(effect.card.serial)
        except Rejected:
            return CannotTell("Flow refuses to show the card")
        if card is None or not self._shows(effect, card):
            return NotFound()
        return Found(1, card.native_id)

    def _card(self, serial: Serial) -> FlowCard | None:
        try:
            return self._client.card(serial)
        except Rejected as rejected:
            raise refusal_of_hint(rejected.hint, rejected.what) from None

    def _changes(self, effect: Effect) -> Mapping[str, object]:
        """The keys to change. Raises Refused for what cannot be written."""
        if effect.kind is EffectKind.SET_EXPIRY:
            if effect.expires_on is None:
                return {"validTo": None}
            try:
                return {"validTo": instant_text(expiry_instant(effect.expires_on, self._settings.zone))}
            except ValueError as error:
                raise Refused(str(error)) from None
        changes = None
        if effect.status in self._settings.settable_statuses and effect.status is not None:
            changes = status_change(
                effect.status,
                self._settings.suspended_status,
                by_active_flag=self._settings.status_by_active_flag,
            )
        if changes is None:
            raise Refused(f"no way to set {effect.status} in Flow is switched on", Refusal.MISSING_DETAIL)
        return changes

    def _check(self, effect: Effect, card: FlowCard) -> None:
        """Raise Refused for a change that no machine makes."""
        if effect.kind is not EffectKind.SET_STATUS:
            return
        status = status_of(card, self._clock())
        if status is None:
            raise Refused(
                "the card has a status that giftsync does not know", Refusal.NOT_ACTIVE, card.native_id
            )
        if status is CardStatus.CLOSED:
            raise Refused("the card is closed in Flow, which is final", Refusal.NOT_ACTIVE, card.native_id)

    def _shows(self, effect: Effect, card: FlowCard) -> bool:
        """Whether the card already is as wanted."""
        if effect.kind is EffectKind.SET_EXPIRY:
            return expiry_date(card.valid_to, self._settings.zone) == effect.expires_on
        if effect.status is CardStatus.SUSPENDED and self._settings.suspended_status == card.status_text:
            # An emptied card that is switched off reads as never sold; it is suspended all the same.
            return card.status_text is not None or card.active is False
        return status_of(card, self._clock()) is effect.status
