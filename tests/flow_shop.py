"""A merchant whose store side is Flow's connector on its emulator, and whose other side is in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from connectors.api.capabilities import Capabilities
from connectors.flow import FlowSettings, FlowSide
from mappings.brands import Brands
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.model import SideRules
from tests.flow_wire import Bridge
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import Clock

TOKEN = "flow-shop-token"
GAVEKORT, TILGODELAPP = "Gavekort", "Tilgodelapp"


class FlowShop(Shop):
    """Everything that Flow may be able to do is vouched for."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        bridge: Bridge | None = None,
        url: str = "https://flow.invalid",
        brands: Brands | None = None,
        **settings: Any,
    ) -> None:
        known = {
            "tenant": "7",
            "store": "70",
            "token": TOKEN,
            "timezone": "Europe/Oslo",
            "currency": "NOK",
            "base_url": f"{url}/v2",
            "debit_product_uid": "900",
            "gift_card_product_uids": {GAVEKORT: "901", TILGODELAPP: "902"},
            "default_brand": GAVEKORT,
            "item_number_field": "externalId",
            "gift_card_payment_method_uid": "spm-70-2",
            "external_payment_method_uid": "spm-70-3",
            "api_settlement_debits": True,
            "api_issue_allowed": True,
            "caller_may_choose_number": True,
            "order_settles_once": True,
        }
        self._flow = FlowSide(
            FlowSettings(**{**known, **settings}),
            clock=clock,
            pause=_passing(clock),
            monotonic=lambda: clock().timestamp(),
        )
        if bridge is not None:
            self._flow._client._http._session.mount("https://", bridge)
        # What is discovered once is no step of a movement.
        self._flow.identify()
        can = self._flow.capabilities
        rules = SideRules(
            creates=can.creates,
            debits=can.debits,
            credits=can.credits,
            sets_expiry=can.sets_expiry,
            sets_status=can.sets_status,
            moves_when_suspended=can.moves_when_suspended,
        )
        super().__init__(engine, Vault(bytes(range(KEY_BYTES))), clock, rules={FLOW: rules})
        self.set_brands(brands or Brands())

    def set_brands(self, brands: Brands) -> None:
        """The merchant changes the settings."""
        object.__setattr__(self.link, "rules", replace(self.link.rules, brands=brands))

    def shown_online(self, number: str) -> int:
        """What the other side shows for a card of Flow's."""
        return self.sides[SHOPIFY].cards[self.native(SHOPIFY, number)].balance_minor

    def close(self) -> None:
        self._flow.close()

    def _side(self, name: str, capabilities: Capabilities) -> Any:
        return self._flow if name == FLOW else super()._side(name, capabilities)


def _passing(clock: Clock) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        clock.advance(seconds)

    return pause
