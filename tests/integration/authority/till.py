"""A caller of the hub, without HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sync.authority.redemptions import Redemptions, Wish
from sync.authority.work import Hands, Terms
from sync.decisions.authority import Mode
from sync.ledger.hub.redemptions import RedemptionRow
from sync.ledger.hub.requests import Requests
from sync.model import Caller, Unconfirmed
from tests.integration.shop import Shop


class Till:
    """Pays with cards under keys of its own. Amounts in minor units."""

    def __init__(
        self,
        shop: Shop,
        name: str = "till 1",
        *,
        mode: Mode = Mode.AUTHORISE,
        unconfirmed: Unconfirmed = Unconfirmed.REFUSE,
        terms: Callable[[Terms], Terms] = lambda terms: terms,
    ) -> None:
        self.shop, self.name = shop, name
        link = replace(shop.link, owner=name)
        self.hands = Hands(
            lambda: link,
            terms(Terms(mode=mode, unconfirmed=unconfirmed, answer_seconds=0.0, claim_seconds=0.0)),
            wait=lambda seconds: shop.clock.advance(seconds),
        )
        self.redemptions = Redemptions(self.hands)

    def caller(self, key: str) -> Caller:
        """The request as it is recorded before it is worked on."""
        Requests(self.shop.engine).begin(self.name, key, key, self.shop.clock())
        return Caller(self.name, "store 1", "receipt 7", key)

    def pay(self, card_id: int, amount_minor: int, key: str = "k1", **more: Any) -> RedemptionRow:
        return self.redemptions.redeem(card_id, Wish(amount_minor, "NOK", **more), self.caller(key))

    def give_back(
        self, paid: RedemptionRow, amount_minor: int | None = None, key: str = "b1"
    ) -> RedemptionRow:
        return self.redemptions.reverse(paid, amount_minor, self.caller(key))
