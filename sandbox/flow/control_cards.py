"""Cards as the control plane wants them: made or changed as told, shown wrongly, or gone."""

from __future__ import annotations

from sandbox.control_values import ControlError, Json, any_status, flag, moment, only, signed_minor, text
from sandbox.control_values import currency as read_currency
from sandbox.flow.behaviour import STATUS_ACTIVE, STATUS_INACTIVE
from sandbox.flow.catalog import Brand, countries_with
from sandbox.flow.model import LEFT_OUT, Card, Movement, MovementKind
from sandbox.flow.values import instant_text, money_text, to_ms
from sandbox.flow.world import World

NUMBER_LENGTH_MAX = 64
#: Everything that a card's answer has (flow.md §3), in either edition.
_SHOWABLE = (
    "balance",
    "cardId",
    "cardNumber",
    "validTo",
    "brandId",
    "brandName",
    "issuerName",
    "note",
    "status",
    "cvcRequired",
    "legacyCardNumber",
    "active",
)
_DECIMALS = 2


class CardControl:
    """The control calls about single cards of one tenant."""

    def __init__(self, world: World) -> None:
        self._world = world

    def card(self, body: Json) -> Json:
        """`{"number", "balance"?, "status"?, "valid_to"?, "brand"?, …}`: make or change a card as told.

        Further keys: "note", "legacy_number", "issued", "cvc_required". Nothing is checked and no order is
        made: the balance may be negative, the status any word. A card of a new number is ACTIVE unless told
        otherwise; with `"issued": false` it waits to be sold.
        """
        only(
            body,
            *("number", "balance", "status", "valid_to", "brand", "note", "legacy_number", "issued"),
            "cvc_required",
        )
        number = text(body, "number", longest=NUMBER_LENGTH_MAX)
        balance = signed_minor(body, "balance", _DECIMALS) if "balance" in body else None
        status = any_status(body) if "status" in body else None
        valid_to_ms = to_ms(moment(body, "valid_to")) if body.get("valid_to") is not None else None
        issued = flag(body, "issued") if "issued" in body else None
        cvc_required = flag(body, "cvc_required") if "cvc_required" in body else None
        note = text(body, "note") if body.get("note") else ""
        legacy = text(body, "legacy_number", longest=NUMBER_LENGTH_MAX) if body.get("legacy_number") else ""
        brand = self._brand(body) if "brand" in body else None
        world = self._world
        card = world.cards.find(number)
        if card is None:
            issued = True if issued is None else issued
            status = status or (STATUS_ACTIVE if issued else STATUS_INACTIVE)
            card = world.cards.add(number, brand or world.brands[0], legacy_number=legacy)
        elif brand not in (None, card.brand) or legacy:
            raise ControlError(409, "a card keeps its brand and its legacy number")
        if issued is not None:
            card.issued = issued
        if status is not None:
            card.status = status
        if "valid_to" in body:
            card.valid_to_ms = valid_to_ms
        if "note" in body:
            card.note = note
        if cvc_required is not None:
            card.cvc_required = cvc_required
        if balance is not None and balance != card.balance:
            card.move(Movement(MovementKind.ADJUST, balance - card.balance, world.now_ms(), "", 0))
        return {
            "number": card.number,
            "cvc": world.cards.cvc(card),
            "balance": money_text(card.balance),
            "status": card.status,
            "valid_to": None if card.valid_to_ms is None else instant_text(card.valid_to_ms),
        }

    def show(self, body: Json) -> Json:
        """`{"number", "fields"?: {…}, "without"?: […]}`: let the API answer other values for a card.

        The values are sent as they are, of whatever type; what `without` names is left out. With neither the
        API answers the truth again.
        """
        only(body, "number", "fields", "without")
        card = self._card(body)
        fields, without = body.get("fields", {}), body.get("without", [])
        if not isinstance(fields, dict) or not set(fields) <= set(_SHOWABLE):
            raise ControlError(400, f"fields must be an object with keys among {', '.join(_SHOWABLE)}")
        if not isinstance(without, list) or not all(one in _SHOWABLE for one in without):
            raise ControlError(400, f"without must be a list of names among {', '.join(_SHOWABLE)}")
        card.shown = {**fields, **dict.fromkeys(without, LEFT_OUT)} or None
        return {"number": card.number}

    def delete(self, body: Json) -> Json:
        """`{"number"}`: the card is gone, as if it had never been; its orders stay."""
        only(body, "number")
        card = self._card(body)
        self._world.cards.remove(card)
        return {"number": card.number}

    def currency(self, body: Json) -> Json:
        """`{"currency"}`: the stores trade in another currency from now on; every number stays as it is."""
        only(body, "currency")
        world = self._world
        world.currency = read_currency(body)
        world.countries, world.home = countries_with(world.currency)
        return {"currency": world.currency}

    def _card(self, body: Json) -> Card:
        card = self._world.cards.find(text(body, "number", longest=NUMBER_LENGTH_MAX))
        if card is None:
            raise ControlError(404, "no such card")
        return card

    def _brand(self, body: Json) -> Brand:
        brand = self._world.brand(text(body, "brand"))
        if brand is None:
            codes = ", ".join(brand.code for brand in self._world.brands)
            raise ControlError(400, f"brand must be one of {codes}")
        return brand
