"""An import leaves cards of excluded brands alone, wherever they are."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from connectors.api.card import Seen
from connectors.memory import CAPABILITIES
from mappings.brands import Brands
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.importer.actions import Action, ImportContext, PosCard, for_pair, for_pos_card
from sync.model import LinkRules, SideRules
from tests.support import STARTED_AT

RULES = LinkRules({"pos": SideRules(), "online": SideRules()}, brands=Brands(excluded={"pos": ["Bonus"]}))
GROUND = ImportContext("pos", "online", RULES, CAPABILITIES, "NOK", STARTED_AT.date())
CARD = PosCard(Serial("1000200030004000"), 100_00, CardStatus.ACTIVE, None, "Gavekort")
ONLINE = Seen("1", 50_00, "NOK", CardStatus.ACTIVE, "active", None, "4000", STARTED_AT)


@pytest.mark.parametrize(("brand", "action"), [("Gavekort", Action.CREATE_ONLINE), ("bonus", Action.SKIP)])
def test_given_a_card_of_the_store_alone_then_its_brand_decides(brand: str, action: Action) -> None:
    assert for_pos_card(replace(CARD, brand=brand), GROUND).action is action


@pytest.mark.parametrize(("brand", "action"), [("Gavekort", Action.CONFLICT), ("bonus", Action.SKIP)])
def test_given_a_card_on_both_sides_then_one_of_an_excluded_brand_is_no_conflict(
    brand: str, action: Action
) -> None:
    assert for_pair(replace(CARD, brand=brand), ONLINE, GROUND).action is action
