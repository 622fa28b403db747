"""What the merchant's settings make of the protocol: directions, closing, and what was planned before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from cli.build import directed
from connectors.api.card import Seen
from connectors.api.effect import EffectKind
from connectors.api.settings import SideDirections
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import protocol
from sync.model import Card, Closing, Intent, IntentState, LinkRules, Presence, SideRules

FLOW, SHOPIFY = "flow", "shopify"

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACTIVE, CLOSED, SUSPENDED = CardStatus.ACTIVE, CardStatus.CLOSED, CardStatus.SUSPENDED


def presence(side: str, **more: object) -> Presence:
    base = Presence(side, "x-1", Serial("12345678"), "5678", 100, ACTIVE, None)
    return replace(base, **more)  # type: ignore[arg-type]


def intent(kind: EffectKind, amount_minor: int = 0, sequence: int = 1, **more: object) -> Intent:
    base = Intent(f"gs-{sequence}", SHOPIFY, kind, IntentState.PLANNED, sequence, amount_minor)
    return replace(base, **more)  # type: ignore[arg-type]


def card(*presences: Presence, balance_minor: int = 100) -> Card:
    return Card("NOK", balance_minor, ACTIVE, None, presences)


@pytest.mark.parametrize(
    ("direction", "flow", "shopify"),
    [
        # Written, and counts.
        ("both", (True, True), (True, True)),
        ("to_shopify", (False, True), (True, False)),
        ("to_pos", (True, False), (False, True)),
        ("off", (False, False), (False, False)),
    ],
)
def test_directions(direction: str, flow: tuple[bool, bool], shopify: tuple[bool, bool]) -> None:
    of = {"to_shopify": ("out", "in"), "to_pos": ("in", "out")}.get(direction, (direction, direction))
    directions = {
        name: SideDirections(balance=way, status=way, expiry=way)  # type: ignore[arg-type]
        for name, way in zip((FLOW, SHOPIFY), of, strict=True)
    }
    for name, expected in ((FLOW, flow), (SHOPIFY, shopify)):
        rules = directed(name, SideRules(), directions)

        assert (rules.writes_status, rules.tells_status) == expected
        assert (rules.sets_expiry, rules.tells_expiry) == expected
        assert (rules.credits, rules.debits) == (expected[0], expected[0])


def test_a_direction_gives_a_side_nothing_that_it_cannot_do() -> None:
    weak = SideRules(credits=False, sets_expiry=False)

    rules = directed(SHOPIFY, weak, {FLOW: SideDirections(), SHOPIFY: SideDirections()})

    assert (rules.credits, rules.debits, rules.sets_expiry) == (False, True, False)


def withdrawn(p: Presence, **rules: object) -> tuple[list[str], Presence]:
    sides = {p.side: replace(SideRules(), **rules)}  # type: ignore[arg-type]
    decision = protocol.withdrawn(card(p), LinkRules(sides))
    return [change.marker for change in decision.intent_changes], decision.card.presence(p.side)


def test_given_a_create_that_is_not_allowed_any_more_then_all_that_rests_on_it_is_taken_back() -> None:
    queue = (intent(EffectKind.CREATE, 100), intent(EffectKind.CREDIT, 50, 2))
    p = presence(SHOPIFY, native_id=None, born=False, shadow_minor=150, open_intents=queue)

    markers, after = withdrawn(p, creates=False)

    assert (sorted(markers), after.shadow_minor, after.open_intents) == (["gs-1", "gs-2"], 0, ())


def test_given_one_of_two_is_not_allowed_then_the_other_stays() -> None:
    status = intent(EffectKind.SET_STATUS, 0, 2, status=SUSPENDED, status_before=ACTIVE)
    queue = (intent(EffectKind.DEBIT, -20), status)
    p = presence(SHOPIFY, shadow_minor=80, shadow_status=SUSPENDED, open_intents=queue)

    markers, after = withdrawn(p, writes_status=False)

    assert (markers, after.shadow_status, after.shadow_minor) == (["gs-2"], ACTIVE, 80)
    assert after.open_intents == queue[:1]


@pytest.mark.parametrize(
    "tried", [{"state": IntentState.SENT}, {"state": IntentState.IN_DOUBT}, {"doubted": True}]
)
def test_given_it_may_have_landed_then_it_is_not_taken_back(tried: dict[str, Any]) -> None:
    p = presence(SHOPIFY, shadow_minor=80, open_intents=(intent(EffectKind.DEBIT, -20, **tried),))

    assert withdrawn(p, debits=False) == ([], p)


def seen(balance_minor: int, status: CardStatus = ACTIVE) -> Seen:
    return Seen("x-1", balance_minor, "NOK", status, status.value, None, "5678", NOW)


def test_given_a_card_that_one_side_closed_before_it_was_met_then_it_goes_on_where_the_policy_says_so() -> (
    None
):
    sides = {FLOW: SideRules(), SHOPIFY: SideRules()}
    shown = {SHOPIFY: seen(300, CLOSED), FLOW: seen(500)}

    met = protocol.meet(shown, (), LinkRules(sides, closing=Closing.CONFLICT), TODAY)

    assert (met.card.status, met.card.balance_minor, met.card.held) == (ACTIVE, 500, False)
    assert [c.cause for c in met.conflicts] == ["closed_alone:shopify"]
    assert met.intents == ()


def test_given_every_side_has_closed_it_then_it_is_closed_whatever_the_policy_says() -> None:
    rules = LinkRules({FLOW: SideRules(), SHOPIFY: SideRules()}, closing=Closing.CONFLICT)
    both = {FLOW: seen(0, CLOSED), SHOPIFY: seen(100, CLOSED)}

    decision = protocol.observe(card(presence(FLOW), presence(SHOPIFY)), both, rules, TODAY)

    assert (decision.card.status, decision.card.balance_minor) == (CLOSED, 0)
