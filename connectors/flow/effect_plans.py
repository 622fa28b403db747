"""Thinks a movement through before anything is sent: the order, its item, its settlement (flow.md §5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from connectors.api.effect import Effect, EffectKind
from connectors.api.errors import Refusal, Refused, SideClosed
from connectors.flow.discovery import Discovery
from connectors.flow.mapping import marker_of_order, x100_from_minor
from connectors.flow.model import FlowCard, FlowOrder, JsonObject
from connectors.flow.settings import FlowSettings
from mappings.money import MoneyError
from mappings.serials import Serial

#: What an order is told to be; saved with its uid.
WAY: Final = "way"
_QUANTITY_ONE_X100: Final = 100


class Way(StrEnum):
    """Which kind of order moves the money; saved with the order, because settings may change in between."""

    #: A sale that the card pays: money leaves the card.
    REDEEM = "redeem"
    #: The sale of a gift card: it is issued or topped up.
    LOAD = "load"
    #: A return that is paid out to the card.
    REFUND = "refund"


@dataclass(frozen=True)
class EffectPlan:
    """A movement, thought through before anything is sent."""

    effect: Effect
    serial: Serial
    way: Way
    amount_x100: int
    order_type: str
    #: Holds a card number when the way is LOAD.
    item: JsonObject = field(repr=False)

    @property
    def marker(self) -> str:
        return self.effect.marker

    @property
    def makes_card(self) -> bool:
        return self.effect.kind is EffectKind.CREATE


class EffectPlanner:
    """Makes drafts from effects, according to what is configured and discovered."""

    def __init__(self, settings: FlowSettings, discovery: Discovery) -> None:
        self._settings = settings
        self._discovery = discovery

    def draft(self, effect: Effect) -> EffectPlan:
        """Raises Refused for an effect that Flow cannot take, before anything is sent."""
        serial = effect.card.serial
        if serial is None:
            raise Refused(
                "Flow is asked by number, and the card's number is not known", Refusal.MISSING_DETAIL
            )
        if effect.amount_minor <= 0:
            raise ValueError("a movement needs a positive amount")
        if effect.currency != self._discovery.currency():
            raise Refused(f"the Flow store does not trade in {effect.currency}", Refusal.CURRENCY)
        try:
            amount_x100 = x100_from_minor(effect.amount_minor, effect.currency)
        except MoneyError as error:
            raise Refused(str(error), Refusal.CURRENCY) from None
        way = self._way(effect)
        return EffectPlan(
            effect=effect,
            serial=serial,
            way=way,
            amount_x100=amount_x100,
            order_type=self._settings.return_order_type if way is Way.REFUND else "ORDER",
            item=self._item(effect, serial, way, amount_x100),
        )

    def _way(self, effect: Effect) -> Way:
        """How this effect moves money here. Raises Refused when it is not switched on (flow.md §5, §9)."""
        saved = effect.progress.get(WAY)
        if saved is not None:
            return Way(saved)
        settings = self._settings
        if effect.kind is EffectKind.DEBIT and settings.api_settlement_debits:
            return Way.REDEEM
        if effect.kind in (EffectKind.CREATE, EffectKind.CREDIT) and settings.loads:
            return Way.LOAD
        if effect.kind is EffectKind.CREDIT and settings.refund_settlement_credits:
            return Way.REFUND
        raise Refused(f"no proved way to {effect.kind} a card in Flow is switched on", Refusal.MISSING_DETAIL)

    def _item(self, effect: Effect, serial: Serial, way: Way, amount_x100: int) -> JsonObject:
        settings = self._settings
        product_uid = settings.product_of(effect.brand) if way is Way.LOAD else settings.debit_product_uid
        if product_uid is None:
            raise Refused("no Flow product is configured for the card's brand", Refusal.MISSING_DETAIL)
        item = {
            "productUid": product_uid,
            "quantityOrdered": _QUANTITY_ONE_X100,
            "unitPrice": amount_x100,
        }
        if way is Way.LOAD and settings.item_number_field:
            new = effect.kind is EffectKind.CREATE
            return {**item, settings.item_number_field: serial.reveal() if new else serial.written}
        return item

    def settlement(self, draft: EffectPlan, card: FlowCard | None) -> JsonObject:
        """The body of the money step."""
        body = {"amount": draft.amount_x100, "externalPaymentReference": draft.marker}
        if draft.way is Way.LOAD:
            return {**body, "storePaymentMethodUid": self._discovery.external_method_uid()}
        method = self._discovery.method()
        if not (method.allow_refund if draft.way is Way.REFUND else method.allow_sale):
            raise SideClosed(
                f"Flow's gift-card payment method is not allowed to settle a {draft.way}",
                "Allow it for the payment method in Flow Admin, or switch that way off in the settings.",
            )
        parameters = [{"key": method.number_key, "value": draft.serial.written}]
        cvc = self._settings.cvc(draft.serial)
        is_needed = method.cvc_required or (card is not None and card.cvc_required)
        if is_needed and (cvc is None or method.cvc_key is None):
            raise Refused("the card needs a CVC that giftsync does not have", Refusal.MISSING_DETAIL)
        # The older edition does not say which card needs one (flow.md §3).
        if cvc is not None and method.cvc_key is not None:
            parameters.append({"key": method.cvc_key, "value": cvc})
        if draft.way is Way.REFUND and self._settings.refund_amounts_negative:
            body["amount"] = -draft.amount_x100
        uid = self._discovery.gift_card_method_uid()
        return {**body, "storePaymentMethodUid": uid, "parameters": parameters}

    def misfit(self, draft: EffectPlan, order: FlowOrder) -> str | None:
        """Why settling the order would not do what is meant; checked right before the money step."""
        if order.external_number and marker_of_order(order.external_number) != draft.marker:
            return "it carries another number than the marker"
        if len(order.items) != 1:
            # An item whose answer was lost can arrive after the one that replaced it.
            return f"it has {len(order.items)} items"
        (item,) = order.items
        if item.price_x100 not in (None, draft.amount_x100):
            return "its item has another price"
        if draft.way is Way.LOAD and item.number(self._settings.item_number_field) != draft.serial:
            return "its item does not carry the card's number"
        return None
