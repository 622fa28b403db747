"""Sales: the only way in which R-Series moves money on a gift card (lightspeed.md §A2)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.api.errors import InDoubt, Refused
from connectors.kit.fields import NotBelieved
from connectors.lightspeed_r.client import AccountClient
from connectors.lightspeed_r.model import RCard, rows

REFERENCES_KEPT: Final = 10_000


@dataclass(frozen=True)
class SaleSettings:
    """What every sale of giftsync names."""

    employee_id: str | None
    register_id: str | None
    shop_id: str | None
    #: The item without stock that stands for what was bought elsewhere.
    debit_item_id: str | None
    external_payment_type: str | None
    gift_card_payment_type: str
    #: The field of a sale that carries the marker.
    marker_field: str

    def missing(self) -> list[str]:
        """The keys without which no sale can be made."""
        names = ("employee_id", "register_id", "shop_id", "debit_item_id", "external_payment_type")
        return [name for name in names if getattr(self, name) is None]


@dataclass
class Sales:
    """Makes sales with a reference, and reads the references of sales. Thread-safe."""

    client: AccountClient
    settings: SaleSettings
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def load(self, card_id: str, amount: str, reference: str) -> str:
        """Put money on a card; the sale's id. Raises Rejected."""
        payments = [self._with_card(card_id, f"-{amount}")]
        payments.append({"amount": amount, "paymentTypeID": self.settings.external_payment_type})
        return self._make({"SalePayments": {"SalePayment": payments}}, reference)

    def redeem(self, card_id: str, amount: str, reference: str) -> str:
        """Take money from a card; the sale's id. Raises Rejected."""
        line = {"itemID": self.settings.debit_item_id, "unitQuantity": "1", "unitPrice": amount}
        body = {
            "SaleLines": {"SaleLine": line},
            "SalePayments": {"SalePayment": self._with_card(card_id, amount)},
        }
        return self._make(body, reference)

    def references(self, card: RCard) -> dict[str, str]:
        """What the sales of a card carry, by their ids. A completed sale does not change, so each is read
        once."""
        found: dict[str, str] = {}
        for sale_id in dict.fromkeys(one.sale_id for one in card.payments or ()):
            with self._lock:
                known = self._known.get(sale_id)
            found[sale_id] = known if known is not None else self._reference(sale_id)
        return found

    def _with_card(self, card_id: str, amount: str) -> dict[str, Any]:
        return {
            "amount": amount,
            "creditAccountID": card_id,
            "paymentTypeID": self.settings.gift_card_payment_type,
        }

    def _make(self, body: dict[str, Any], reference: str) -> str:
        missing = self.settings.missing()
        if missing:
            raise Refused(f"no sale can be made before {', '.join(missing)} are set")
        head = {
            "employeeID": self.settings.employee_id,
            "registerID": self.settings.register_id,
            "shopID": self.settings.shop_id,
            "completed": "true",
            self.settings.marker_field: reference,
        }
        said = self.client.send("POST", "/Sale.json", {**head, **body})
        try:
            made = rows(said, "Sale")
        except NotBelieved:
            made = []
        sale_id = made[0].get("saleID") if len(made) == 1 else None
        if not isinstance(sale_id, str) or not sale_id:
            raise InDoubt("Lightspeed's answer to a sale holds no sale")
        return sale_id

    def _reference(self, sale_id: str) -> str:
        try:
            found = rows(self.client.get(f"/Sale/{sale_id}.json"), "Sale")
        except NotBelieved:
            found = []
        if len(found) != 1 or found[0].get("saleID") != sale_id:
            raise InDoubt("Lightspeed does not show the sale of a payment")
        reference = str(found[0].get(self.settings.marker_field) or "")
        with self._lock:
            if len(self._known) >= REFERENCES_KEPT:
                self._known.clear()
            self._known[sale_id] = reference
        return reference
